"""RED-diff: one picture mu, optimised through all noise levels; the network says where its noisy copy should go.

    x      = mu + sigma n
    g      = v J^T (H(mu) - y) + w (mu - xhat),     w = lambda ("linear") or lambda / sigma ("constant")
    mu     <- mu - Adam(g)

The network's noise minus the true one is (x - xhat)/sigma - n = (mu - xhat)/sigma; the paper's weight lambda sigma ("linear" in
1/SNR) leaves lambda (mu - xhat). So the estimate is mu after one Adam step, the transition full re-noising.
Source: Mardani, Song, Kautz, Vahdat 2023, "A variational perspective on solving inverse problems with diffusion models",
Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import schedules
from ..operators import checks
from ..operators.base import Operator
from .adam import Adam
from .base import Shape, Solver, Step, Undefined

BETAS = (0.9, 0.99)


class REDdiff(Solver):
    """lr: of Adam.   weight: lambda.   data_weight: v.   weighting: see above.

    reduction: "mean" averages both terms over their own entries, as the authors do (per image: y may be smaller than x);
    "sum" adds them up, as InverseBench does.   start: "operator" begins at the operator's `start(y)`, "zero" at mid-grey.
    """

    name = "red-diff"
    mend = "lower lr"

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        lr: float = 0.1,
        weight: float = 0.25,
        data_weight: float = 1.0,
        weighting: str = "linear",
        reduction: str = "mean",
        start: str = "operator",
    ) -> None:
        self.operator = operator
        self.lr = checks.real(lr, "lr", 0, open_low=True)
        self.weight = checks.real(weight, "weight", 0)
        self.data_weight = checks.real(data_weight, "data_weight", 0)
        self.weighting = checks.one_of(weighting, "weighting", ("linear", "constant"))
        self.reduction = checks.one_of(reduction, "reduction", ("mean", "sum"))
        self.start = checks.one_of(start, "start", ("operator", "zero"))

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor:
        return schedules.ddim(1000 if steps is None else steps)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        mu = torch.zeros_like(x) if self.start == "zero" else self._first_guess(at.observed)
        at.memory.update(mu=mu, adam=Adam(self.lr, BETAS))
        return mu + x

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        mu, adam = at.memory["mu"], at.memory["adam"]
        per_entry = mu[0].numel() / at.observed[0].numel() if self.reduction == "mean" else 1.0
        prior = self.weight if self.weighting == "linear" else self.weight / at.sigma
        g = self.data_weight * per_entry * self.operator.data_gradient(mu, at.observed) + prior * (mu - xhat)
        at.memory["mu"] = mu - adam.step(g)
        return at.memory["mu"]

    def _first_guess(self, y: Tensor) -> Tensor:
        try:
            return self.operator.start(y)
        except NotImplementedError as problem:
            raise Undefined(f'solver "red-diff" cannot start: {problem}; use start="zero"') from problem
