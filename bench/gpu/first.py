"""The first restoration of a process, timed: `python -P -m bench.gpu.first`. Started by `start`."""

from __future__ import annotations

import argparse
import json
import time

from . import stand_ins

TASK, STEPS = "deblur-gaussian", 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.gpu.first")
    parser.add_argument("--device", required=True)
    parser.add_argument("--size", type=int, required=True)
    given = parser.parse_args()
    began = time.perf_counter()
    stand_ins.install()
    import torch

    torch_there = time.perf_counter()
    import lmaps

    precision = "auto" if given.device == "cuda" else "float32"
    size = (given.size, given.size)
    restorer = lmaps.compile(TASK, size=size, steps=STEPS, device=given.device, backend="torch", precision=precision)
    compiled = time.perf_counter()
    y = restorer.operator.degrade(torch.zeros(restorer.shape, device=given.device), 0.05)
    image = restorer(y).image.cpu()
    done = time.perf_counter()
    facts = {
        "import_torch_s": torch_there - began,
        "compile_s": compiled - torch_there,
        "first_s": done - compiled,
        "finite": bool(torch.isfinite(image).all()),
        "graph": restorer.graph_name,
        "prepare": restorer.compiled["prepare"],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
