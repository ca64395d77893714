"""`compile`: everything that can be decided before a measurement is there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..kernels.timing import RECORDING
from . import graph_choice, inference, schedules, settings, solvers, torch_threads
from .denoisers import BackendUnavailable, open_tiled
from .local_map.device import on_gpu
from .operators import LinearOperator, Operator
from .presets import Preset
from .priors import Prior, load_prior
from .restorer import Restorer, Result
from .solvers import Solver
from .solvers import table as solver_table
from .timing import Laps

__all__ = ["Restorer", "Result", "compile"]

GRADIENT_BACKENDS = ("torch", "torch-compile", "torch-compile-max")


@inference.left()
def compile(
    task_or_operator: str | Operator,
    prior: str | Path | Prior = "photo",
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
    graph: graph_choice.Asked = "auto",
    **solver_options: Any,
) -> Restorer:
    """Plan a restoration once, run it many times.

    task_or_operator: a task's name, or any `Operator`.   prior: a name, a folder, or a `Prior`.
    size:    height and width of the restored picture in pixels.   batch: images a denoiser call.
    steps:   N; by default the preset's, or the solver's own.   schedule: noise levels of your own instead of that grid.
    device:  "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1".
    backend, precision: see `denoisers.open_denoiser`; an explicit choice works or raises. For solvers that need the gradient of
             the network (dps, sitcom, ...) "auto" is torch. backend="quick" is "auto" that times nothing on a GPU.
    preset:  "photo", "paper", or "auto" for the one that belongs to the prior.   task: whose row of it an operator of your own
             takes; by default the nearest.
    tile:    run the network on overlapping tiles of this side, for pictures too large for it; None is the whole picture.
    graph:   on a GPU, record a step as a CUDA graph and replay it N times ("auto": where the solver and the backend allow),
             all N steps as one launch ("loop"), or run from Python (False), with the same image. True and "loop" work or raise.
    noise:   sigma_y of the measurement in its own units (by default the row's: 0.05 for pictures); k2 and eta follow it.
             Plain denoising, with no other settings asked for, is one call of the network at this level: the posterior mean.
    solver_options: override the preset (or, for other solvers, the row of `solvers.toml`); for "lmaps":
             k1, k2, eta, inner_steps, strategy, data_gradient, rho.

    Raises ValueError or TypeError for bad arguments, `denoisers.BackendUnavailable` for a backend that cannot run.
    """
    laps = Laps()
    height, width = _checked_size(size)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    graph_choice.check(graph)
    where = _device(device)
    model = _loaded(prior)
    laps.end("prior_s")
    shape = (batch, model.channels, height, width)
    operator, nearest = settings.resolve(task_or_operator)
    task = task or nearest
    operator = graph_choice.own_copy(operator) if on_gpu(where) else operator
    operator.to(where)
    largest = cache(lambda: settings.largest_eigenvalue(operator, shape))
    ours = solver == "lmaps"
    as_it_is = (
        preset == "auto" and steps is None and schedule is None and not solver_options and graph in ("auto", False)
    )
    row = settings.of_plain_denoising(operator, noise) if ours and as_it_is else None
    row = row or settings.choose(
        operator, task, preset=preset, tuned=model.config.preset, noise=noise, largest=largest if ours else None
    )
    laps.end("settings_s")
    kind = solvers.get(solver)
    sigmas = _sigmas(kind, task, steps, schedule, row)
    options = row.options() if ours else solver_table.defaults(solver, task, row.noise if noise is None else noise)
    if ours and isinstance(operator, LinearOperator):
        options["largest"] = largest()
    # What a recording uses of the operator must not be evicted by other sizes that `restorer.operator` is used for.
    inner = graph_choice.own_copy(operator) if on_gpu(where) else operator
    with _alone_on(where):
        method = solvers.build(solver, inner, sigmas, shape, **{**options, **solver_options})
        laps.end("solver_s")
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
        described = denoiser.describe()
        prepare = described.pop("prepare", {})
        laps.end("denoiser_s", prepare)
        if "warm_up_s" not in prepare:
            denoiser(
                torch.zeros(shape, device=where, dtype=torch.float32),
                torch.full((batch,), sigmas[0], device=where, dtype=torch.float32),
            )
            laps.end("warm_up_s")
    compiled = {
        "task": task,
        "operator": type(operator).__name__,
        "prior": model.name,
        "size": (height, width),
        "batch": batch,
        "device": str(where),
        "sigma_max": sigmas[0],
        "sigma_min": sigmas[-2],
        **described,
        **method.describe(),
        "gradient": kind.needs_gradient,
        "torch_threads": "one" if torch_threads.one_is_enough(denoiser, method, shape, where) else "its own",
    }
    choice = graph_choice.choose(graph, where, method, denoiser)
    restorer = Restorer(operator, method, denoiser, sigmas, shape, where, compiled, choice)
    if choice.record:
        _record(restorer, required=graph != "auto")
        laps.end("record_s")
    compiled |= {"graph": restorer.graph_name, "prepare": laps.seconds, "compile_s": laps.total()}
    return restorer


def _loaded(prior: str | Path | Prior) -> Prior:
    if isinstance(prior, str | Path):
        return load_prior(prior)
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a name, a folder or a Prior, got {prior!r}")
    return prior


@contextmanager
def _alone_on(where: torch.device) -> Iterator[None]:
    """On a GPU it is the current one inside, where whatever names no device is launched and timed, and others wait: run times
    are opened and measured, which wait for the whole GPU and would break other threads' recordings."""
    if not on_gpu(where):
        yield
        return
    with RECORDING, torch.cuda.device(where):
        yield


def _sigmas(
    kind: type[Solver],
    task: str | None,
    steps: int | None,
    schedule: Tensor | Sequence[float] | None,
    row: Preset,
) -> list[float]:
    """The noise levels: the caller's, the method's own, or the preset's grid."""
    if schedule is None:
        schedule = solver_table.schedule(kind.name, task, steps)
        if schedule is None:
            schedule = schedules.edm(row.steps if steps is None else steps, row.sigma_max, row.sigma_min)
    return [float(s) for s in schedules.validated(schedule)]


def _record(restorer: Restorer, *, required: bool) -> None:
    """Record the restorer's graph; where that fails and was not `required`, run from Python and say so.

    What a step must not do is looked for before a recording begins; one that breaks midway says what that leaves behind.
    """
    try:
        restorer.record()
    except Exception as error:
        if required:
            raise RuntimeError(f"recording the CUDA graph failed: {error}. Use graph='auto' or False") from error
        restorer.graph = graph_choice.GraphChoice(False, reason=f"recording failed: {error}")
        warnings.warn(f"running without a CUDA graph: {restorer.graph.reason}", RuntimeWarning, stacklevel=4)


def _backend_for(solver: type[Solver], backend: str) -> str:
    """The backend to open: torch where the solver differentiates the network and nothing else was asked for."""
    if not solver.needs_gradient:
        return backend
    if backend in ("auto", "quick"):
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
    try:
        where = torch.device(_best() if str(device) == "auto" else device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}: use 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    if where.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not supported: use 'auto', 'cpu', 'cuda' or 'cuda:1'")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but torch sees no CUDA device: use device='cpu'")
    if where.type == "cuda" and where.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return where


def _best() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
