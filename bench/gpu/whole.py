"""A whole restoration beside the N calls of the captured denoiser that it cannot do without."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import lmaps
from lmaps.engine.operators import Operator
from lmaps.engine.priors import Prior

from .bench import Bench
from .clock import captured, each, per_call, percentile
from .pictures import photographs

NOISE = 0.05
# Seconds. A run that takes longer is not repeated, and counts: recording its graph has warmed up all there is.
LONG = 3.0
# The denoiser's call is measured for as long as one run, within these bounds.
CALL_SECONDS = (0.4, 3.0)
# Of what a restorer says of itself; the last two are there where the GPU does not run what it should.
SHOWN = ("strategy", "kernel", "backend", "precision", "graph", "status", "norms", "kernels_passed_over")


@dataclass(frozen=True, slots=True)
class Whole:
    """Seconds of single restorations of one batch, and of one captured call of its denoiser."""

    times: list[float]
    call: float
    steps: int
    stats: dict[str, Any]

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)

    def facts(self) -> dict[str, Any]:
        """For a row of a table."""
        return {
            "K": self.stats.get("inner_steps"),
            "seconds": self.seconds,
            "p90": percentile(self.times, 0.9),
            "p99": percentile(self.times, 0.99),
            "runs": len(self.times),
            "call_ms": 1e3 * self.call,
            "over_calls": self.seconds / (self.steps * self.call),
            "compile_s": self.stats["compile_s"],
            **{key: self.stats.get(key) for key in SHOWN},
        }


def compiled(bench: Bench, task: str, operator: Operator, prior: Prior, **options: Any) -> lmaps.Restorer:
    """A restorer for the bench's size and device; options override the bench's."""
    chosen = {**bench.engine, **options}
    return lmaps.compile(operator, prior, size=(bench.size, bench.size), task=task, **chosen)


def measurement(bench: Bench, restorer: lmaps.Restorer, count: int, seed: int = 0) -> torch.Tensor:
    """The photographs, degraded by the restorer's own operator."""
    with torch.no_grad():
        return restorer.operator.degrade(photographs(bench, count), NOISE, seed)


def measured(bench: Bench, restorer: lmaps.Restorer, y: torch.Tensor, *, seconds: float, most: int = 200) -> Whole:
    """Single restorations for about `seconds`, then the captured call of their denoiser for as long as one of them took.

    Behind them, and not for less: a GPU that has worked for seconds has other clocks than one that begins.
    """
    times, status = runs(bench, restorer, y, seconds=seconds, most=most)
    least, longest = CALL_SECONDS
    call_seconds = min(max(statistics.median(times), least), longest)
    call = per_call(_denoiser_call(bench, restorer), bench, seconds=call_seconds)
    return Whole(times, call, restorer.steps, {**restorer.compiled, "status": status})


def runs(
    bench: Bench, restorer: lmaps.Restorer, y: torch.Tensor, *, seconds: float, most: int = 200
) -> tuple[list[float], str]:
    """Seconds of single restorations, three at least, and the first status that is not "ok". The first run warms up."""
    statuses: list[str] = []

    def run() -> None:
        statuses.append(restorer(y).status)

    times = each(run, bench, seconds=0, least=1)
    if times[0] < LONG:
        times = each(run, bench, seconds=seconds, most=most)
    return times, next((status for status in statuses if status != "ok"), "ok")


def _denoiser_call(bench: Bench, restorer: lmaps.Restorer) -> Callable[[], object]:
    x = torch.randn(restorer.shape, device=bench.device)
    sigma = torch.full((restorer.shape[0],), restorer.sigmas[len(restorer.sigmas) // 2], device=bench.device)
    out = torch.empty_like(x)
    return captured(lambda: restorer.denoiser.into(x, sigma, out), bench)
