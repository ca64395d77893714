"""Tune the classical methods on training photographs: `python -m bench.classical --photos FOLDER`.

Writes `bench/classical/tuned.toml` after every case; cases that are not asked for keep their settings.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from pathlib import Path

import torch

from lmaps.engine.priors.training.data import photo_files, validation_crops

from .cases import CASES, get
from .tuning import TUNED, at_an_end, runnable, to_toml, tune

HEADER = (
    "# Settings of the classical methods in units of [0, 1], chosen by mean PSNR on training photographs at sigma_y = 0.05\n"
    "# by `python -m bench.classical`; psnr is that mean in dB, over so many photographs of size x size pixels.\n\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--exclude", default="gb82", help="held-out photographs begin so")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="side of the centre crops in pixels")
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("-o", "--out", type=Path, default=TUNED)
    arguments = parser.parse_args()
    files = photo_files(arguments.photos, exclude=[arguments.exclude])
    files = files[len(files) // (2 * arguments.count) :: len(files) // arguments.count][: arguments.count]
    pictures = list(validation_crops(files, arguments.size).split(1))
    how = {"photographs": arguments.count, "size": arguments.size}
    table = tomllib.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    for case in map(get, arguments.cases):
        table[case.name] = {}
        for method in filter(runnable, case.methods):
            start = time.perf_counter()
            found, psnr = tune(case, method, pictures)
            table[case.name][method.name] = {**found, "psnr": round(psnr, 2), **how}
            ends = "".join(f"; {name} ends its ladder" for name in at_an_end(method, found))
            taken = time.perf_counter() - start
            print(f"{case.name}: {method.name} {found} {psnr:.2f} dB, {taken:.0f} s{ends}", flush=True)
        ordered = {name: table[name] for name in CASES if name in table}
        arguments.out.write_text(HEADER + to_toml(ordered), encoding="utf-8")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
