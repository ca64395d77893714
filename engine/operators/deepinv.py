"""Operators from the deepinv library (`deepinv.physics`), which speaks [0, 1] where this one speaks [-1, 1]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Operator


def from_deepinv(physics: Any) -> DeepinvLinear | DeepinvOperator:
    """Wrap a `deepinv.physics` object: linear physics as `DeepinvLinear`, any other as `DeepinvOperator`.

    Its own noise model is left out: `degrade` adds the noise. Raises TypeError for what is not a physics object.
    """
    # Known by the names of their base classes: deepinv itself need not be imported, and physics that are not linear may
    # have an A_adjoint too.
    bases = {base.__name__ for base in type(physics).__mro__}
    if "Physics" not in bases:
        raise TypeError(f"from_deepinv takes a deepinv.physics object, got {type(physics).__name__}")
    return DeepinvLinear(physics) if "LinearPhysics" in bases else DeepinvOperator(physics)


class DeepinvLinear(LinearOperator):
    """H(x) = A x with x in [-1, 1], for linear physics A.

    deepinv measures y' = A x' of x' = (x + 1)/2, which is affine in x; H leaves the constant out, so that it is linear:

        y = 2 y' - A 1

    `measurement(y')` turns a measurement made by deepinv into this form; noise of deviation s in y' is 2 s in y.
    """

    def __init__(self, physics: Any) -> None:
        super().__init__()
        self.physics = physics

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "from_deepinv")
        return _tensor(self.physics.A(x))

    def adjoint(self, u: Tensor) -> Tensor:
        return _tensor(self.physics.A_adjoint(u))

    def pinv(self, y: Tensor) -> Tensor:
        """deepinv's own pseudo-inverse, iterative where it has no closed form."""
        return _tensor(self.physics.A_dagger(y))

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return tuple(self.adjoint(y).shape)

    def measurement(self, y: Tensor) -> Tensor:
        """2 y' - A 1 for a measurement y' that deepinv made of a picture in [0, 1]."""
        ones = torch.ones(self.picture_shape(y), dtype=y.real.dtype if y.is_complex() else y.dtype, device=y.device)
        return 2 * y - self.forward(ones)


class DeepinvOperator(Operator):
    """H(x) = A((x + 1)/2) with x in [-1, 1], for physics A that is not linear. Measurements are those of deepinv."""

    def __init__(self, physics: Any) -> None:
        super().__init__()
        self.physics = physics

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "from_deepinv")
        return _tensor(self.physics.A(0.5 * x + 0.5))


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"this physics gives {type(value).__name__}, not one tensor: it cannot be used here")
    return value
