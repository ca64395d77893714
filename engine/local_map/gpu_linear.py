"""Linear operators on a GPU: the closed form by a Triton kernel, and the quickest H^T H for the polynomial.

Checked in Triton's interpreter; not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels import available, blur, mask, spectral, timing
from ..operators import Blur, Inpainting
from ..operators.base import LinearOperator, Spectrum
from .device import Solve, table
from .settings import EXACT, LocalMAP
from .spectral import seen_in

Normal = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """K steps at once: `observe` is done once a measurement, `solve` once a step; kernel names what runs, for stats."""

    observe: Callable[[Tensor], Tensor]
    solve: Solve
    kernel: str


def closed_form(
    operator: LinearOperator,
    basis: Spectrum,
    settings: LocalMAP,
    sigmas: Sequence[float],
    shape: Sequence[int],
    device: torch.device,
) -> ClosedForm | None:
    """The closed form with its filter worked out inside a kernel, or None where Triton does not run."""
    if not available()[0]:
        return None
    rows = table(settings, sigmas, device)
    inner = None if settings.inner_steps == EXACT else int(settings.inner_steps)
    if isinstance(operator, Inpainting):
        weights = operator.mask(shape[-2], shape[-1])[None].to(device, torch.float32).contiguous()
        return ClosedForm(
            lambda y: y.contiguous(),
            lambda xhat, y, index: mask.closed_form(xhat.contiguous(), y, weights, rows, index, inner),
            "triton mask",
        )
    lam = _planes(basis, shape, device)
    # Where nothing is seen, H^T y is rounding error, which the exact minimiser would divide by 1 - r.
    seen = (lam > 1e-12 * lam.amax()).to(torch.float32)

    def observe(y: Tensor) -> Tensor:
        return (seen_in(basis, operator, y) * seen).contiguous()

    def solve(xhat: Tensor, target: Tensor, index: int | Tensor) -> Tensor:
        c = basis.to_basis(xhat).contiguous()
        change = spectral.apply(c, target, lam, rows, index, inner, correction=True)
        return xhat + basis.from_basis(change)

    return ClosedForm(observe, solve, "triton spectral")


def _planes(basis: Spectrum, shape: Sequence[int], device: torch.device) -> Tensor:
    """The eigenvalues as the kernel takes them: [1, 1 or C, ...], as large as a plane of coefficients."""
    with torch.no_grad():
        plane = basis.to_basis(torch.zeros((1, *shape[1:]), device=device, dtype=torch.float32)).shape[2:]
    lam = basis.eigenvalues.to(device, torch.float32)
    return lam.expand(1, lam.shape[1], *plane).contiguous()


def normal(operator: LinearOperator, shape: Sequence[int], device: torch.device) -> tuple[Normal, timing.Choice]:
    """x -> H^T H x and what runs it: for a blur the taps themselves or torch's FFTs, whichever is quicker here.

    Measures on the GPU where there is a choice; elsewhere, and for sizes the kernels do not take, the operator's own.
    """
    if not isinstance(operator, Blur) or not torch.cuda.is_available():
        return operator.normal, timing.Choice("torch")
    runs, reason = available()
    if not runs:
        return operator.normal, timing.Choice("torch", {"triton blur": reason})
    try:
        direct = direct_normal(operator, shape, device)
    except ValueError as refusal:
        return operator.normal, timing.Choice("torch", {"triton blur": str(refusal)})
    x = torch.randn(tuple(shape), device=device, generator=torch.Generator(device).manual_seed(0), dtype=torch.float32)
    ways = {"triton blur": lambda: direct(x), "torch fft": lambda: operator.normal(x)}
    choice = timing.fastest(ways, lambda: operator.normal(x.double()), tolerance=1e-5)
    return (direct if choice.way == "triton blur" else operator.normal), choice


def direct_normal(operator: Blur, shape: Sequence[int], device: torch.device) -> Normal:
    """x -> H^T H x by the kernel's taps. Raises ValueError for pictures smaller than the padding."""
    plan = blur_plan(operator, device)
    blur.check_size(plan, shape[-2], shape[-1])
    return lambda x: blur.adjoint(blur.measure(x.contiguous(), plan), plan)


def blur_plan(operator: Blur, device: torch.device) -> blur.Plan:
    """The blur's kernel, without the part of its border that is zero on both sides of the centre."""
    kernel = operator.kernel
    rows, columns = ((kernel != 0).any(axis).nonzero().flatten() for axis in (1, 0))
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    down = max(top - int(rows[0]), int(rows[-1]) - top)
    across = max(left - int(columns[0]), int(columns[-1]) - left)
    padded = torch.nn.functional.pad(kernel, (across, across, down, down))
    trimmed = padded[top : top + 2 * down + 1, left : left + 2 * across + 1]
    return blur.plan(trimmed, operator.padding, device)
