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


class _CpuClock:
    """Marks are seconds."""

    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, start: float, end: float) -> float:
        return end - start

    def wait(self, mark: float) -> None:
        """A mark of the past is reached."""


class _GpuClock:
    """Marks are events on the current stream: the device notes the time when it comes to them, and nothing waits for it.

    Waiting at every mark would keep Python from running ahead of the device, so that a timed run were slower than another.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def seconds(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end) / 1e3

    def wait(self, mark: torch.cuda.Event) -> None:
        mark.synchronize()


class Stopwatch:
    """Seconds by name; a span inside another counts for itself alone, so that the names add up to the whole.

    On a GPU it is the device's time between the two ends of a span, waiting for work to be launched included.
    """

    def __init__(self, device: torch.device) -> None:
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._clock: Any = _GpuClock(device) if device.type == "cuda" else _CpuClock()
        self._open: list[str] = []
        # Name, the name of the span around it, the two ends; a span is listed when it ends.
        self._spans: list[tuple[str, str | None, Any, Any]] = []

    def run(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        around = self._open[-1] if self._open else None
        start = self._clock.mark()
        self._open.append(name)
        out = function(*arguments)
        self._open.pop()
        self._spans.append((name, around, start, self._clock.mark()))
        self.calls[name] += 1
        return out

    @property
    def seconds(self) -> defaultdict[str, float]:
        """Of every name so far. On a GPU this waits for the last span to end."""
        found: defaultdict[str, float] = defaultdict(float)
        if self._spans:
            self._clock.wait(self._spans[-1][-1])
        for name, around, start, end in self._spans:
            took = self._clock.seconds(start, end)
            found[name] += took
            if around is not None:
                found[around] -= took
        return found

    def denoise(self, denoise: Denoise) -> Denoise:
        return lambda x, sigma: self.run("denoise", denoise, x, sigma)

    def into(self, into: Into) -> Into:
        return lambda x, sigma, out: self.run("denoise", into, x, sigma, out)


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
