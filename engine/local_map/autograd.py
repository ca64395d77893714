"""K gradient steps with the data term differentiated by autograd: for any operator that torch can differentiate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators.base import Operator
from .reference import Observed
from .settings import LocalMAP


class Autograd:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 grad (1/2)||H(x) - y||^2]; the surrogate of Eq. 17 where H has no gradient."""

    name = "autograd"

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float]) -> None:
        self.operator, self.settings, self.sigmas = operator, settings, sigmas
        self.steps = settings.whole_steps()

    def observe(self, y: Tensor) -> Observed:
        return (y,)

    def solve(self, xhat: Tensor, observed: Observed, index: int) -> Tensor:
        (y,) = observed
        sigma, eta = self.sigmas[index], self.settings.eta
        pull, weight = 1 - self.settings.r(sigma), self.settings.weight(sigma)
        x = xhat.clone()
        for _ in range(self.steps):
            g = self._data_gradient(x, y)
            x.lerp_(xhat, eta * pull).sub_(g, alpha=eta * weight)
        return x

    def _data_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        if not self.operator.differentiable:
            return self.operator.data_gradient(x, y)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            half_misfit = 0.5 * (self.operator(leaf) - y).square().sum()
            (g,) = torch.autograd.grad(half_misfit, leaf)
        return g

    def describe(self) -> dict[str, object]:
        return {"strategy": self.name, "inner_steps": self.settings.inner_steps}
