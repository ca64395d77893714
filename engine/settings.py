"""From a task or an operator to the settings it is run with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from . import operators, presets, science, tasks
from .operators import LinearOperator, Operator
from .operators.base import norm_squared
from .presets import Preset

# The task whose row is nearest to an operator, for operators that are not exactly a task's.
_NEAREST: tuple[tuple[type[Operator], str], ...] = (
    (operators.SuperResolution, "sr4"),
    (operators.Inpainting, "inpaint-random"),
    (operators.GaussianBlur, "deblur-gaussian"),
    (operators.Blur, "deblur-motion"),
    (operators.PhaseRetrieval, "phase-retrieval"),
    (operators.HDR, "hdr"),
    (operators.JPEG, "jpeg"),
    (operators.Quantize, "quantize"),
    (operators.Denoise, "denoise"),
    (operators.InverseScattering, "scattering"),
    (operators.MRI, "mri"),
    (operators.BlackHole, "blackhole"),
)


def resolve(task_or_operator: str | Operator) -> tuple[Operator, str | None]:
    """The operator, and the task whose settings fit it (None where no row is near)."""
    if isinstance(task_or_operator, str):
        return tasks.build(task_or_operator), task_or_operator
    if not isinstance(task_or_operator, Operator):
        raise TypeError(f"need a task's name or an Operator, got {type(task_or_operator).__name__}")
    return task_or_operator, next((task for kind, task in _NEAREST if isinstance(task_or_operator, kind)), None)


def choose(
    operator: Operator,
    task: str | None,
    *,
    preset: str,
    tuned: str | None,
    noise: float | None,
    largest: Callable[[], float] | None,
) -> Preset:
    """The preset row for this operator at this noise level, its step eta made safe by eta k2 L <= 1 where H is linear.

    largest: gives L = lmax(J^T J), and is called only where it is needed; None for a method that has no use for eta.
    tuned: the preset that the prior names, which "auto" takes; None for the paper's. The scientific operators have several rows
    a task (`science.row_of`); a preset without any borrows the paper's.
    """
    _check(noise)
    name = presets.resolve(preset, tuned)
    special = science.row_of(operator, noise)
    task = special or task
    row = presets.load(name, task) if task is not None else None
    if row is None and special is not None:
        row = presets.borrowed(name, special)
    if row is not None:
        row = row.for_coarseness(operator.coarseness)
    if row is not None and largest is not None and not science.as_published(operator):
        row = replace(row, k2=1 / (row.eta * largest()))
    if row is None:
        row = presets.derived(name, 1.0 if largest is None else largest())
    elif isinstance(operator, LinearOperator) and largest is not None:
        bound = row.eta * row.k2 * largest()
        row = replace(row, eta=row.eta / max(1.0, bound / row.reach))
    return row.for_noise(row.noise if noise is None else noise)


def of_plain_denoising(operator: Operator, noise: float | None) -> Preset | None:
    """One call of the network where the measurement is a noisy picture (see `presets.one_call`); None elsewhere."""
    _check(noise)
    if not isinstance(operator, operators.Denoise):
        return None
    return presets.one_call(presets.REFERENCE_NOISE if noise is None else noise)


def _check(noise: float | None) -> None:
    if noise is not None and not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is a standard deviation and must be >= 0, got {noise}")


def largest_eigenvalue(operator: Operator, shape: Sequence[int]) -> float:
    """L = lmax(J^T J): by power iteration, for a non-linear operator at one random picture (an estimate, no bound)."""
    if isinstance(operator, LinearOperator):
        basis = operator.spectrum(tuple(shape))
        return float(basis.eigenvalues.amax()) if basis is not None else norm_squared(operator, tuple(shape))
    generator = torch.Generator().manual_seed(0)
    picture = (torch.rand((1, *shape[1:]), generator=generator, dtype=torch.float32) - 0.5).to(operator.device)
    v = torch.randn((1, *shape[1:]), generator=generator, dtype=torch.float32).to(operator.device)
    lam = 0.0
    for _ in range(20):
        v = v / torch.linalg.vector_norm(v)
        step = 1e-3
        change = (operator(picture + step * v) - operator(picture - step * v)) / (2 * step)
        v = operator.surrogate_vjp(picture, change)
        lam = float(torch.linalg.vector_norm(v))
        if lam == 0:
            break
    return lam
