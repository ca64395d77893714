"""`Restorer`: a plan that runs many times, for any measurement of its task, from any thread."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import inference, torch_threads
from .captured import Into, Turn
from .denoisers import Denoiser
from .graph import CudaRecorder, Rerun
from .graph_cache import GraphCache
from .graph_choice import GraphChoice
from .local_map.device import on_gpu
from .loop import Callback, Status, check_measurement, image_seeds, run
from .memory import peak_bytes
from .operators import Operator
from .recorded import Recorded
from .solvers import Solver
from .timing import Stopwatch, Timed

MEANING: dict[Status, str] = {
    "ok": "all steps done",
    "cancelled": "the callback returned False: the image is the latest estimate",
    "diverged": "the state stopped being finite: the image is the last finite estimate. Shorten the step (eta) or check the "
    "measurement's scale",
}
CLOSED = "this restorer is closed; compile another"
_recordings: GraphCache[Recorded] = GraphCache()


@dataclass(frozen=True, slots=True)
class Result:
    """image [B, C, H, W] float32 in [0, 1]; status "ok", "cancelled" or "diverged"; stats: what ran and how long it took.

    x: the estimate itself, [B, C, H, W] in the prior's units ([-1, 1] for pictures), not clipped. `image` is what the
       operator's `image(x)` makes of it: (x + 1)/2 in [0, 1], but for MRI, whose x is a complex picture's real and
       imaginary part and whose image is its magnitude, one channel.
    """

    image: Tensor
    status: Status
    stats: dict[str, Any]
    x: Tensor

    @property
    def message(self) -> str:
        """What the status means."""
        return MEANING[self.status]


class Restorer:
    """A task compiled for one picture size: operator, solver, schedule and denoiser, ready to run. Made by `compile`.

    Holds nothing of a measurement, so one restorer serves several threads and any measurement of its task. On a CPU they run
    side by side; on a GPU, where the steps work on fixed buffers, one after another.

    On a GPU it holds recordings, weights and buffers until it goes, or until `close`, which leaving a `with` block calls.

    compiled: what was decided, and under "prepare" how long each part of it took, in seconds.
    """

    def __init__(
        self,
        operator: Operator,
        solver: Solver,
        denoiser: Denoiser,
        sigmas: Sequence[float],
        shape: tuple[int, int, int, int],
        device: torch.device,
        compiled: dict[str, Any],
        graph: GraphChoice,
    ) -> None:
        self.operator, self.solver = operator, solver
        self._denoiser: Denoiser | None = denoiser
        self.sigmas, self.shape, self.device = tuple(sigmas), shape, device
        self.compiled = compiled
        self.graph = graph
        with torch.no_grad():
            self.measurement_shape = tuple(
                operator(torch.zeros((1, *shape[1:]), device=device, dtype=torch.float32)).shape[1:]
            )
        self._token = object()
        self._recorded_as = "step"
        self._drop = weakref.finalize(self, _recordings.drop, self._token)
        self._drop.atexit = False

    @property
    def denoiser(self) -> Denoiser:
        """Raises RuntimeError once the restorer is closed."""
        if self._denoiser is None:
            raise RuntimeError(CLOSED)
        return self._denoiser

    def close(self) -> None:
        """Let go of the recordings and the network, hence of their memory on a GPU; once is enough, more do no harm.

        What was returned stays. A request that is still under way in another thread may end with a RuntimeError.
        """
        self._denoiser = None
        self._drop()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def graph_name(self) -> str:
        """How its steps are launched, for stats: "step", "loop: ..." or "off: ..."."""
        return self._recorded_as if self.graph.record else f"off: {self.graph.reason}"

    @inference.left()
    def __call__(self, y: Tensor | np.ndarray, *, seed: int = 0, callback: Callback | None = None) -> Result:
        """Restore measurements y [B, ...] (torch or NumPy, float, in the operator's units; pictures in [-1, 1]).

        Any number of images: they run `batch` at a time. Image b draws its noise from seed + b. `callback` is called with a
        `Progress` after each step of each batch; returning False cancels.
        stats: what ran; on a GPU with a graph denoise_s, local_map_s and transition_s are None, since a graph is not timed
        inside. peak_bytes is the process's resident memory on a CPU, torch's allocations on a GPU, at their highest so far.
        Raises TypeError or ValueError naming what is wrong with y, RuntimeError once the restorer is closed.
        """
        if self._denoiser is None:
            raise RuntimeError(CLOSED)
        measured = self._checked(y)
        started = time.perf_counter()
        watch = Stopwatch(self.device)
        seeds = image_seeds(seed, len(measured))
        images: list[Tensor] = []
        status: Status = "ok"
        taken = 0
        for first in range(0, len(measured), self.shape[0]):
            part = measured[first : first + self.shape[0]]
            x, status, done = self._run(part, seeds[first : first + len(part)], watch, callback)
            taken += done
            images.append(x)
            if status != "ok":
                break
        missing = len(measured) - sum(len(x) for x in images)
        if missing:
            images.append(torch.zeros((missing, *self.shape[1:]), device=self.device, dtype=torch.float32))
        x = torch.cat(images)
        stats = self._stats(watch, time.perf_counter() - started, taken, len(measured))
        if self.graph.loop and callback is not None:
            stats["graph"] = "step: a callback watches"
        return Result(self.operator.image(x), status, stats, x)

    def _run(
        self, y: Tensor, seeds: Sequence[int], watch: Stopwatch, callback: Callback | None
    ) -> tuple[Tensor, Status, int]:
        """One batch; a short last one is filled up with copies, since the denoiser's shape is fixed."""
        short = self.shape[0] - len(y)
        if short:
            y = torch.cat([y, y[-1:].expand(short, *y.shape[1:])])
            seeds = [*seeds, *[seeds[-1]] * short]
        if self.turns:
            x, status, done = self._replayed(y, seeds, watch, callback)
        else:
            solver = Timed(self.solver, watch)
            with torch_threads.held(self.compiled["torch_threads"] == "one"):
                x, status, done = run(watch.denoise(self.denoiser), solver, y, self.sigmas, self.shape, seeds, callback)
        x = x[: len(x) - short]
        return torch.nan_to_num(x), status, done

    @property
    def turns(self) -> bool:
        """Steps are taken on fixed buffers with their constants on the device, recorded or not."""
        return on_gpu(self.device) and self.solver.obstacle() is None

    def _replayed(
        self, y: Tensor, seeds: Sequence[int], watch: Stopwatch, callback: Callback | None
    ) -> tuple[Tensor, Status, int]:
        solver = Timed(self.solver, watch)
        with torch.no_grad():
            observed = solver.observe(y)
        if self.graph.record:
            return self._recording(observed).run(observed, seeds, callback)
        turn = self._turn(watch.into(self.denoiser.into), solver, observed)
        return Recorded(turn, Rerun()).run(observed, seeds, callback)

    @inference.left()
    def record(self) -> None:
        """Record the graph now, and not in the first request."""
        with torch.no_grad():
            y = self.operator(torch.zeros(self.shape, device=self.device, dtype=torch.float32))
            self._recording(self.solver.observe(y))

    def _recording(self, observed: Sequence[Tensor]) -> Recorded:
        """The graph for measurements shaped like these, recorded where there is none (any more)."""

        def make() -> Recorded:
            turn = self._turn(self.denoiser.into, self.solver, observed)
            recorded = Recorded(turn, CudaRecorder(self.device), loop=self.graph.loop)
            self._recorded_as = recorded.name
            return recorded

        return _recordings.get((self._token, *((tuple(o.shape), o.dtype) for o in observed)), make)

    def _turn(self, into: Into, solver: Solver, observed: Sequence[Tensor]) -> Turn:
        return Turn(into, solver, self.sigmas, self.shape, observed, self.device)

    def _checked(self, y: Tensor | np.ndarray) -> Tensor:
        # A copy of an array has positive strides, which torch insists on.
        measured = torch.as_tensor(y.copy() if isinstance(y, np.ndarray) else y).detach()
        check_measurement(measured)
        if tuple(measured.shape[1:]) != self.measurement_shape:
            raise ValueError(
                f"y must have shape [B, {', '.join(map(str, self.measurement_shape))}] for pictures of "
                f"{self.shape[2]}x{self.shape[3]}, got {tuple(measured.shape)}: compile with the right size=(H, W)"
            )
        wanted = torch.complex64 if measured.is_complex() else torch.float32
        return inference.usable(measured.to(device=self.device, dtype=wanted))

    def _stats(self, watch: Stopwatch, total: float, taken: int, images: int) -> dict[str, Any]:
        calls = watch.calls["denoise"]
        seconds: dict[str, float | None] = {
            "denoise_s": watch.seconds["denoise"],
            "local_map_s": watch.seconds["local_map"] + watch.seconds["observe"],
            "transition_s": watch.seconds["transition"],
        }
        if self.graph.record:
            calls, seconds = taken, dict.fromkeys(seconds)
        return {
            **self.compiled,
            "images": images,
            "steps": taken,
            "denoiser_calls": calls,
            "total_s": total,
            **seconds,
            "peak_bytes": peak_bytes(self.device),
        }
