"""LMAPS: the estimate is the local MAP, argmax p(x0 | x_t, y) (Algorithms 3 and 4 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from ..local_map import LocalMAP, build
from ..local_map.settings import DataGradient
from ..operators import Denoise
from ..operators.base import Operator
from ..presets import Begin
from ..transition import kernel_name
from .base import Shape, Solver, Step, Undefined, check_rho


class LMAPS(Solver):
    """x0 = argmin_x (1 - r) ||x - xhat||^2 + r k2 ||y - H(x)||^2, solved by one of the strategies of `local_map`."""

    name = "lmaps"
    mend = "lower eta or k2: eta ((1 - r) + r k2 L), L = lmax(J^T J), must stay below 2"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        k1: float,
        k2: float,
        eta: float,
        inner_steps: int | Literal["exact"] = 100,
        strategy: str = "auto",
        data_gradient: DataGradient = "half",
        rho: float = 1.0,
        largest: float | None = None,
        begin: Begin = "noise",
    ) -> None:
        """largest: lmax(H^T H), for callers that know it; worked out where it is needed otherwise.

        begin: "measurement" where y is a picture with noise of sigmas[0], and so the first state itself.
        """
        if begin not in ("noise", "measurement"):
            raise ValueError(f'begin must be "noise" or "measurement", got {begin!r}')
        if begin == "measurement" and not isinstance(operator, Denoise):
            raise Undefined(f"begin='measurement' needs a noisy picture, which {type(operator).__name__} does not make")
        self._begin = begin
        self.rho = check_rho(rho)
        self.settings = LocalMAP(k1, k2, eta, inner_steps, strategy, data_gradient)
        self._transition = kernel_name(operator.device)
        try:
            self.local_map = build(operator, self.settings, sigmas, shape, largest)
        except ValueError as refusal:
            raise Undefined(str(refusal)) from refusal
        self.few_passes = self.local_map.few_passes

    def begin(self, x: Tensor, at: Step) -> Tensor:
        if self._begin == "noise":
            return x
        y: Tensor = at.observed[-1]
        return y.clone()

    def observe(self, y: Tensor) -> Any:
        observed = self.local_map.observe(y)
        return observed if self._begin == "noise" else (*observed, y)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        observed = at.observed if self._begin == "noise" else at.observed[:-1]
        return self.local_map.solve(xhat, observed, at.index)

    def obstacle(self) -> str | None:
        if self._begin == "measurement":
            return "it begins with the measurement, which is no part of a recording"
        return None if self.local_map.capturable else f"strategy {self.local_map.name!r} works out its steps in Python"

    def kind(self, index: int) -> int:
        return self.local_map.kind(index)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, **self.local_map.describe(), "transition_kernel": self._transition}
