"""PnP-DM: both of its steps against exact Gaussians, and the chain's stationary law."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.solvers import build, get, table
from lmaps.engine.solvers.base import Step

from .problem import SHAPE, SIGMA_Y, gaussian, one_step, relative, states


def unit_noise(count: int) -> object:
    """Noise whose b-th image is the b-th unit vector of (n_1, n_2) together, the last image none."""

    def normal(self: Step, like: Tensor, draw: int = 0) -> Tensor:
        out = torch.zeros_like(like).flatten(1)
        first = 12 if like[0].numel() == 7 else 0
        out[torch.arange(out.shape[1]) + first, torch.arange(out.shape[1])] = 1.0
        return out.reshape(like.shape)

    return normal


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("rho", [2.0, 0.3])
def test_likelihood_step_is_the_exact_gaussian(diagonal: bool, rho: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean and covariance of N(A^-1 b, A^-1), by switching on one noise at a time: with a basis and without."""
    problem = gaussian(diagonal=diagonal)
    x0 = states(1).expand(20, *SHAPE).clone()
    method, at = one_step(problem, "pnp-dm", x0, 3.0, rho, noise=SIGMA_Y)
    monkeypatch.setattr(Step, "normal", unit_noise(20))
    moved = method.transition(x0, x0, at).flatten(1)
    mean, root = moved[-1], (moved[:-1] - moved[-1]).T
    a = problem.operator.matrix
    precision = a.T @ a / SIGMA_Y**2 + torch.eye(12, dtype=torch.float64) / rho**2
    expected = torch.linalg.solve(precision, problem.y[0].double() @ a / SIGMA_Y**2 + x0[0].flatten() / rho**2)
    tolerance = 1e-6 if diagonal else 1e-3
    assert relative(mean, expected) < tolerance
    assert relative(root @ root.T, torch.linalg.inv(precision)) < 10 * tolerance


def test_prior_step_samples_p_of_x_given_z() -> None:
    """The reverse diffusion from z at sigma = rho: mean and covariance of N(m, C) given x + rho n = z."""
    problem, rho, n = gaussian(), 0.8, 700
    z = states(1).expand(n, *SHAPE).clone()
    method, at = one_step(problem, "pnp-dm", z, rho, sde_steps=300)
    x = method.estimate(problem.prior.denoise(z, at.levels(z)), z, at).flatten(1)
    c = problem.prior.covariance
    posterior = c - c @ torch.linalg.inv(c + rho**2 * torch.eye(12, dtype=torch.float64)) @ c
    mean = problem.prior.denoise(z[:1], at.levels(z[:1])).flatten()
    assert ((x.mean(0) - mean).abs() / posterior.diagonal().sqrt()).max() < 4.5 / math.sqrt(n) + 0.05
    assert relative(torch.cov(x.T), posterior) < 0.2


def test_chain_settles_at_its_stationary_law() -> None:
    """Held at rho, x has the law of p(x) N(y; H x, sigma_y^2 I + rho^2 H H^T)."""
    problem, rho, n = gaussian(), 0.5, 400
    schedule = [2.0, 1.0, *[rho * (1 - 1e-6 * k) for k in range(8)], 0.0]
    x = problem.sample("pnp-dm", n, schedule, noise=SIGMA_Y, sde_steps=120)
    c, a = problem.prior.covariance, problem.operator.matrix
    noise = SIGMA_Y**2 * torch.eye(7, dtype=torch.float64) + rho**2 * a @ a.T
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + noise)
    mean = problem.prior.mean + gain @ (problem.y[0].double() - a @ problem.prior.mean)
    covariance = c - gain @ a @ c
    assert ((x.mean(0) - mean).abs() / covariance.diagonal().sqrt()).max() < 4.5 / math.sqrt(n) + 0.1
    assert relative(torch.cov(x.T), covariance) < 0.25
    assert relative(problem.mean, mean) > 0.1


def test_schedule_falls_to_its_floor() -> None:
    grid = get("pnp-dm").schedule(None)
    assert grid is not None
    assert grid[0] == 10
    assert grid[1] == pytest.approx(9.0, rel=1e-5)
    assert grid[60] == pytest.approx(0.3, rel=1e-3)
    assert len(grid) == 101
    lower = table.schedule("pnp-dm", "phase-retrieval", None)
    assert lower is not None
    assert lower[60] == pytest.approx(0.1, rel=1e-3)


def test_langevin_step_keeps_to_the_curvature_of_small_noise() -> None:
    """lr (L / sigma_y^2 + 1 / rho^2) > 2 diverges: at sigma_y = 0.005 the default lr is eight times too long."""
    operator = operators.HDR()
    x0 = 0.1 * torch.ones(4, 3, 2, 2)
    method = build("pnp-dm", operator, [1.0, 0.3, 0.0], x0.shape, noise=0.005)
    at = Step(0, 1.0, 0.3, operator(0.2 * torch.ones(4, 3, 2, 2)), lambda x, s: x, tuple(range(4)))
    assert torch.allclose(method.transition(x0, x0, at), torch.tensor(0.2), atol=0.03)


def test_langevin_for_other_operators_reaches_the_same_gaussian() -> None:
    """H(x) = clip(2 x), far from clipping, is linear: the chain's mean must be the exact step's."""
    operator = operators.HDR()
    x0 = 0.1 * torch.ones(200, 3, 2, 2)
    y = operator(0.2 * torch.ones(200, 3, 2, 2))
    options = {"noise": 0.3, "langevin_steps": 400, "langevin_lr": 1e-3}
    method = build("pnp-dm", operator, [1.0, 0.1, 0.0], x0.shape, **options)
    at = Step(0, 1.0, 0.1, y, lambda x, s: x, tuple(range(200)))
    z = method.transition(x0, x0, at)
    precision = 4 / 0.3**2 + 1 / 0.1**2
    mean = (2 * 0.4 / 0.3**2 + 0.1 / 0.1**2) / precision
    assert z.mean() == pytest.approx(mean, abs=5 / math.sqrt(precision * z.numel()))
    assert z.std() == pytest.approx(1 / math.sqrt(precision), rel=0.15)
