"""The figures of `lmaps bench`, by matplotlib (extra "bench"); without it the tables stand alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .frontier import Point
from .quality import Summaries

MISSING = 'no figure: matplotlib is not installed (pip install "lmaps-engine[bench]")'
_MARKERS = "osD^vP*X<>hp"


def missing() -> str | None:
    """Why there are no figures, or None."""
    return None if find_spec("matplotlib") else MISSING


def quality(cells: Summaries, path: Path, title: str) -> None:
    """A panel a task: PSNR of every method, mean and deviation."""
    tasks = list(dict.fromkeys(task for task, _ in cells))
    methods = list(dict.fromkeys(method for _, method in cells))
    columns = min(4, len(tasks))
    rows = -(-len(tasks) // columns)
    figure, axes = _canvas(rows, columns, (3.1 * columns + 1.2, (0.22 * len(methods) + 1.0) * rows + 0.5))
    for axis, task in zip(axes, tasks, strict=False):
        for row, method in enumerate(methods):
            cell = cells.get((task, method))
            if cell is not None and "psnr" in cell.mean:
                axis.errorbar(cell.mean["psnr"], row, xerr=cell.deviation["psnr"], fmt="o", ms=4, capsize=2, color="C0")
            elif cell is not None:
                axis.text(0.03, row, cell.cell("psnr"), transform=axis.get_yaxis_transform(), fontsize=6, va="center")
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("PSNR, dB", fontsize=8)
        axis.grid(axis="x", alpha=0.3)
        axis.set_yticks(range(len(methods)), methods, fontsize=7)
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.label_outer()
        axis.tick_params(axis="x", labelsize=7, labelbottom=True)
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    _save(figure, path, title)


def frontier(curves: dict[str, list[Point]], path: Path, title: str) -> None:
    """PSNR against seconds an image, time on a logarithmic axis; every point carries its number of steps."""
    figure, (axis,) = _canvas(1, 1, (8.0, 5.2))
    for index, (name, points) in enumerate(curves.items()):
        seconds, psnr = [p[0] for p in points], [p[1] for p in points]
        axis.plot(
            seconds, psnr, marker=_MARKERS[index % len(_MARKERS)], label=name, lw=1.2, ms=5, color=f"C{index % 10}"
        )
        for x, y, steps in points:
            axis.annotate(steps, (x, y), textcoords="offset points", xytext=(3, 4), fontsize=7, color=f"C{index % 10}")
    _logarithmic(axis)
    axis.set_xlabel("seconds an image (logarithmic); the numbers are steps")
    axis.set_ylabel("PSNR, dB")
    axis.grid(alpha=0.3, which="both")
    if curves:
        axis.legend(fontsize=8)
    _save(figure, path, title)


def speed(latencies: Mapping[str, Sequence[float]], path: Path, title: str) -> None:
    """Milliseconds of every round, a box a method; logarithmic."""
    figure, (axis,) = _canvas(1, 1, (8.0, 0.45 * len(latencies) + 1.6))
    values = [[1e3 * s for s in seconds] for seconds in latencies.values()]
    axis.boxplot(values, orientation="horizontal", whis=(0, 100))
    axis.set_yticks(range(1, len(latencies) + 1), list(latencies), fontsize=8)
    axis.invert_yaxis()
    _logarithmic(axis)
    axis.set_xlabel("milliseconds a batch (logarithmic); whiskers at the extremes")
    axis.grid(axis="x", alpha=0.3, which="both")
    _save(figure, path, title)


def _canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _logarithmic(axis: Any) -> None:
    """A logarithmic x axis whose ticks read 0.2, 5, 30."""
    axis.set_xscale("log")
    for which in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        which(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "1235" else "")


def _save(figure: Any, path: Path, title: str) -> None:
    figure.suptitle(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
