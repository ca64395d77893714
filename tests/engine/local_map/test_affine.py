"""The strategies on affine operators: against the reference loop, and against the linear problem with y shifted."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from lmaps.engine.local_map import LocalMAP, build, choose
from lmaps.engine.operators import InverseScattering

from .affine import Shifted
from .dense import wide

SHAPE = (3, 5, 7)
SIGMAS = [100.0, 3.0, 0.5, 0.1, 0.02]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b.double()) / torch.linalg.vector_norm(b.double()))


@pytest.mark.parametrize(
    ("strategy", "inner_steps"),
    [
        ("reference", 40),
        ("autograd", 40),
        ("spectral", 40),
        ("polynomial", 40),
        ("reference", "exact"),
        ("spectral", "exact"),
    ],
)
def test_an_affine_operator_is_the_linear_one_with_y_shifted(
    strategy: str, inner_steps: int | Literal["exact"]
) -> None:
    dense = wide(20, SHAPE, diagonal=strategy == "spectral")
    affine = Shifted(dense)
    s = LocalMAP(k1=0.22, k2=100.0, eta=0.01, inner_steps=inner_steps, strategy=strategy)
    xhat = torch.rand(2, *SHAPE, dtype=torch.float64) * 2 - 1
    y = dense(torch.rand(2, *SHAPE, dtype=torch.float64) * 2 - 1)
    plans = [build(operator, s, SIGMAS, (2, *SHAPE)) for operator in (dense, affine)]
    seen = [plan.observe(measured) for plan, measured in zip(plans, (y, y + affine.b), strict=True)]
    for index in range(len(SIGMAS)):
        plain, shifted = (plan.solve(xhat, o, index) for plan, o in zip(plans, seen, strict=True))
        assert relative(shifted, plain) <= 1e-6
        assert relative(shifted, xhat) > 1e-3 or SIGMAS[index] < 0.05


@pytest.mark.parametrize(("strategy", "tolerance"), [("spectral", 1e-5), ("polynomial", 1e-4), ("autograd", 1e-5)])
def test_strategies_of_inverse_scattering_equal_the_reference_loop(strategy: str, tolerance: float) -> None:
    operator = InverseScattering(24, 6, side=16)
    shape = (2, 1, 16, 16)
    largest = float(operator.spectrum(shape).eigenvalues.max())
    generator = torch.Generator().manual_seed(4)
    xhat, truth = torch.rand((2, *shape), generator=generator, dtype=torch.float64) * 2 - 1
    y = operator.degrade(truth, 1e-4, seed=1)
    assert choose(operator, shape) == "spectral"
    settings = {"k1": 0.0, "k2": 1.5 / largest, "eta": 1.0, "inner_steps": 50}
    exact = build(operator, LocalMAP(**settings, strategy="reference"), SIGMAS, shape)  # type: ignore[arg-type]
    fast = build(operator, LocalMAP(**settings, strategy=strategy), SIGMAS, shape)  # type: ignore[arg-type]
    observed, seen = exact.observe(y), fast.observe(y.float())
    for index in range(len(SIGMAS)):
        x = fast.solve(xhat.float(), seen, index)
        assert x.dtype == torch.float32
        assert relative(x, exact.solve(xhat, observed, index)) <= tolerance
