"""`lmaps bench frontier`: PSNR against seconds, a curve a method, a point a number of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import published
from .journal import Record
from .methods import START, Method, parse
from .quality import OUTSIDE, Summaries, outside_mark, summaries
from .runs import Cell, gradient
from .tables import fairness, markdown, preamble

Point = tuple[float, float, str]


def plan(methods: Sequence[Method], task: str, steps: Sequence[int]) -> list[Cell]:
    """Each method at each number of steps; one whose label says its steps is run at those alone."""
    cells = []
    for method in methods:
        fixed = method.solver == START or "steps" in method.given
        cells += [Cell(method, task)] if fixed else [Cell(_at(method, n), task) for n in steps]
    return cells


def _at(method: Method, steps: int) -> Method:
    return parse(f"{method.label}{',' if ':' in method.label else ':'}steps={steps}")


def family(label: str) -> str:
    """The curve a point belongs to: its label without the steps."""
    name, colon, rest = label.partition(":")
    others = [item for item in rest.split(",") if item and not item.startswith("steps=")]
    return f"{name}{colon}{','.join(others)}" if others else name


def curves(cells: Summaries) -> dict[str, list[Point]]:
    """family -> (seconds, PSNR, number of steps), by seconds; methods that ended badly on every image are left out."""
    found: dict[str, list[Point]] = {}
    for (_, label), cell in cells.items():
        kind = parse(label)
        if "psnr" in cell.mean and kind.solver != START:
            point = cell.seconds, cell.mean["psnr"], str(kind.given.get("steps", ""))
            found.setdefault(family(label), []).append(point)
    return {name: sorted(points) for name, points in found.items()}


def best(cells: Summaries) -> set[str]:
    """Labels on the frontier: no other is both faster and better."""
    ran = [(c.seconds, c.mean["psnr"], label) for (_, label), c in cells.items() if "psnr" in c.mean and c.calls]
    chosen, record = set(), float("-inf")
    for _, psnr, label in sorted(ran, key=lambda item: (item[0], -item[1])):
        if psnr > record:
            chosen.add(label)
            record = psnr
    return chosen


def report(told: dict[str, Any], task: str, records: Sequence[Record]) -> list[str]:
    cells = summaries(records)
    lines = [*preamble(f"PSNR against time: {task}", told)]
    lines += [
        f"- {told['images']} image(s) of {told['size']}x{told['size']}; seconds an image, one at a time, network included",
        "- mean ± deviation over the images; final iterates",
        *fairness(told),
        "- ∇: a method that goes backwards through the network as well; on frontier: none is both faster and better",
        "",
    ]
    frontier = best(cells)
    rows = []
    for (_, label), cell in cells.items():
        kind = parse(label)
        calls = f"{cell.calls:.0f}{' ∇' if gradient(kind) else ''}" if cell.effort(False) else ""
        time = f"{cell.seconds:.2f}" if calls else ""
        best_of = "yes" if label in frontier else ""
        mark = outside_mark(label, task, cell)
        rows.append([label + mark, cell.cell("psnr"), cell.cell("ssim"), calls, time, best_of, cell.grid, cell.ran_on])
    head = ["method", "PSNR, dB", "SSIM", "calls", "s an image", "on frontier", "noise levels", "ran on"]
    lines += markdown(head, rows)
    lines += [OUTSIDE, ""] if any(outside_mark(label, t, cell) for (t, label), cell in cells.items()) else []
    reasons = {f"- {label}: {cell.reason}" for (_, label), cell in cells.items() if cell.reason}
    return [*lines, *sorted(reasons), *(_paper() if task == "deblur-gaussian" else [])]


def _paper() -> list[str]:
    table = published.times()
    rows = [
        [
            r["method"],
            str(r["steps"]),
            str(r.get("inner", "")),
            str(r.get("ode", "")),
            str(r["seconds"]),
            f"{r['psnr']:.2f}",
        ]
        for r in table["rows"]
    ]
    head = ["method", "steps", "inner steps", "calls a step", "s an image", "PSNR, dB"]
    return ["", f"For orientation, {table['source']} ({table['machine']}):", "", *markdown(head, rows)]
