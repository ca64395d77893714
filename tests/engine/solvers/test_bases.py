"""Every use of a basis is a function of H^T H, so a run does not depend on which basis it was: Fourier, separable or an SVD."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators, solvers
from lmaps.engine.operators import LinearOperator

from ..local_map.dense import Dense
from .problem import relative
from .test_contract import options, shrink

SIDES = (8, 12)
KERNEL = torch.tensor([[0.1, 0.3, 0.05], [0.2, 0.6, -0.1]])
OPERATORS: dict[str, LinearOperator] = {
    "fourier": operators.Blur(KERNEL, padding="circular"),
    "separable": operators.SuperResolution(4),
    "pixels": operators.Inpainting.random(keep=0.4, seed=2),
}
SCHEDULE = [4.0, 1.0, 0.3, 0.0]
# The others ask H for nothing but products with it and its transpose; LMAPS's own strategies have their own tests.
NAMES = [name for name in solvers.available() if name not in ("lmaps", "sitcom", "dps", "lgd", "dmplug", "resample")]


def dense(operator: LinearOperator) -> Dense:
    pixels = torch.eye(96, dtype=torch.float64).reshape(96, 1, *SIDES)
    return Dense(operator(pixels).flatten(1).T.contiguous(), (1, *SIDES), diagonal=True)


@pytest.mark.parametrize("kind", list(OPERATORS))
@pytest.mark.parametrize("name", NAMES)
def test_a_run_does_not_depend_on_the_basis(name: str, kind: str) -> None:
    operator = OPERATORS[kind]
    truth = torch.rand(2, 1, *SIDES, generator=torch.Generator().manual_seed(1)) - 0.5
    y = operator.degrade(truth, noise=0.1, seed=3)
    chosen = {**options(name)}
    if name == "red-diff":
        chosen["start"] = "zero"
    if name == "dcdp":
        chosen["step"] = 0.5

    def run(h: LinearOperator, measured: Tensor) -> Tensor:
        return lmaps.sample(shrink, h, measured, schedule=SCHEDULE, solver=name, seed=4, **chosen)

    ours, theirs = run(operator, y), run(dense(operator), y.flatten(1))
    assert relative(ours, theirs) < 2e-3
    assert relative(ours, run(operator, 0.5 * y)) > 0.01
