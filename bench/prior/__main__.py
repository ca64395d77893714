"""Measure the shipped prior and write the report.

    python -m bench.prior --photos FOLDER -o bench/results/prior.md
    python -m bench.prior --photos FOLDER --only classical         first half: nothing of it depends on the prior
    python -m bench.prior --card                                   figures for the model card, from the last run

Every finished measurement goes into a journal beside the report, so that an interrupted run goes on where it was; cells whose
prior, preset or settings changed are measured anew. The report holds what is complete. BM3D takes most of the time and uses one
core; several processes with different --tasks may write to one journal, and the last call puts the report together.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bench.classical.cases import CASES, get
from bench.machine import machine
from lmaps.engine import presets
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import load_prior

from .cells import Bench, Cell, Scores
from .journal import Journal
from .pictures import Picture, held_out
from .report import card, report
from .results import SECTIONS, Results, cells, means


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parse(argv)
    if arguments.card:
        print(card(Results.read(arguments.out.with_suffix(".json"))))
        return
    arguments.count = arguments.count or (8 if arguments.photos else 4)
    pictures = held_out(arguments.photos, arguments.count, arguments.size)
    few = pictures[: arguments.steps_count or len(pictures)]
    photographs = {section: few if section == "steps" else pictures for section in SECTIONS}
    cases = [get(name) for name in arguments.tasks]
    scores, journal = Scores(), Journal(arguments.journal or arguments.out.with_suffix(".jsonl"))
    bench = Bench(load_prior(arguments.prior), scores.label, arguments.backend)
    for section in arguments.sections:
        wanted = list(cells(section, bench, cases, photographs[section], arguments.only))
        _run(section, wanted, journal, scores)
    _write(arguments, bench, journal, photographs, scores)


def _run(section: str, wanted: Sequence[Cell], journal: Journal, scores: Scores) -> None:
    todo = [cell for cell in wanted if cell.key not in journal]
    print(f"{section}: {len(wanted) - len(todo)} of {len(wanted)} measurements are there", flush=True)
    started = time.monotonic()
    for number, cell in enumerate(todo, 1):
        values = cell.measure(scores)
        journal.put(cell.key, values)
        spent = time.monotonic() - started
        print(
            f"{section} {number}/{len(todo)} {' '.join(map(str, cell.group))} on {cell.key['picture']}: "
            f"{values['psnr']:.2f} dB, {values['seconds']:.1f} s; {spent / number * (len(todo) - number):.0f} s to go",
            flush=True,
        )


def _write(
    arguments: argparse.Namespace,
    bench: Bench,
    journal: Journal,
    photographs: dict[str, list[Picture]],
    scores: Scores,
) -> None:
    """Everything the journal has, whatever part of it this run added."""
    every = list(CASES.values())
    tables = {
        section: means(cells(section, bench, every, pictures), journal, section, len(pictures))
        for section, pictures in photographs.items()
    }
    if len({row.method for row in tables["steps"]}) < 2:
        tables["steps"] = []
    results = Results(about=_about(arguments, bench, photographs, scores), **tables)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results.write(arguments.out.with_suffix(".json"))
    picture = arguments.out.with_name(f"{arguments.out.stem}-steps.png")
    if results.steps:
        from .curve import draw

        draw(results.steps, picture)
    arguments.out.write_text(report(results, picture.name), encoding="utf-8")
    print(f"written: {arguments.out}")


def _about(
    arguments: argparse.Namespace, bench: Bench, photographs: dict[str, list[Picture]], scores: Scores
) -> dict[str, Any]:
    size = arguments.size
    runs = open_denoiser(bench.prior, backend=bench.backend, size=(size, size), batch=1, device="cpu").describe()
    most = max(photographs.values(), key=len)
    return {
        "command": _command(arguments),
        "machine": machine(),
        "date": str(datetime.date.today()),
        "prior": bench.prior.name,
        "preset": presets.resolve("auto", bench.prior.config.preset),
        "digest": bench.prior.digest,
        "precision": runs["precision"],
        "backend": runs["backend"],
        "size": size,
        "pictures": [picture.name for picture in most],
        "counts": {section: len(pictures) for section, pictures in photographs.items()},
        "perceptual": scores.label,
        "missing": _missing(),
    }


def _missing() -> list[str]:
    """Packages that some method needs and that are not installed."""
    needed = {package for case in CASES.values() for method in case.methods for package in method.needs}
    return sorted(package for package in needed if find_spec(package) is None)


def _command(arguments: argparse.Namespace) -> str:
    """How to get the report again; folders by their role, not by where they are on this machine."""
    words = ["python", "-m", "bench.prior"]
    if arguments.photos:
        words += ["--photos", "FOLDER"]
    words += ["--count", str(arguments.count)]
    for option, usual in (("steps_count", None), ("size", 256), ("prior", "photo"), ("backend", "openvino")):
        value = getattr(arguments, option)
        if value != usual:
            words += [f"--{option.replace('_', '-')}", Path(value).name if option == "prior" else str(value)]
    return shlex.join(words)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.prior", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, help="folder with the gb82-* photographs; without it scikit-image's four"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("bench/results/prior.md"), help="the report")
    parser.add_argument("--prior", default="photo", help="name or folder")
    parser.add_argument("--count", type=int, help="photographs (default: 8 with --photos, else 4)")
    parser.add_argument("--steps-count", type=int, help="photographs for the section on steps (default: --count)")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--tasks", nargs="+", choices=CASES, default=list(CASES), metavar="TASK")
    parser.add_argument("--only", choices=("all", "classical", "learned"), default="all", help="which half to measure")
    parser.add_argument("--backend", default="openvino", help="of the prior")
    parser.add_argument("--journal", type=Path, help="default: the report's name with .jsonl")
    parser.add_argument("--card", action="store_true", help="print the figures of the last run and stop")
    return parser.parse_args(argv)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    sys.exit(main())
