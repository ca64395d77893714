"""One turn of the loop as work on fixed buffers, so that a CUDA graph records it once and replays it for every step.

    buffers: x, xhat, x0, what `observe` made of y, the seeds, and two counters [i, i + 1]; all on the device
    turn:    x0, x = advance(x)             denoise at sigmas[i] -> local MAP of step i -> Eq. 2 with noise of step i + 1
             i += 1

Nothing is read back, not even whether the state is still finite: that is looked at between replays (see `recorded`). The
scaling of the denoiser's input belongs to the denoiser, hence to the recording.
The same turns run one by one without a graph (`graph=False`) and give the same image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from .graph_check import NoReading
from .local_map.device import OnDevice, on_gpu
from .loop import advance
from .noise import as_tensor
from .solvers import Solver, Step
from .transition import Arrivals, initial_state, transition

# A denoiser's `into`: (x, sigma, out) -> None
Into = Callable[[Tensor, Tensor, Tensor], None]


@dataclass(frozen=True, slots=True)
class DeviceStep:
    """What a solver that can be captured asks of its `Step`, for a step whose number is on the device."""

    index: OnDevice
    observed: Any
    turn: Turn

    def levels(self, x: Tensor) -> Tensor:
        return self.turn.level()

    def transition(self, x0: Tensor, x: Tensor, rho: float) -> Tensor:
        return self.turn.arrive(x0, x, rho)


class Turn:
    """The buffers of one restoration and the work of one step on them. Used by one request at a time."""

    def __init__(
        self,
        denoise: Into,
        solver: Solver,
        sigmas: Sequence[float],
        shape: tuple[int, ...],
        observed: Sequence[Tensor],
        device: torch.device,
    ) -> None:
        self.steps, self.sigmas = len(sigmas) - 1, tuple(sigmas)
        self.kinds = tuple(solver.kind(i) for i in range(self.steps))
        self._denoise_into, self._solver, self._device = denoise, solver, device
        self._observed = tuple(torch.zeros_like(o, memory_format=torch.contiguous_format) for o in observed)
        self._x, self._xhat, self.estimate = (torch.zeros(shape, device=device, dtype=torch.float32) for _ in range(3))
        self._levels = torch.tensor(self.sigmas, dtype=torch.float32, device=device)
        self._start = torch.tensor([0, 1], dtype=torch.int32, device=device)
        self._counters = self._start.clone()
        self._index, self._arrival = self._counters[:1], self._counters[1:]
        self._seeds = torch.zeros(shape[0], dtype=torch.int64, device=device)
        self._seed_numbers: tuple[int, ...] = ()
        self._arrivals = Arrivals(self.sigmas, solver.rho, device) if on_gpu(device) else None
        self.kernel = "cpu" if self._arrivals is None else self._arrivals.kernel

    @property
    def counter(self) -> Tensor:
        """int32 [1] on the device: the number of the step to come."""
        return self._index

    def rewind(self) -> None:
        """Back to the first step, whatever the buffers hold."""
        self._counters.copy_(self._start)

    def begin(self, observed: Sequence[Tensor], seeds: Sequence[int]) -> None:
        """Load a measurement and draw the initial state."""
        for buffer, value in zip(self._observed, observed, strict=True):
            buffer.copy_(value)
        self.rewind()
        self._seeds.copy_(as_tensor(seeds, self._device))
        self._seed_numbers = tuple(seeds)
        if self._arrivals is None:
            self._x.copy_(initial_state(self._x.shape[1:], self.sigmas[0], seeds, self._device))
        else:
            self._arrivals.start(self._x, self._seeds, self._index)

    def check(self, kind: int) -> None:
        """Take a step of `kind`, denoiser included, and raise RuntimeError where it does what no recording allows."""
        with NoReading():
            self.take(kind)

    @torch.no_grad()
    def take(self, kind: int) -> None:
        """One step of `kind` (see `Solver.kind`), wherever the counters stand: what a graph records."""
        at = cast(Step, DeviceStep(OnDevice(self._index, kind), self._observed, self))
        x0, x = advance(self._denoise, self._solver, self._x, at)
        self.estimate.copy_(x0)
        if x.data_ptr() != self._x.data_ptr():
            self._x.copy_(x)
        self._counters.add_(1)

    def finite(self) -> bool:
        """The state is finite. Waits for the GPU."""
        return bool(torch.isfinite(self._x.sum()))

    def level(self) -> Tensor:
        """The noise level of this step, [B]."""
        return self._levels.index_select(0, self._index.expand(self._x.shape[0]))

    def arrive(self, x0: Tensor, x: Tensor, rho: float) -> Tensor:
        """The state at the next noise level."""
        if rho != self._solver.rho:
            raise ValueError(f"a captured solver keeps its rho = {self._solver.rho} in every step, got {rho}")
        if self._arrivals is not None:
            return self._arrivals(x0, x, self._seeds, self._arrival)
        i = int(self._index)
        return transition(x0, x, self.sigmas[i], self.sigmas[i + 1], rho=rho, seeds=self._seed_numbers, step=i + 1)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self._denoise_into(x, sigma, self._xhat)
        return self._xhat
