"""`compile`: everything that can be decided before a measurement is there. `Restorer`: a plan that runs many times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import schedules, settings, solvers
from .denoisers import BackendUnavailable, Denoiser, open_tiled
from .loop import Callback, Status, check_measurement, image_seeds, run
from .operators import Operator
from .priors import Prior, load_prior
from .solvers import Solver
from .solvers import table as solver_table
from .timing import Stopwatch, Timed

GRADIENT_BACKENDS = ("torch", "torch-compile")
MEANING: dict[Status, str] = {
    "ok": "all steps done",
    "cancelled": "the callback returned False: the image is the latest estimate",
    "diverged": "the state stopped being finite: the image is the last finite estimate. Shorten the step (eta) or check the "
    "measurement's scale",
}


@dataclass(frozen=True, slots=True)
class Result:
    """image [B, C, H, W] float32 in [0, 1]; status "ok", "cancelled" or "diverged"; stats: what ran and how long it took."""

    image: Tensor
    status: Status
    stats: dict[str, Any]

    @property
    def message(self) -> str:
        """What the status means."""
        return MEANING[self.status]


class Restorer:
    """A task compiled for one picture size: operator, solver, schedule and denoiser, ready to run. Made by `compile`.

    Holds nothing of a measurement, so one restorer serves several threads.
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
    ) -> None:
        self.operator, self.solver, self.denoiser = operator, solver, denoiser
        self.sigmas, self.shape, self.device = tuple(sigmas), shape, device
        self.compiled = compiled
        with torch.no_grad():
            self.measurement_shape = tuple(operator(torch.zeros((1, *shape[1:]), device=device)).shape[1:])

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def __call__(self, y: Tensor | np.ndarray, *, seed: int = 0, callback: Callback | None = None) -> Result:
        """Restore measurements y [B, ...] (torch or NumPy, float, in the operator's units; pictures in [-1, 1]).

        Any number of images: they run `batch` at a time. Image b draws its noise from seed + b. `callback` is called with a
        `Progress` after each step of each batch; returning False cancels.
        Raises TypeError or ValueError naming what is wrong with y.
        """
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
            images.append(torch.zeros((missing, *self.shape[1:]), device=self.device))
        image = ((torch.cat(images) + 1) / 2).clamp(0, 1)
        return Result(image, status, self._stats(watch, time.perf_counter() - started, taken, len(measured)))

    def _run(
        self, y: Tensor, seeds: Sequence[int], watch: Stopwatch, callback: Callback | None
    ) -> tuple[Tensor, Status, int]:
        """One batch; a short last one is filled up with copies, since the denoiser's shape is fixed."""
        short = self.shape[0] - len(y)
        if short:
            y = torch.cat([y, y[-1:].expand(short, *y.shape[1:])])
            seeds = [*seeds, *[seeds[-1]] * short]
        solver = Timed(self.solver, watch)
        x, status, done = run(watch.denoise(self.denoiser), solver, y, self.sigmas, self.shape, seeds, callback)
        x = x[: len(x) - short]
        return torch.nan_to_num(x), status, done

    def _checked(self, y: Tensor | np.ndarray) -> Tensor:
        measured = torch.as_tensor(y)
        check_measurement(measured)
        if tuple(measured.shape[1:]) != self.measurement_shape:
            raise ValueError(
                f"y must have shape [B, {', '.join(map(str, self.measurement_shape))}] for pictures of "
                f"{self.shape[2]}x{self.shape[3]}, got {tuple(measured.shape)}: compile with the right size=(H, W)"
            )
        wanted = torch.complex64 if measured.is_complex() else torch.float32
        return measured.to(device=self.device, dtype=wanted)

    def _stats(self, watch: Stopwatch, total: float, taken: int, images: int) -> dict[str, Any]:
        return {
            **self.compiled,
            "images": images,
            "steps": taken,
            "denoiser_calls": watch.calls["denoise"],
            "total_s": total,
            "denoise_s": watch.seconds["denoise"],
            "local_map_s": watch.seconds["local_map"] + watch.seconds["observe"],
            "transition_s": watch.seconds["transition"],
        }


def compile(
    task_or_operator: str | Operator,
    prior: str | Prior = "photo",
    *,
    size: tuple[int, int],
    batch: int = 1,
    solver: str = "lmaps",
    steps: int | None = None,
    device: str | torch.device = "auto",
    backend: str = "auto",
    precision: str = "auto",
    preset: str = "auto",
    noise: float | None = None,
    threads: int | None = None,
    schedule: Tensor | Sequence[float] | None = None,
    task: str | None = None,
    tile: int | None = None,
    **solver_options: Any,
) -> Restorer:
    """Plan a restoration once, run it many times.

    task_or_operator: a task's name, or any `Operator`.   prior: a name, a folder, or a `Prior`.
    size:    height and width of the restored picture in pixels.   batch: images a denoiser call.
    steps:   N; by default the preset's, or the solver's own.   schedule: noise levels of your own instead of that grid.
    device:  "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1".
    backend, precision: see `denoisers.open_denoiser`; an explicit choice works or raises. For solvers that need the gradient of
             the network (dps, sitcom, ...) "auto" is torch.
    preset:  "photo", "paper", or "auto" for the one that belongs to the prior.   task: whose row of it an operator of your own
             takes; by default the nearest.
    tile:    run the network on overlapping tiles of this side, for pictures too large for it; None is the whole picture.
    noise:   sigma_y of the measurement in its own units (default 0.05); k2 and eta follow it.
    solver_options: override the preset (or, for other solvers, the row of `solvers.toml`); for "lmaps":
             k1, k2, eta, inner_steps, strategy, data_gradient, rho.

    Raises ValueError or TypeError for bad arguments, `denoisers.BackendUnavailable` for a backend that cannot run.
    """
    started = time.perf_counter()
    height, width = _checked_size(size)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    where = _device(device)
    model = load_prior(prior) if isinstance(prior, str) else prior
    shape = (batch, model.channels, height, width)
    operator, nearest = settings.resolve(task_or_operator)
    task = task or nearest
    operator.to(where)
    row = settings.choose(operator, task, preset=preset, prior=model.name, noise=noise, shape=shape)
    kind = solvers.get(solver)
    if schedule is None:
        wanted = solver_table.steps(solver, task) if steps is None else steps
        schedule = kind.schedule(wanted)
        if schedule is None:
            schedule = schedules.edm(row.steps if wanted is None else wanted, row.sigma_max, row.sigma_min)
    sigmas = [float(s) for s in schedules.validated(schedule)]
    options = row.options() if solver == "lmaps" else solver_table.defaults(solver, task, noise)
    method = solvers.build(solver, operator, sigmas, shape, **{**options, **solver_options})
    denoiser = open_tiled(
        model,
        tile=tile,
        backend=_backend_for(kind, backend),
        precision=precision,
        size=size,
        batch=batch,
        device=where,
        threads=threads,
    )
    denoiser(torch.zeros(shape, device=where), torch.full((batch,), sigmas[0], device=where))
    compiled = {
        "task": task,
        "operator": type(operator).__name__,
        "prior": model.name,
        "size": (height, width),
        "batch": batch,
        "device": str(where),
        "sigma_max": sigmas[0],
        "sigma_min": sigmas[-2],
        **denoiser.describe(),
        **method.describe(),
        "gradient": kind.needs_gradient,
        "compile_s": time.perf_counter() - started,
    }
    return Restorer(operator, method, denoiser, sigmas, shape, where, compiled)


def _backend_for(solver: type[Solver], backend: str) -> str:
    """The backend to open: torch where the solver differentiates the network and nothing else was asked for."""
    if not solver.needs_gradient:
        return backend
    if backend == "auto":
        return "torch"
    if backend not in GRADIENT_BACKENDS:
        raise BackendUnavailable(
            f"solver {solver.name!r} needs the gradient of the network, which backend {backend!r} does not have: use "
            f"backend={' or '.join(map(repr, GRADIENT_BACKENDS))} or auto"
        )
    return backend


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (int(n) for n in size)
    except (TypeError, ValueError):
        raise ValueError(f"size must be two whole numbers (height, width), got {size!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"size must be positive, got {height}x{width}")
    return height, width


def _device(device: str | torch.device) -> torch.device:
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}: use 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    if where.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: use 'auto', 'cpu', 'cuda' or 'cuda:1'")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch sees no CUDA device: use device='cpu'")
    return where
