"""K gradient steps with the data term differentiated by autograd: for any operator that torch can differentiate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators.base import Operator
from .device import Index, gather, settle, weights
from .reference import Observed
from .settings import LocalMAP


class Autograd:
    """x <- x - eta [(1 - r)(x - xhat) + r k2 grad (1/2)||H(x) - y||^2]; the surrogate of Eq. 17 where H has no gradient."""

    name = "autograd"
    capturable = True
    few_passes = False

    def __init__(self, operator: Operator, settings: LocalMAP, sigmas: Sequence[float]) -> None:
        self.operator, self.settings, self.sigmas = operator, settings, sigmas
        self.steps = settings.whole_steps()
        self._weights = weights(settings, sigmas, operator.device)

    def observe(self, y: Tensor) -> Observed:
        return (y,)

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor:
        (y,) = observed
        pull, weight = self._constants(settle(index, self._weights.device), xhat.dtype)
        x = xhat.clone()
        for _ in range(self.steps):
            g = self._data_gradient(x, y)
            x.lerp_(xhat, pull).addcmul_(g, weight, value=-1)
        return x

    def kind(self, index: int) -> int:
        return 0

    def _constants(self, index: Index, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """eta (1 - r) and eta r k2 of a step, scalars on the device."""
        pull, weight = (self.settings.eta * gather(self._weights, index)).to(dtype).unbind()
        return pull, weight

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
