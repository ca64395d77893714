"""HDR and quantisation: values, levels and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps.engine.operators import HDR, Operator, Quantize

from .cases import pictures


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


def test_hdr_clips_twice_the_exposure() -> None:
    y = HDR()(row(-1, -0.5, -0.2, 0, 0.3, 0.5, 0.9))
    np.testing.assert_allclose(y.flatten(), [-1, -1, -0.4, 0, 0.6, 1, 1])


def test_hdr_gradient_is_that_of_autograd() -> None:
    x, u = pictures((9, 7)), pictures((9, 7), seed=1)
    x.view(-1)[:2] = torch.tensor([0.5, -0.5])
    for operator in (HDR(), HDR(3.7)):
        expected = Operator.vjp(operator, x, u)
        assert torch.equal(operator.vjp(x, u), expected)
        assert torch.equal(operator.surrogate_vjp(x, u), expected)
    assert torch.equal(HDR(gradient="identity").surrogate_vjp(x, u), u)
    assert torch.equal(HDR(gradient="identity").vjp(x, u), HDR().vjp(x, u))


def test_hdr_start_is_right_where_nothing_clipped() -> None:
    x = 0.45 * pictures((9, 7))
    assert torch.allclose(HDR().start(HDR()(x)), x)


@pytest.mark.parametrize(
    ("bits", "levels"), [(1, [-1.0, 1.0]), (2, [-1, -1 / 3, 1 / 3, 1]), (3, [2 * k / 7 - 1 for k in range(8)])]
)
def test_quantiser_levels(bits: int, levels: list[float]) -> None:
    x = torch.linspace(-1, 1, 4001, dtype=torch.float64).reshape(1, 1, 1, -1)
    y = Quantize(bits)(x)
    np.testing.assert_allclose(np.unique(y.numpy().round(12)), levels, atol=1e-12)
    # Each value goes to its nearest level.
    nearest = (x.flatten()[:, None] - torch.tensor(levels, dtype=torch.float64)).abs().amin(1)
    assert float(((y - x).abs().flatten() - nearest).abs().max()) <= 1e-12


def test_quantiser_is_the_formula_of_the_paper() -> None:
    """Eq. 32 on [0, 1], mapped to [-1, 1]; halves go up, and values outside are not clipped."""
    x = torch.tensor([-1.2, -1, -0.7, -2 / 3, -0.1, 0, 0.2, 2 / 3, 1, 1.4], dtype=torch.float64)
    u = (x.numpy() + 1) / 2
    expected = 2 * (np.floor(u * 3 + 0.5) / 3) - 1
    np.testing.assert_array_equal(Quantize(2)(x.reshape(1, 1, 2, 5)).flatten(), expected)
    assert float(Quantize(2)(row(0.0)).max()) == pytest.approx(1 / 3)


def test_quantiser_twice_is_once_and_its_gradient_is_the_identity() -> None:
    x, u = pictures((9, 7), torch.float32), pictures((9, 7), torch.float32, seed=1)
    for bits in (1, 2, 5):
        operator = Quantize(bits)
        assert torch.equal(operator(operator(x)), operator(x))
        assert not operator.differentiable
        assert torch.equal(operator.surrogate_vjp(x, u), u)
        assert torch.equal(operator.data_gradient(x, u), operator(x) - u)
        assert torch.equal(operator.start(u), u)
