"""What the base class gives for nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.operators import LinearOperator, Operator

from .cases import pictures, relative


class Squares(Operator):
    """A user's own operator: nothing but `forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return x.square().sum(1)


class Differences(LinearOperator):
    """A user's own linear operator: nothing but `forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return x - torch.roll(x, 1, -1)


def test_a_users_operator_gets_its_gradient() -> None:
    x, u = pictures((5, 4)), torch.randn(2, 5, 4, dtype=torch.float64)
    assert torch.allclose(Squares().vjp(x, u), 2 * x * u[:, None])
    assert torch.allclose(Squares().data_gradient(x, u), 2 * x * (x.square().sum(1) - u)[:, None])


def test_a_users_linear_operator_gets_its_adjoint() -> None:
    operator, x = Differences(), pictures((5, 4))
    assert relative(operator.adjoint(x), x - torch.roll(x, -1, -1)) <= 1e-15
    assert operator.spectrum(tuple(x.shape)) is None
    with pytest.raises(NotImplementedError, match="Differences has no cheap pseudo-inverse"):
        operator.pinv(x)
    with pytest.raises(NotImplementedError, match=r"Differences has no config\(\)"):
        operator.config()
    assert operator.describe() == {"operator": "Differences"}


def test_noise_belongs_to_an_image_and_its_seed() -> None:
    x = pictures((16, 20), torch.float32, batch=3)
    operator = operators.GaussianBlur(5, 1.0)
    y = operator.degrade(x, noise=0.05, seed=7)
    for i in range(3):
        alone = operator.degrade(x[i : i + 1], noise=0.05, seed=7 + i)
        assert float((alone - y[i : i + 1]).abs().max()) <= 1e-6
    residual = (y - operator(x)).double()
    assert float(residual.std()) == pytest.approx(0.05, rel=0.05)
    assert torch.equal(operator.degrade(x, noise=0.0), operator(x))


def test_an_operator_says_where_it_is() -> None:
    assert operators.SuperResolution().device == torch.device("cpu")
    assert operators.SuperResolution().to("meta").device == torch.device("meta")
    assert not operators.GaussianBlur(5, 1.0).state_dict()
