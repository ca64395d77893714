"""The report in Markdown, and the shorter section of figures for the model card."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

from bench.classical.cases import CASES, SIGMA_Y
from lmaps.engine import presets

from .results import LMAPS, Mean, Results

WITHIN = 0.1


def report(results: Results, picture: str) -> str:
    """The whole report; `picture` is the file name of the curve."""
    about = results.about
    lines = ["# The prior, measured on photographs it has never seen", ""]
    lines += [f"`{about['command']}` on {about['date']}, {about['machine']}.", ""]
    lines += [
        f"Prior `{about['prior']}` (config.json {about['digest'][:12]}), preset `{about['preset']}`, on {about['backend']} "
        f"{about['precision']}. "
        f"{len(about['pictures'])} photographs, short side to {about['size']}, centre crop: "
        f"{', '.join(about['pictures'])}. Means over them; results clipped to [0, 1].",
        "",
        f"Perceptual distance: {about['perceptual'] or 'none could be computed here'}; lower is nearer. Seconds of "
        "classical methods were taken while other work ran; those of the prior are in the section on steps.",
        "",
    ]
    if about["missing"]:
        lines += [f"Not installed here, so their methods are left out: {', '.join(about['missing'])}.", ""]
    if results.denoising:
        lines += ["## Denoising", "", *denoising(results.denoising), ""]
    if results.restoration:
        lines += ["## Restoration", "", *_how(), "", *summary(results.restoration), "", *_all_methods(results), ""]
    if results.steps:
        lines += [
            "## Steps",
            "",
            *steps(results.steps, str(about["preset"])),
            "",
            f"![Quality against time]({picture})",
            "",
        ]
    return "\n".join(lines)


def card(results: Results) -> str:
    """Figures for the model card: denoising, and LMAPS against the best classical method."""
    about = results.about
    lines = [
        f"Means over {len(about['pictures'])} held-out photographs (short side to {about['size']}, centre crop), "
        f"`python -m bench.prior`, {about['date']}. All numbers: [`bench/results/prior.md`](../../../bench/results/prior.md).",
        "",
    ]
    if results.denoising:
        lines += ["Denoising, sigma in [-1, 1] units, against colour BM3D with the same noise:", ""]
        lines += [*denoising(results.denoising), ""]
    if results.restoration:
        lines += [
            f"Restoration by LMAPS, sigma_y = {SIGMA_Y}, against the best classical method (tuned, see the report):",
            "",
            *summary(results.restoration),
            "",
        ]
    if results.steps:
        lines += [default_steps(results.steps, str(about["preset"])), ""]
    return "\n".join(lines)


def denoising(rows: Sequence[Mean]) -> Iterator[str]:
    """PSNR / SSIM a noise level; the last column is the prior's PSNR minus BM3D's."""
    table = {(row.where, row.method): row for row in rows}
    yield "| sigma | noisy | BM3D | prior | difference, dB | higher on |"
    yield "|---|---|---|---|---|---|"
    for sigma in dict.fromkeys(row.where for row in rows):
        noisy, bm3d, prior = (table.get((sigma, name)) for name in ("noisy", "BM3D", "prior"))
        gap = _gap(prior, bm3d) if prior and bm3d else " | "
        yield f"| {sigma} | {_figures(noisy)} | {_figures(bm3d)} | {_figures(prior)} | {gap} |"


def summary(rows: Sequence[Mean]) -> Iterator[str]:
    """LMAPS beside the classical method with the highest mean PSNR, and how often it is above."""
    yield "| task | best classical | its figures | LMAPS | difference, dB | higher on |"
    yield "|---|---|---|---|---|---|"
    gaps = []
    for case in dict.fromkeys(row.where for row in rows):
        ours, best = _ours(rows, case), _best(rows, case)
        if ours and best:
            gaps.append(ours.psnr - best.psnr)
            yield f"| {_title(case)} | {best.method} | {_figures(best)} | {_figures(ours)} | {_gap(ours, best)} |"
    if gaps:
        above, far, under = sum(g > 0 for g in gaps), sum(g >= 1 for g in gaps), sum(g < -0.2 for g in gaps)
        yield ""
        yield (
            f"Above the best classical method on {above} of {len(gaps)} tasks, by 1 dB or more on {far}; below it by "
            f"more than 0.2 dB on {under}."
        )


def steps(rows: Sequence[Mean], preset: str) -> Iterator[str]:
    """PSNR and seconds a number of steps, a task a row, and the default that follows."""
    counts = sorted({int(row.method) for row in rows})
    yield "| task | " + " | ".join(f"N = {n}" for n in counts) + " |"
    yield "|---" * (len(counts) + 1) + "|"
    for case in dict.fromkeys(row.where for row in rows):
        found = {int(row.method): row for row in rows if row.where == case}
        yield f"| {_title(case)} | " + " | ".join(_figures(found.get(n)) for n in counts) + " |"
    for name, values in averages(rows).items():
        yield f"| mean {name} | " + " | ".join(f"{values[n]:.4g}" if n in values else "" for n in counts) + " |"
    yield ""
    yield default_steps(rows, preset)


def averages(rows: Sequence[Mean]) -> dict[str, dict[int, float]]:
    """{"PSNR": {N: mean over the tasks}, "seconds": ..., "perceptual": ...}, over tasks measured at every N."""
    counts = {int(row.method) for row in rows}
    whole = [
        w
        for w in dict.fromkeys(row.where for row in rows)
        if len({r.method for r in rows if r.where == w}) == len(counts)
    ]
    table: dict[str, dict[int, float]] = {"PSNR, dB": {}, "seconds": {}, "perceptual": {}}
    for n in sorted(counts):
        here = [row for row in rows if row.method == n and row.where in whole]
        if not here:
            continue
        table["PSNR, dB"][n] = statistics.mean(row.psnr for row in here)
        table["seconds"][n] = statistics.mean(row.seconds for row in here)
        known = [row.perceptual for row in here if row.perceptual is not None]
        if len(known) == len(here):
            table["perceptual"][n] = statistics.mean(known)
    return {name: values for name, values in table.items() if values}


def default_steps(rows: Sequence[Mean], preset: str) -> str:
    """The rule and what it gives: the fewest steps whose mean PSNR is within 0.1 dB of the best, over the tasks that take the
    default: a row of the preset may have a number of its own."""
    apart = _own_number(preset)
    values = averages([row for row in rows if row.where not in apart]).get("PSNR, dB", {})
    if not values:
        return "No task was measured at every number of steps."
    best = max(values.values())
    chosen = min(n for n, psnr in values.items() if psnr >= best - WITHIN)
    return (
        f"Default number of steps: {chosen}, the fewest whose mean PSNR ({values[chosen]:.2f} dB) is within {WITHIN} dB "
        f"of the best ({best:.2f} dB){''.join(f'; {CASES[case].title} takes {n}' for case, n in apart.items())}."
    )


def _own_number(preset: str) -> dict[str, int]:
    """Cases whose row has another number of steps than most rows, and that number."""
    rows = {name: presets.load(preset, case.task) for name, case in CASES.items()}
    steps = {name: row.steps for name, row in rows.items() if row is not None}
    usual = statistics.mode(steps.values())
    return {name: n for name, n in steps.items() if n != usual}


def _how() -> Iterator[str]:
    yield (
        f"Noise of sigma_y = {SIGMA_Y} ([-1, 1] units) in every measurement. Each photograph has its own mask or kernel. "
        "Every method knows H and the noise level. Settings of the classical methods were chosen on training photographs "
        "(`bench/classical/tuned.toml`), those of LMAPS too (preset `photo`); the best classical method of each row is "
        "picked with hindsight, by its PSNR here. PSNR in dB, SSIM, perceptual distance."
    )


def _all_methods(results: Results) -> Iterator[str]:
    yield "### Every method"
    yield ""
    yield "| task | method | PSNR, dB | SSIM | perceptual | s |"
    yield "|---|---|---|---|---|---|"
    for row in results.restoration:
        perceptual = "" if row.perceptual is None else f"{row.perceptual:.3f}"
        yield (
            f"| {_title(row.where)} | {row.method} | {row.psnr:.2f} | {row.ssim:.3f} | {perceptual} | {row.seconds:.2f} |"
        )


def _ours(rows: Sequence[Mean], case: str | float) -> Mean | None:
    return next((row for row in rows if row.where == case and row.method == LMAPS), None)


def _best(rows: Sequence[Mean], case: str | float) -> Mean | None:
    classical = [row for row in rows if row.where == case and row.method != LMAPS]
    return max(classical, key=lambda row: row.psnr, default=None)


def _gap(ours: Mean, other: Mean) -> str:
    """Two columns: the mean difference with its standard error over the photographs, and on how many of them it is positive."""
    gaps = [a - b for a, b in zip(ours.psnrs, other.psnrs, strict=True)]
    error = f" ± {statistics.stdev(gaps) / math.sqrt(len(gaps)):.2f}" if len(gaps) > 1 else ""
    return f"{ours.psnr - other.psnr:+.2f}{error} | {sum(g > 0 for g in gaps)} of {len(gaps)}"


def _title(case: str | float) -> str:
    return CASES[str(case)].title


def _figures(row: Mean | None) -> str:
    if row is None:
        return ""
    perceptual = "" if row.perceptual is None else f" / {row.perceptual:.3f}"
    return f"{row.psnr:.2f} / {row.ssim:.3f}{perceptual}"
