"""DiffPIR: its proximal step against explicit matrices, and where it agrees with LMAPS."""

from __future__ import annotations

import math

import pytest
import torch

import lmaps
from lmaps.engine import operators, schedules
from lmaps.engine.solvers import build, get
from lmaps.engine.solvers.base import Step
from lmaps.engine.solvers.linear import Normal

from .problem import SIGMA_Y, gaussian, one_estimate, one_step, relative, states


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("sigma", [30.0, 0.7, 0.05])
def test_prox_is_the_minimiser(diagonal: bool, sigma: float) -> None:
    problem, weight = gaussian(diagonal=diagonal), 7.0
    xhat, x0 = one_estimate(problem, "diffpir", states(), sigma, noise=SIGMA_Y, weight=weight, prox_last=True)
    a, rho = problem.operator.matrix, weight * SIGMA_Y**2 / sigma**2
    left = a.T @ a + rho * torch.eye(12, dtype=torch.float64)
    right = problem.y.double() @ a + rho * xhat.flatten(1)
    assert relative(x0.flatten(1), torch.linalg.solve(left, right.T).T) < (1e-6 if diagonal else 1e-4)


def test_conjugate_gradients_serve_where_there_is_no_basis() -> None:
    method, _ = one_step(gaussian(diagonal=False), "diffpir", states(), 1.0)
    assert method.describe()["prox"] == "conjugate gradients"


def test_equals_lmaps_with_the_matching_covariance() -> None:
    """LMAPS's exact step with r k2 / (1 - r) = sigma^2 / (lambda sigma_y^2): Eq. 14 with its lambda_t named by Eq. 11."""
    problem, sigma, weight = gaussian(), 0.6, 3.0
    k1 = 0.3
    k2 = (k1**2 + 1e-6) / (weight * SIGMA_Y**2)
    options = {"noise": SIGMA_Y, "weight": weight, "prox_last": True}
    _, ours = one_estimate(problem, "diffpir", states(), sigma, **options)
    _, theirs = one_estimate(problem, "lmaps", states(), sigma, k1=k1, k2=k2, eta=0.1, inner_steps="exact")
    assert relative(ours, theirs) < 1e-6


def test_transition_splits_the_noise() -> None:
    """zeta = 0 keeps the predicted noise alone, zeta = 1 re-noises fully, as LMAPS does."""
    problem, x = gaussian(), states().float()
    for zeta in (0.0, 0.3, 1.0):
        method, at = one_step(problem, "diffpir", x, 1.0, 0.5, zeta=zeta)
        x0 = torch.zeros_like(x)
        zero_noise = 0.5 * math.sqrt(1 - zeta) * x
        fresh = method.transition(x0, x, at) - zero_noise
        assert fresh.std() == pytest.approx(0.5 * math.sqrt(zeta), rel=0.4)
    method, at = one_step(problem, "lmaps", x, 1.0, 0.5, k1=0.1, k2=1.0, eta=0.1)
    assert torch.equal(method.transition(x0, x, at), x0 + fresh)


def test_reaches_the_posterior_mean_of_a_flat_prior() -> None:
    """With a wide prior every estimate is the posterior mean of N(xhat, sigma^2): the run ends near least squares."""
    problem = gaussian(isotropic=3.0, rows=12, sigma_y=0.05)
    x = problem.sample("diffpir", 200, lmaps.schedules.edm(60, sigma_max=20.0, sigma_min=0.02), noise=0.05, zeta=1.0)
    error = (x.mean(0) - problem.mean).abs()
    scale = problem.covariance.diagonal().sqrt()
    assert (error / scale).max() < 0.6
    assert ((problem.prior.mean - problem.mean).abs() / scale).max() > 5


@pytest.mark.parametrize("steps", [1, 30])
def test_gradient_steps_for_other_operators_go_downhill(steps: int) -> None:
    """The step 1 / (w + L) never raises ||y - H(x)||^2 + w ||x - xhat||^2, here with H(x) = clip(2 x)."""
    operator = operators.HDR()
    truth = torch.linspace(-0.45, 0.4, 48).reshape(1, 3, 4, 4)
    y = operator(truth)
    method = build("diffpir", operator, [0.5, 0.0], y.shape, noise=0.05, prox_steps=steps, prox_last=True)
    xhat = 0.2 * torch.ones_like(truth)
    at = Step(0, 0.5, 0.0, method.observe(y), lambda x, s: x, (0,))
    x0 = method.estimate(xhat, xhat, at)
    assert (x0 - truth).norm() < (xhat - truth).norm() * (0.6 if steps == 1 else 0.05)


def test_schedule_and_last_step_are_the_authors() -> None:
    """Quadratic spacing of DDPM's times, from 999 to 0; the denoiser's last answer is returned as it is."""
    grid = get("diffpir").schedule(None)
    assert grid is not None
    way = [int(1000 * (i / 99) ** 0.5) for i in range(100)]
    assert torch.equal(grid[:-1], schedules.ddpm_sigmas()[[999 - min(w, 999) for w in way]])
    assert len(get("diffpir").schedule(1)) == 2  # type: ignore[arg-type]
    xhat, x0 = one_estimate(gaussian(), "diffpir", states(), 0.3, 0.0)
    assert torch.equal(xhat, x0)
    xhat, x0 = one_estimate(gaussian(), "diffpir", states(), 0.3, 0.0, prox_last=True)
    assert relative(x0, xhat) > 0.01


def test_bad_options_are_named() -> None:
    for options in ({"zeta": 1.5}, {"weight": 0.0}, {"noise": -1.0}, {"prox_steps": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            one_step(gaussian(), "diffpir", states(), 1.0, **options)


def test_pseudo_inverse_by_both_ways() -> None:
    a = gaussian().operator.matrix
    g = states().flatten(1) @ (a.T @ a)
    expected = g @ torch.linalg.pinv(a.T @ a)
    for diagonal in (True, False):
        normal = Normal(gaussian(diagonal=diagonal).operator, (1, 1, 3, 4))
        assert relative(normal.resolve(g.reshape(-1, 1, 3, 4), 0.0).flatten(1), expected) < 1e-3
