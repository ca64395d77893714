"""What a fresh process waits for before its first picture: `python -m bench.start -o bench/results/start.md`.

Processes with an empty and with a warm cache take turns. Wall time is from the start of the process to the restored picture;
the parts are the child's own clock, and processor time, which a busy machine disturbs less, is beside them, as is the number
of modules that were imported. The promise is a second process, whose cache is warm, within 2 s.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .machine import machine

CHILD = """
import json, sys, time
marks = [("python", time.perf_counter(), time.process_time(), len(sys.modules))]
def mark(name):
    marks.append((name, time.perf_counter(), time.process_time(), len(sys.modules)))
import torch
mark("import torch")
import lmaps
lmaps.compile
mark("import lmaps")
restorer = lmaps.compile("deblur-gaussian", size=(256, 256), steps=1, device="cpu")
mark("compile")
y = restorer.operator.degrade(torch.zeros(1, 3, 256, 256), noise=0.05, seed=0)
result = restorer(y)
mark("first call")
parts = {name: (wall - before[1], cpu - before[2], modules - before[3])
         for before, (name, wall, cpu, modules) in zip(marks, marks[1:])}
print(json.dumps({"parts": parts, "cpu": time.process_time(), "stats": {k: result.stats[k] for k in ("cache", "backend",
      "precision", "prepare")}}))
"""
PROMISED = 2.0
PARTS = ("import torch", "import lmaps", "compile", "first call")


def start(cache: Path) -> dict[str, Any]:
    """One process: what it reports, and how long it was until then."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, env={**os.environ, "LMAPS_CACHE": str(cache)}
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    wall = time.perf_counter() - began
    if process.wait() != 0:
        raise SystemExit(f"the process ended with {process.returncode}")
    return {**json.loads(line), "wall": wall}


def measure(rounds: int) -> dict[str, list[dict[str, Any]]]:
    """`rounds` cold and warm starts in turn. The first cold start of all also warms the file system, and is left out."""
    runs: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder) / "first")
        for number in range(rounds):
            cache = Path(folder) / str(number)
            for name, outcome in (("cold", "built"), ("warm", "hit")):
                run = start(cache)
                if run["stats"]["cache"] != outcome:
                    raise SystemExit(f"a {name} start had cache {run['stats']['cache']!r}, not {outcome!r}")
                runs[name].append(run)
    return runs


def report(runs: Mapping[str, list[dict[str, Any]]]) -> str:
    stats = runs["warm"][0]["stats"]
    lines = [
        "# The start of a process",
        "",
        f"`python -m bench.start` on {datetime.date.today()}: {machine()}.",
        f"{stats['backend']} {stats['precision']}, 256x256, one step; medians of {len(runs['warm'])}, "
        "in seconds: wall time, and in brackets processor time.",
        f"Python starts before the parts. A warm start is promised within {PROMISED:g} s.",
        "",
        f"| cache | {' | '.join(PARTS)} | whole, to the first picture |",
        f"|---|{'---|' * (len(PARTS) + 1)}",
    ]
    for name, group in runs.items():
        parts = [_pair([run["parts"][part] for run in group]) for part in PARTS]
        lines.append(f"| {name} | {' | '.join(parts)} | {_pair([(run['wall'], run['cpu']) for run in group])} |")
    modules = [str(runs["warm"][0]["parts"][part][2]) for part in PARTS]
    lines.append(f"| modules imported, warm | {' | '.join(modules)} | |")
    prepare = [run["stats"]["prepare"] for run in runs["cold"]], [run["stats"]["prepare"] for run in runs["warm"]]
    built, loaded = (
        statistics.median(p[key] for p in group) for key, group in zip(("build_s", "load_s"), prepare, strict=True)
    )
    lines += ["", f"Compiling the graph and keeping it takes {built:.2f} s, reading it back {loaded:.2f} s."]
    return "\n".join(lines) + "\n"


def _pair(values: list[Any]) -> str:
    wall, cpu = (statistics.median(value[i] for value in values) for i in (0, 1))
    return f"{wall:.2f} ({cpu:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="file for the table")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    text = report(measure(given.rounds))
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
