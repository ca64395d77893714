"""Figure 2 of the paper, once: DPS, DAPS, LMAPS and their kin are this loop with another `estimate`.

x ~ N(0, sigma_max^2 I)
for sigma in schedule:
    xhat = denoise(x, sigma)
    x0   = estimate(xhat, x, sigma, y)
    x    = transition(x0, x, sigma_next)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import torch
from torch import Tensor

from . import inference, schedules, solvers
from .operators.base import Operator
from .solvers import Denoise, Solver, Step
from .transition import initial_state

Status = Literal["ok", "cancelled", "diverged"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a callback sees after each step: steps done, steps in all, the noise level just left, the estimate x0."""

    step: int
    steps: int
    sigma: float
    x0: Tensor


Callback = Callable[[Progress], object]


class Diverged(FloatingPointError):
    """The state of the loop stopped being finite."""


def run(
    denoise: Denoise,
    solver: Solver,
    y: Tensor,
    sigmas: Sequence[float],
    shape: Sequence[int],
    seeds: Sequence[int],
    callback: Callback | None = None,
) -> tuple[Tensor, Status, int]:
    """Run the loop for pictures of `shape` [B, C, H, W]; returns the last finite estimate, how it ended, the steps taken.

    A callback that returns False cancels after the step it was told about. Any other value lets the loop go on.
    """
    observed = solver.observe(y)
    memory: dict[str, Any] = {}
    steps = len(sigmas) - 1
    path = [Step(i, sigmas[i], sigmas[i + 1], observed, denoise, tuple(seeds), memory) for i in range(steps)]
    x = solver.begin(initial_state(shape[1:], sigmas[0], seeds, y.device), path[0])
    finite = torch.zeros_like(x)
    for i, at in enumerate(path):
        x0, x = advance(denoise, solver, x, at)
        if not bool(torch.isfinite(x.sum())):
            return finite, "diverged", i + 1
        finite = x0
        if callback is not None and callback(Progress(i + 1, steps, at.sigma, x0)) is False:
            return x0, "cancelled", i + 1
    return x, "ok", steps


def advance(denoise: Denoise, solver: Solver, x: Tensor, at: Step) -> tuple[Tensor, Tensor]:
    """One turn of the loop: (x0, the next x). What `run` repeats, and what a CUDA graph records (see `captured`)."""
    with torch.set_grad_enabled(solver.needs_gradient):
        x = x.requires_grad_(solver.needs_gradient)
        xhat = denoise(x, at.levels(x))
        x0 = solver.estimate(xhat, x, at).detach()
    return x0, solver.transition(x0, x.detach(), at)


@inference.left()
def sample(
    denoise: Denoise,
    operator: Operator,
    y: Tensor,
    *,
    schedule: Tensor | Sequence[float],
    solver: str = "lmaps",
    seed: int = 0,
    callback: Callback | None = None,
    **options: Any,
) -> Tensor:
    """Restore pictures from y = H(x) + noise with any denoiser.

    denoise:  callable (x [B, C, H, W], sigma [B]) -> E[x0 | x], with x = x0 + sigma n and x0 in [-1, 1] (alpha = 1).
    operator: H. y: its measurement, [B, ...], float32, in the operator's own units.
    schedule: decreasing noise levels that end with 0: `schedules.edm(...)`, `schedules.ddim(...)` or your own.
    solver:   a name of `solvers.available()`; its options follow, for "lmaps": k1, k2, eta, inner_steps=100 (or "exact"),
              strategy="auto", data_gradient="half", rho=1.0. `solvers.get(name)` says the others', and the noise levels of
              a method's own are `solvers.get(name).schedule(steps)`.
    seed:     image b draws its noise from seed + b, so that a batch equals its images alone.
    callback: called with a `Progress` after each step; return False to cancel, and the latest estimate is returned.

    Returns [B, C, H, W] float32, in [-1, 1] up to what the data term asks for (nothing is clamped).
    Raises ValueError or TypeError for bad arguments, `Diverged` when the state stops being finite.
    Source: Zhang, Brekelmans, Ver Steeg 2025, Figure 2 and Algorithm 4.
    """
    check_measurement(y)
    y = inference.usable(y.detach())
    sigmas = [float(s) for s in schedules.validated(schedule)]
    shape = operator.picture_shape(y)
    method = solvers.build(solver, operator, sigmas, shape, **options)
    x, status, steps = run(denoise, method, y, sigmas, shape, image_seeds(seed, shape[0]), callback)
    if status == "diverged":
        raise Diverged(
            f"the state stopped being finite at step {steps} of {len(sigmas) - 1}: the steps of {solver} are too long for this "
            f"operator ({method.mend}), or the denoiser returned a value that is not finite"
        )
    return x


def image_seeds(seed: int, batch: int) -> tuple[int, ...]:
    """seed, seed + 1, ...: one an image. Raises TypeError unless seed is a whole number, ValueError if negative."""
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    first = int(seed)  # NumPy's would overflow
    if not 0 <= first < 2**63:
        raise ValueError(f"seed must lie in [0, 2^63), got {seed}")
    return tuple(first + b for b in range(batch))


def check_measurement(y: Tensor) -> None:
    """Raises TypeError unless y is a float or complex tensor, ValueError when it is empty or not finite."""
    if not isinstance(y, Tensor):
        raise TypeError(f"y must be a torch tensor, got {type(y).__name__}")
    if not (y.is_floating_point() or y.is_complex()):
        raise TypeError(f"y must hold floating-point numbers, got {y.dtype}: scale a picture to [-1, 1] first")
    if y.ndim < 2 or y.numel() == 0:
        raise ValueError(f"y must be a batch with at least one image and one value, got shape {tuple(y.shape)}")
    bad = int((~torch.isfinite(y)).sum())
    if bad:
        raise ValueError(f"y holds {bad} of {y.numel()} values that are not finite: mend or mask the measurement first")
