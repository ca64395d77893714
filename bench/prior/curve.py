"""The curve of quality against time: what more steps buy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from bench.classical.cases import CASES

from .report import averages
from .results import Mean

matplotlib.use("Agg")


def draw(rows: Sequence[Mean], path: Path) -> None:
    """PSNR relative to the fewest steps, against seconds a photograph; a thin line a task, a thick one for the mean."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=110, layout="constrained")
    for case in dict.fromkeys(row.where for row in rows):
        points = sorted((row for row in rows if row.where == case), key=lambda row: int(row.method))
        gains = [row.psnr - points[0].psnr for row in points]
        axes.plot([row.seconds for row in points], gains, marker=".", linewidth=1, label=CASES[str(case)].title)
    mean = averages(rows)
    if mean:
        psnr, seconds = mean["PSNR, dB"], mean["seconds"]
        first = psnr[min(psnr)]
        axes.plot(
            list(seconds.values()), [v - first for v in psnr.values()], "k", marker="o", linewidth=2.5, label="mean"
        )
        for n, value in psnr.items():
            axes.annotate(f"N = {n}", (seconds[n], value - first), xytext=(4, 6), textcoords="offset points")
    axes.set(xscale="log", xlabel="seconds a 256x256 photograph", ylabel="PSNR gained over the fewest steps, dB")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    figure.savefig(path)
    pyplot.close(figure)
