"""One restoration in a process of its own, timed: `python -m lmaps.engine.bench.cold JSON`. Started by `speed`."""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    job = json.loads(sys.argv[1])
    start = time.perf_counter()
    from ..plan import compile
    from .runs import operator
    from .speed import scene

    imported = time.perf_counter()
    size = job["size"]
    h = operator(job["task"], size, job["seed"])
    restorer = compile(
        h,
        job["prior"],
        size=(size, size),
        batch=job["batch"],
        task=job["task"],
        solver=job["solver"],
        noise=job["noise"],
        **job["compiling"],
    )
    compiled = time.perf_counter()
    y = h.degrade(scene(job["batch"], size, job["seed"]), job["noise"], job["seed"])
    measured = time.perf_counter()
    restorer(y, seed=job["seed"])
    done = time.perf_counter()
    print(json.dumps({"import": imported - start, "compile": compiled - imported, "first": done - measured}))


if __name__ == "__main__":
    main()
