"""LGD: DPS without its root, and PiGDM when its copies are many."""

from __future__ import annotations

import math

import pytest
import torch

from lmaps.engine import schedules
from lmaps.engine.solvers.base import Step

from .problem import SIGMA_Y, Problem, gaussian, one_estimate, one_step, relative, states


def push(problem: Problem, x: torch.Tensor, sigma: float, sigma_next: float, **options: object) -> torch.Tensor:
    """What the estimate subtracts, freed of scale, VP factor and the ancestral share: J^T grad of the averaged misfit."""
    xhat, x0 = one_estimate(problem, "lgd", x, sigma, sigma_next, **options)
    share = 1 - (sigma_next / sigma) ** 2
    scale = float(options.get("scale", 3e-3))  # type: ignore[arg-type]
    return (xhat - x0).flatten(1) * share / (scale * math.sqrt((1 + sigma**2) * (1 + sigma_next**2)))


def jacobian(problem: Problem, sigma: float) -> torch.Tensor:
    c = problem.prior.covariance
    return c @ torch.linalg.inv(c + sigma**2 * torch.eye(12, dtype=torch.float64))


@pytest.mark.parametrize("average", ["loss", "likelihood"])
def test_without_spread_it_is_the_squared_misfit(average: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
    problem, x, sigma = gaussian(), states(), 1.3
    got = push(problem, x, sigma, 0.7, average=average, noise=SIGMA_Y)
    xhat = problem.prior.denoise(x, torch.full((3,), sigma)).flatten(1)
    a = problem.operator.matrix
    expected = 2 * (xhat @ a.T - problem.y.double()) @ a @ jacobian(problem, sigma)
    assert relative(got, expected) < 1e-7


def test_root_without_spread_is_dps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
    problem, x = gaussian(), states()
    _, ours = one_estimate(problem, "lgd", x, 1.3, 0.7, average="root", samples=2, scale=0.4)
    _, dps = one_estimate(problem, "dps", x, 1.3, 0.7, zeta=0.4, clip=False)
    assert relative(ours, dps) < 1e-9


def test_copies_average_out_for_linear_h() -> None:
    """The mean gradient over many copies is the gradient at xhat: ||y - H(x)||^2 is quadratic."""
    problem, x, sigma = gaussian(), states(1), 1.3
    few = push(problem, x, sigma, 0.7, samples=4000)
    xhat = problem.prior.denoise(x, torch.full((1,), sigma)).flatten(1)
    a = problem.operator.matrix
    expected = 2 * (xhat @ a.T - problem.y.double()) @ a @ jacobian(problem, sigma)
    assert relative(few, expected) < 0.1


def test_many_copies_by_likelihood_are_pigdm() -> None:
    """grad log of the mean likelihood of N(xhat, r^2 I) copies is H^T (r^2 H H^T + sigma_y^2 I)^-1 (y - H xhat): PiGDM's."""
    sigma_y, sigma = 0.5, 1.0
    problem, x = gaussian(rows=2, sigma_y=sigma_y), states(1)
    got = push(problem, x, sigma, 0.7, samples=6000, average="likelihood", noise=sigma_y)
    xhat, x0 = one_estimate(problem, "pigdm", x, sigma, 0.7, noise=sigma_y, weight="bayes")
    # x0 - xhat = sigma^2 grad_x log p(y | x), and LGD's gradient is of -2 sigma_y^2 log p(y | x).
    expected = -2 * sigma_y**2 / sigma**2 * (x0 - xhat).flatten(1)
    assert relative(got, expected) < 0.12
    alone = push(problem, x, sigma, 0.7, samples=1, average="likelihood", noise=sigma_y)
    assert relative(alone, expected) > 0.2


def test_running_mean_is_the_softmax_of_all_copies() -> None:
    problem, x, sigma, noise = gaussian(), states(), 0.8, 0.3
    got = push(problem, x, sigma, 0.5, samples=5, average="likelihood", noise=noise)
    _, at = one_step(problem, "lgd", x, sigma, 0.5)
    xhat = problem.prior.denoise(x, at.levels(x))
    r = sigma / math.sqrt(1 + sigma**2)
    copies = torch.stack([(xhat + r * at.normal(xhat, i)).flatten(1) for i in range(5)])
    misfit = copies @ problem.operator.matrix.T - problem.y.double()
    weights = (-misfit.square().sum(-1) / (2 * noise**2)).softmax(0)
    expected = (weights[..., None] * 2 * misfit @ problem.operator.matrix).sum(0) @ jacobian(problem, sigma)
    assert relative(got, expected) < 1e-7


def test_many_copies_of_the_right_length_give_the_posterior_mean() -> None:
    """By likelihood, with the length that makes it sigma^2 grad log p(y | x), and r^2 = sigma^2 / (1 + sigma^2) the variance of
    x0 given x, as it is for N(m, I): the estimate is E[x0 | x, y]."""
    sigma_y = 0.7
    problem = gaussian(isotropic=1.0, rows=2, sigma_y=sigma_y)
    sigma, following, x = 0.8, 0.5, states(1)
    share, root = 1 - (following / sigma) ** 2, math.sqrt((1 + sigma**2) * (1 + following**2))
    options = {"average": "likelihood", "noise": sigma_y, "samples": 4000}
    exact = share * sigma**2 / (2 * sigma_y**2 * root)
    xhat, x0 = one_estimate(problem, "lgd", x, sigma, following, scale=exact, **options)
    a, c = problem.operator.matrix, sigma**2 / (1 + sigma**2)
    middle = c * a @ a.T + sigma_y**2 * torch.eye(2, dtype=torch.float64)
    expected = xhat.flatten(1) + (problem.y.double() - xhat.flatten(1) @ a.T) @ torch.linalg.inv(middle) @ a * c
    assert relative(x0.flatten(1) - xhat.flatten(1), expected - xhat.flatten(1)) < 0.09


def test_run_moves_towards_the_posterior() -> None:
    problem = gaussian()
    x = problem.sample("lgd", 60, schedules.ddim(100), scale=0.1)
    assert relative(x.mean(0), problem.mean) < 0.4
    assert relative(problem.prior.mean, problem.mean) > 0.8
