"""Where the time of one restoration went."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .captured import Into
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

    def into(self, into: Into) -> Into:
        return lambda x, sigma, out: self.run("denoise", into, x, sigma, out)

    def _now(self) -> float:
        if self._device.type == "cuda":
            # The stream alone: waiting for the device is forbidden while another thread records a graph.
            torch.cuda.current_stream(self._device).synchronize()
        return time.perf_counter()


class Laps:
    """Seconds of one stretch after another, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = self._last = time.perf_counter()

    def end(self, name: str, parts: Mapping[str, float] | None = None) -> None:
        """The stretch since the last call was `name`; parts of it that are known by names of their own are listed too."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self.seconds.update(parts or {})
        self._last = now

    def total(self) -> float:
        return time.perf_counter() - self._started


class Timed(Solver):
    """A solver whose steps are timed; everything else is the solver's own."""

    def __init__(self, solver: Solver, watch: Stopwatch) -> None:
        self._solver, self._watch = solver, watch
        self.name = solver.name  # type: ignore[misc]
        self.needs_gradient = solver.needs_gradient  # type: ignore[misc]
        self.rho = solver.rho

    def obstacle(self) -> str | None:
        return self._solver.obstacle()

    def kind(self, index: int) -> int:
        return self._solver.kind(index)

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
