"""Where the time of one restoration went."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .solvers import Denoise, Solver, Step


class Stopwatch:
    """Seconds by name; a span inside another counts for itself alone, so that the names add up to the whole.

    On a GPU the device is waited for at both ends of a span, so that its own work is counted.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._device = device
        self._inside = [0.0]

    def run(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        start = self._now()
        self._inside.append(0.0)
        out = function(*arguments)
        span = self._now() - start
        self.seconds[name] += span - self._inside.pop()
        self._inside[-1] += span
        self.calls[name] += 1
        return out

    def denoise(self, denoise: Denoise) -> Denoise:
        return lambda x, sigma: self.run("denoise", denoise, x, sigma)

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class Timed(Solver):
    """A solver whose steps are timed; everything else is the solver's own."""

    def __init__(self, solver: Solver, watch: Stopwatch) -> None:
        self._solver, self._watch = solver, watch
        self.name = solver.name  # type: ignore[misc]
        self.needs_gradient = solver.needs_gradient  # type: ignore[misc]
        self.rho = solver.rho

    def begin(self, x: Tensor, at: Step) -> Tensor:
        out: Tensor = self._watch.run("observe", self._solver.begin, x, at)
        return out

    def observe(self, y: Tensor) -> Any:
        return self._watch.run("observe", self._solver.observe, y)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        out: Tensor = self._watch.run("local_map", self._solver.estimate, xhat, x, at)
        return out

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        out: Tensor = self._watch.run("transition", self._solver.transition, x0, x, at)
        return out
