"""The closed form of K gradient steps, against the steps themselves."""

from __future__ import annotations

import pytest
import torch

from lmaps.engine.local_map import LocalMAP
from lmaps.engine.local_map.settings import geometric


@pytest.mark.parametrize("eta_m", [0.0, 1e-12, 1e-6, 1e-3, 0.3, 0.5, 0.99, 1.0, 1.3, 1.99])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_geometric_is_the_sum_of_the_series(eta_m: float, steps: int) -> None:
    eta = 0.37
    m = torch.tensor([eta_m / eta], dtype=torch.float64)
    series = sum(eta * (1 - eta * m) ** k for k in range(steps))
    assert torch.allclose(geometric(m, eta, steps), series, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gradient", ["half", "full"])
@pytest.mark.parametrize("sigma", [100.0, 1.0, 0.05])
def test_filter_is_k_scalar_gradient_steps(sigma: float, gradient: str) -> None:
    s = LocalMAP(k1=0.2, k2=20.0, eta=0.02, inner_steps=13, data_gradient=gradient)  # type: ignore[arg-type]
    lam, xhat, h = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64), 0.4, torch.tensor([0.0, -0.2, 0.9]).double()
    x = torch.full((3,), xhat, dtype=torch.float64)
    r = sigma**2 / (sigma**2 + 0.2**2 + 1e-6)
    factor = 2.0 if gradient == "full" else 1.0
    for _ in range(13):
        x = x - 0.02 * ((1 - r) * (x - xhat) + r * 20.0 * factor * (lam * x - h))
    assert torch.allclose(xhat + s.filter(lam, sigma) * (h - lam * xhat), x, rtol=1e-12)


def test_exact_filter_is_the_minimiser() -> None:
    s = LocalMAP(k1=0.2, k2=20.0, eta=0.02, inner_steps="exact")
    lam, xhat, h, r = torch.tensor([0.3, 1.0]).double(), 0.4, torch.tensor([-0.2, 0.9]).double(), s.r(0.5)
    x = xhat + s.filter(lam, 0.5) * (h - lam * xhat)
    gradient = (1 - r) * (x - xhat) + r * 20.0 * (lam * x - h)
    assert gradient.abs().max() < 1e-14


def test_exact_filter_leaves_unseen_directions_alone_even_without_a_prior() -> None:
    s = LocalMAP(k1=0.0, k2=100.0, eta=0.01, inner_steps="exact")
    assert s.filter(torch.tensor([0.0, 1e-16, 1.0]).double(), 10.0)[:2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"k1": -1.0}, "k1"),
        ({"k2": 0.0}, "k2"),
        ({"eta": float("nan")}, "eta"),
        ({"inner_steps": 0}, "inner_steps"),
        ({"inner_steps": "many"}, "inner_steps"),
        ({"strategy": "magic"}, "strategy"),
        ({"data_gradient": "double"}, "data_gradient"),
    ],
)
def test_bad_settings_are_refused_by_name(bad: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LocalMAP(**{"k1": 0.2, "k2": 20.0, "eta": 0.02, **bad})  # type: ignore[arg-type]
