"""`lmaps bench quality`: methods x tasks x images, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ..tasks import TASKS, build
from . import published
from .journal import Record
from .methods import START, Method, parse
from .runs import Cell, Setting, gradient
from .tables import Summary, facts, fairness, markdown, preamble, summary

# Their papers say what to do where H has no derivative; the others then run on the surrogate of Eq. 17.
WITHOUT_DERIVATIVE = (START, "lmaps", "pigdm", "red-diff")
OUTSIDE = "- †: outside its paper: H has no derivative, the surrogate J = I of LMAPS's Eq. 17 stands in for it"
Summaries = dict[tuple[str, str], Summary]


def plan(methods: Sequence[Method], tasks: Sequence[str]) -> list[Cell]:
    """Task by task, so that an interrupted run has whole tables."""
    return [Cell(method, task) for task in tasks for method in methods]


def summaries(records: Sequence[Record]) -> Summaries:
    """(task, method) -> its images together, in the order in which they came."""
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cells.setdefault((record["task"], record["method"]), []).append(record)
    return {cell: summary(members) for cell, members in cells.items()}


def known(setting: Setting, images: int, complete: bool, missing: str | None) -> dict[str, Any]:
    """The facts of this comparison. missing: why there is no perceptual metric."""
    metric = setting.perceptual.label if setting.perceptual else None
    return facts(
        setting.prior,
        {
            "complete": complete,
            "images": images,
            "size": setting.size,
            "noise": setting.noise,
            "seed": setting.seed,
            "budget": setting.budget,
            "perceptual": metric,
            "perceptual_missing": missing,
            "published": published.source(),
        },
    )


def report(told: dict[str, Any], records: Sequence[Record]) -> list[str]:
    """The whole page, Markdown."""
    cells = summaries(records)
    lines = [*preamble("Quality by method and task", told), *_notes(told), ""]
    lines += _overview(cells)
    for task in dict.fromkeys(task for task, _ in cells):
        lines += _task(task, cells, told)
    return lines


def _notes(told: dict[str, Any]) -> list[str]:
    own = ", ".join(sorted({f"{task.default_noise:g}" for task in TASKS.values()}))
    noise = f"sigma_y = {own if told['noise'] is None else told['noise']}"
    lines = [
        f"- {told['images']} image(s) of {told['size']}x{told['size']}, {noise}, seed {told['seed']}; one image at a time",
        "- mean ± deviation over the images, each measured by itself; final iterates, never the best against the truth",
        "- calls: of the network, an image, and of how many that the method makes as its authors use it; ∇: each with a pass "
        "backwards as well, in torch",
        f"- paper: {told['published']}: other networks, other pictures, another machine; for orientation",
    ]
    if told["budget"] is not None:
        lines.append(
            f"- **budget: every method is cut down to {told['budget']} calls an image**, most below what its authors use; "
            "where a step costs several calls, steps and calls a step shrink alike"
        )
    lines += fairness(told)
    if told["perceptual"] is None:
        lines.append(f"- no perceptual metric: {told['perceptual_missing']}")
    else:
        lines.append(f"- {told['perceptual']} is lower for nearer pictures; the paper's LPIPS is another metric")
    return lines


def _overview(cells: Summaries) -> list[str]:
    """PSNR of every method on every task; the best of a task bold."""
    tasks = list(dict.fromkeys(task for task, _ in cells))
    methods = list(dict.fromkeys(method for _, method in cells))
    best = {
        task: max((c.mean["psnr"] for (t, _), c in cells.items() if t == task and "psnr" in c.mean), default=None)
        for task in tasks
    }

    def cell(task: str, method: str) -> str:
        found = cells.get((task, method))
        if found is None or "psnr" not in found.mean:
            return found.cell("psnr") if found else ""
        text = f"{found.mean['psnr']:.2f}" + ("*" if found.troubles else "")
        text = f"**{text}**" if found.mean["psnr"] == best[task] else text
        return text + outside_mark(method, task, found)

    rows = [[method, *[cell(task, method) for task in tasks]] for method in methods]
    note = (
        ["\\* without images that did not end well", ""] if any(c.troubles and c.mean for c in cells.values()) else []
    )
    marked = any(outside_mark(method, task, found) for (task, method), found in cells.items())
    return ["## PSNR in dB", "", *markdown(["method", *tasks], rows), *note, *([OUTSIDE, ""] if marked else [])]


def _task(task: str, cells: Summaries, told: dict[str, Any]) -> list[str]:
    networks = published.networks()
    head = ["method", "PSNR, dB", "SSIM"] + ([told["perceptual"]] if told["perceptual"] else [])
    head += [
        "calls",
        "s an image",
        "noise levels",
        "ran on",
        *[f"paper, {label}: PSNR / SSIM / LPIPS" for label in networks.values()],
    ]
    mine = {method: cell for (t, method), cell in cells.items() if t == task}
    rows = [_row(method, cell, task, told) for method, cell in mine.items()]
    notes = [f"- {method}: {cell.reason}" for method, cell in mine.items() if cell.reason]
    if any(outside_mark(method, task, cell) for method, cell in mine.items()):
        notes.insert(0, OUTSIDE)
    return [f"## {task}", "", *markdown(head, rows), *([*notes, ""] if notes else [])]


def outside_mark(method: str, task: str, cell: Summary) -> str:
    """ " †" where the method's authors do not define it for a task like this one, and it runs all the same."""
    ran = bool(cell.mean) and parse(method).solver not in WITHOUT_DERIVATIVE
    return " †" if ran and not _differentiable(task) else ""


@cache
def _differentiable(task: str) -> bool:
    return build(task).differentiable


def _row(method: str, cell: Summary, task: str, told: dict[str, Any]) -> list[str]:
    kind = parse(method)
    row = [method + outside_mark(method, task, cell), cell.cell("psnr"), cell.cell("ssim")]
    if told["perceptual"]:
        row.append(cell.cell("perceptual"))
    row += [cell.effort(gradient(kind)), f"{cell.seconds:.2f}" if cell.effort(False) else "", cell.grid, cell.ran_on]
    return [*row, *[_printed(task, kind.solver, network) for network in published.networks()]]


def _printed(task: str, solver: str, network: str) -> str:
    found = published.quality(task, solver, network)
    if not found:
        return ""
    return " / ".join(_figure(found.get(metric), 2 if metric == "psnr" else 3) for metric in published.METRICS)


def _figure(value: list[float] | None, digits: int) -> str:
    return "-" if value is None else " ± ".join(f"{v:.{digits}f}" for v in value)
