"""TMPD: exact for a Gaussian prior, and equal to its kin where the covariance is isotropic."""

from __future__ import annotations

import math

import pytest
import torch

import lmaps
from lmaps.engine import operators
from lmaps.engine.solvers import build
from lmaps.engine.solvers.base import Step

from .problem import SIGMA_Y, gaussian, one_estimate, relative, states


@pytest.mark.parametrize("sigma", [5.0, 0.4])
def test_full_estimate_is_the_posterior_mean_given_the_state(sigma: float) -> None:
    """sigma^2 J is Cov[x0 | x] of a Gaussian, so Eq. 15 is E[x0 | x, y], computed here by joint conditioning."""
    problem, x = gaussian(), states(scale=sigma)
    _, x0 = one_estimate(problem, "tmpd", x, sigma, noise=SIGMA_Y, covariance="full")
    c, a, mean = problem.prior.covariance, problem.operator.matrix, problem.prior.mean
    eye = torch.eye(12, dtype=torch.float64)
    seen = torch.cat([eye, a])
    noise = torch.block_diag(sigma**2 * eye, SIGMA_Y**2 * torch.eye(7, dtype=torch.float64))
    gain = c @ seen.T @ torch.linalg.inv(seen @ c @ seen.T + noise)
    both = torch.cat([x.flatten(1), problem.y.double().expand(3, -1)], dim=1)
    expected = mean + (both - mean @ seen.T) @ gain.T
    assert relative(x0.flatten(1), expected) < 1e-8


def test_full_run_samples_the_posterior() -> None:
    """Mean and covariance of p(x0 | y) for a correlated prior, to Monte-Carlo error and the grid's."""
    problem, n = gaussian(), 800
    schedule = lmaps.schedules.edm(100, sigma_max=30.0, sigma_min=0.02)
    x = problem.sample("tmpd", n, schedule, noise=SIGMA_Y, covariance="full", cg_steps=8)
    error = (x.mean(0) - problem.mean).abs() / problem.covariance.diagonal().sqrt()
    assert error.max() < 4.5 / math.sqrt(n) + 0.03
    assert relative(torch.cov(x.T), problem.covariance) < 0.2
    assert relative(problem.prior.mean, problem.mean) > 0.5
    assert relative(problem.prior.covariance, problem.covariance) > 1


def test_three_methods_are_one_for_an_isotropic_covariance() -> None:
    """TMPD with C = c I = PiGDM's Bayes weight with r^2 = c = LMAPS's exact step with r k2 / (1 - r) = c / sigma_y^2."""
    d, sigma, k1 = 0.6, 0.9, 0.3
    problem, x = gaussian(isotropic=d), states()
    c = sigma**2 * d**2 / (sigma**2 + d**2)
    k2 = (k1**2 + 1e-6) / sigma**2 * c / SIGMA_Y**2
    _, tmpd = one_estimate(problem, "tmpd", x, sigma, noise=SIGMA_Y, covariance="full")
    _, pigdm = one_estimate(problem, "pigdm", x, sigma, noise=SIGMA_Y, weight="bayes", data_std=d)
    _, exact = one_estimate(problem, "lmaps", x, sigma, k1=k1, k2=k2, eta=0.1, inner_steps="exact")
    assert relative(tmpd, pigdm) < 1e-6
    assert relative(tmpd, exact) < 1e-6


def test_row_sums_are_exact_where_h_c_ht_is_diagonal() -> None:
    """A mask and D(x) = x / 2: H C H^T = (sigma^2 / 2) I on the kept pixels."""
    operator = operators.Inpainting.random(keep=0.5, seed=1)
    y = operator(torch.rand(1, 3, 6, 5, dtype=torch.float64) - 0.5)
    estimates = []
    for covariance in ("row-sum", "full"):
        method = build("tmpd", operator, [0.8, 0.0], y.shape, noise=0.1, covariance=covariance)
        x = states(1).reshape(1, 1, 3, 4).repeat(1, 3, 2, 2)[..., :5].clone().requires_grad_()
        at = Step(0, 0.8, 0.0, y, lambda z, s: 0.5 * z, (0,))
        estimates.append(method.estimate(0.5 * x, x, at))
    assert relative(estimates[0], estimates[1]) < 1e-9
    assert relative(estimates[0], 0.5 * x.detach()) > 0.05


def test_row_sum_estimate_by_matrices() -> None:
    problem, x, sigma = gaussian(), states(), 0.9
    xhat, x0 = one_estimate(problem, "tmpd", x, sigma, noise=SIGMA_Y)
    c0, a = problem.prior.covariance, problem.operator.matrix
    c = c0 @ torch.linalg.inv(c0 + sigma**2 * torch.eye(12, dtype=torch.float64)) * sigma**2
    rows = (a @ c @ a.T).sum(1).clamp_min(0) + SIGMA_Y**2
    expected = xhat.flatten(1) + ((problem.y.double() - xhat.flatten(1) @ a.T) / rows) @ a @ c
    assert relative(x0.flatten(1), expected) < 1e-8
