"""K gradient steps launched one by one on a GPU: phase retrieval, blurs and MRI, each step a launch or two in Triton.

Checked in Triton's interpreter; not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...kernels import available, blur, mri, phase_retrieval, radix
from ...kernels.timing import Choice
from ..operators import MRI, Blur, PhaseRetrieval
from ..operators.base import Operator
from ..operators.phase_retrieval import even_half
from .device import Launched, table
from .gpu_linear import blur_plan
from .settings import LocalMAP

# Steps that are timed to choose a way.
MEASURED_STEPS = 10


def serves(operator: Operator) -> bool:
    """There are step kernels for this kind of operator, and they run here."""
    return isinstance(operator, PhaseRetrieval | Blur | MRI) and available()[0]


def launched(
    operator: Operator, settings: LocalMAP, sigmas: Sequence[float], shape: Sequence[int], device: torch.device
) -> Launched:
    """The steps of `operator`. Raises ValueError for one that has no step kernels, or a size that they do not take."""
    rows, steps = table(settings, sigmas, device), settings.whole_steps()
    if isinstance(operator, PhaseRetrieval):
        return _phase_retrieval(operator, rows, steps, shape, device)
    if isinstance(operator, Blur):
        return _blur(operator, rows, steps, shape, device)
    if isinstance(operator, MRI):
        return _mri(operator, rows, steps, shape, device)
    raise ValueError(f"{type(operator).__name__} has no step kernels: use strategy auto")


def _phase_retrieval(
    operator: PhaseRetrieval, rows: Tensor, steps: int, shape: Sequence[int], device: torch.device
) -> Launched:
    """In the way that was the quickest when measured here."""
    frame = operator.measurement_size(shape[2], shape[3])
    plan, choice = _frame(frame, device)
    if choice is None:
        # Noise, since the ways are compared with float64, and the phase of a spectrum that is nearly zero is arbitrary.
        picture = _noise(shape, 0, device)
        half = phase_retrieval.measurement(operator(_noise(shape, 1, device)))
        few = min(steps, MEASURED_STEPS)
        choice = _quickest(device, lambda: phase_retrieval.fastest_way(picture, half, plan, rows, 0, few))
    way = choice.way
    return Launched(
        lambda y: even_half(y).contiguous(),
        lambda xhat, y, index: phase_retrieval.run(way, xhat.contiguous(), y, plan, rows, index, steps),
        f"phase-retrieval {way}",
        choice.passed_over,
    )


def _frame(frame: tuple[int, int], device: torch.device) -> tuple[phase_retrieval.Plan, Choice | None]:
    """The transforms of a frame, and where there is only one way, that; it is torch for lengths that the kernels do not take,
    of which the plan then holds the lengths alone."""
    try:
        return phase_retrieval.plan(*frame, device), None
    except ValueError as refusal:
        down, across = (
            radix.Axis(length, 0, 0, torch.empty(0, device=device, dtype=torch.float32)) for length in frame
        )
        return phase_retrieval.Plan(down, across), Choice("torch", {"kernels": str(refusal)})


def _noise(shape: Sequence[int], seed: int, device: torch.device) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float32).to(device)


def _quickest(device: torch.device, measure: Callable[[], Choice]) -> Choice:
    """The way that `measure` finds on a GPU; in the interpreter, where there is nothing to measure, the kernels."""
    return measure() if device.type == "cuda" else Choice("ieee")


def _blur(operator: Blur, rows: Tensor, steps: int, shape: Sequence[int], device: torch.device) -> Launched:
    plan = blur_plan(operator, device)
    blur.check_size(plan, shape[2], shape[3])
    return Launched(
        lambda y: y.contiguous(),
        lambda xhat, y, index: blur.steps(xhat.contiguous(), y, plan, rows, index, steps),
        "triton blur",
    )


def _mri(operator: MRI, rows: Tensor, steps: int, shape: Sequence[int], device: torch.device) -> Launched:
    maps, mask = operator.parts(torch.zeros(tuple(shape), device=device, dtype=torch.float32))
    size = maps.shape[-2:]
    made = mri_steps(maps[None].contiguous(), mask.expand(size)[None, None].contiguous(), rows, steps, shape[0])
    return replace(made, observe=lambda y: made.observe(torch.view_as_complex(y.contiguous())))


def mri_steps(maps: Tensor, mask: Tensor, rows: Tensor, steps: int, batch: int) -> Launched:
    """Cartesian MRI with coil maps, complex [1 or B, coils, H, W], and mask [1 or B, 1, H, W], zero frequency in the middle.

    x [B, 2, H, W] is (real, imaginary); y complex [B, coils, H, W]. In the way that was the quickest when measured here.
    """
    plan = mri.plan(maps, mask)
    picture = _noise((batch, 2, *maps.shape[2:]), 0, maps.device)
    y = mri.measurement(torch.zeros((batch, *maps.shape[1:]), dtype=maps.dtype, device=maps.device))
    few = min(steps, MEASURED_STEPS)
    choice = _quickest(maps.device, lambda: mri.fastest_way(picture, y, plan, rows, 0, few))
    way = choice.way
    return Launched(
        mri.measurement,
        lambda xhat, y, index: mri.run(way, xhat.contiguous(), y, plan, rows, index, steps),
        f"mri {way}",
        choice.passed_over,
    )
