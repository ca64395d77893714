"""DAPS: its chain against explicit matrices, its flow against the exact one, the loop against the collapsed chain."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators, schedules, solvers
from lmaps.engine.solvers import table
from lmaps.engine.solvers.base import Step

from .problem import SHAPE, gaussian, one_estimate, one_step, relative, states

CHAIN = {"lr": 2e-3, "tau": 0.1, "langevin_steps": 40}


def chain_by_matrices(start: Tensor, sigma: float, weight: float, lr: float, steps: int) -> tuple[Tensor, Tensor]:
    """Mean [B, 12] and covariance of x <- x + lr (weight A^T (y - A x) + (start - x) / sigma^2) + sqrt(2 lr) n."""
    problem = gaussian()
    a, y, start = problem.operator.matrix, problem.y.double(), start.flatten(1)
    eye = torch.eye(12, dtype=torch.float64)
    shrink = eye - lr * (weight * a.T @ a + eye / sigma**2)
    mean, covariance = start, torch.zeros(12, 12, dtype=torch.float64)
    for _ in range(steps):
        mean = mean @ shrink.T + lr * (weight * y @ a + start / sigma**2)
        covariance = shrink @ covariance @ shrink.T + 2 * lr * eye
    return mean, covariance


@pytest.mark.parametrize("convention", ["half", "full"])
@pytest.mark.parametrize("sigma", [5.0, 0.3])
def test_collapsed_chain_is_the_gaussian_of_the_loop(
    convention: str, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean and covariance exactly: noise switched off gives the mean, unit noises give the square root."""
    problem, x = gaussian(), states(scale=2.0)
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
    options = {**CHAIN, "data_gradient": convention, "chain": "collapsed"}
    _, mean = one_estimate(problem, "daps", x, sigma, **options)
    start = one_estimate(problem, "daps", x, sigma, **{**options, "langevin_steps": 0})[1]
    weight = {"half": 1.0, "full": 2.0}[convention] / CHAIN["tau"] ** 2
    expected, covariance = chain_by_matrices(start, sigma, weight, CHAIN["lr"], CHAIN["langevin_steps"])
    assert relative(mean.flatten(1), expected) < 1e-10
    assert relative(start, mean) > 0.01

    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.eye(12, dtype=like.dtype).reshape(like.shape))
    at = x[:1].expand(12, *SHAPE).clone()
    _, moved = one_estimate(problem, "daps", at, sigma, **options)
    root = (moved.flatten(1) - mean[:1].flatten(1)).T
    assert relative(root @ root.T, covariance) < 1e-9


def test_loop_equals_the_matrix_recursion_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
    problem, x = gaussian(), states()
    _, walked = one_estimate(problem, "daps", x, 0.5, **CHAIN, chain="loop")
    start = one_estimate(problem, "daps", x, 0.5, **{**CHAIN, "langevin_steps": 0})[1]
    expected, _ = chain_by_matrices(start, 0.5, 2 / CHAIN["tau"] ** 2, CHAIN["lr"], CHAIN["langevin_steps"])
    assert relative(walked.flatten(1), expected) < 1e-10


def test_loop_and_collapsed_agree_in_distribution() -> None:
    """Whole runs: mean and covariance over many seeds, to Monte-Carlo error."""
    problem = gaussian()
    schedule = lmaps.schedules.edm(4, sigma_max=3.0, sigma_min=0.1)
    options = {"lr": 3e-3, "tau": 0.2, "langevin_steps": 12, "ode_steps": 2}
    n = 300
    loop = problem.sample("daps", n, schedule, **options, chain="loop")
    collapsed = problem.sample("daps", n, schedule, **options, chain="collapsed", seed=10_000)
    spread = loop.std(0) / math.sqrt(n / 2)
    assert ((loop.mean(0) - collapsed.mean(0)).abs() < 4.5 * spread).all()
    # The logarithm of a ratio of two variances of n numbers each has deviation 2 / sqrt(n).
    assert ((loop.var(0) / collapsed.var(0)).log().abs() < 4.5 * 2 / math.sqrt(n)).all()


def test_long_chain_samples_the_local_posterior() -> None:
    """n -> infinity, lr -> 0: N(xhat, sigma^2 I) times the likelihood, of covariance (A^T A / tau^2 + I / sigma^2)^-1."""
    problem, sigma, tau = gaussian(), 0.5, 0.2
    a = problem.operator.matrix
    expected = torch.linalg.inv(a.T @ a / tau**2 + torch.eye(12, dtype=torch.float64) / sigma**2)
    _, covariance = chain_by_matrices(states(1), sigma, 1 / tau**2, 1e-4, 20_000)
    assert relative(covariance, expected) < 0.01
    x = states(1).expand(12, *SHAPE).clone()
    options = {"lr": 1e-4, "tau": tau, "langevin_steps": 20_000, "data_gradient": "half", "chain": "collapsed"}
    method, at = one_step(problem, "daps", x, sigma, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
        mean = method.estimate(x, x, at)
        patch.setattr(Step, "normal", lambda self, like, draw=0: torch.eye(12, dtype=like.dtype).reshape(like.shape))
        root = (method.estimate(x, x, at) - mean).flatten(1).T
    assert relative(root @ root.T, expected) < 0.01


def test_flow_approaches_the_exact_probability_flow() -> None:
    """For N(mu, C) the flow from sigma to 0 is mu + C^1/2 (C + sigma^2)^-1/2 (x - mu); Euler's error halves with the step."""
    problem, sigma = gaussian(), 2.0
    x = states()
    prior = problem.prior
    gain = (prior.values / (prior.values + sigma**2)).sqrt()
    exact = prior.mean + (x.flatten(1) - prior.mean) @ prior.vectors * gain @ prior.vectors.T
    errors = []
    for steps in (40, 80):
        options = {"langevin_steps": 0, "ode_steps": steps, "ode_end": 0.0}
        errors.append(relative(one_estimate(problem, "daps", x, sigma, **options)[1].flatten(1), exact))
    assert errors[0] < 0.05
    assert 0.4 < errors[1] / errors[0] < 0.6


def test_one_euler_step_to_zero_is_tweedie() -> None:
    xhat, x0 = one_estimate(gaussian(), "daps", states(), 2.0, langevin_steps=0, ode_steps=1, ode_end=0.0)
    assert torch.allclose(xhat, x0, atol=1e-12)


def test_whole_run_has_the_law_of_its_affine_steps() -> None:
    """Flow, chain and re-noising are affine for a Gaussian prior: mean and covariance of the result, by matrices."""
    problem, n, sigmas = gaussian(), 500, [3.0, 1.0, 0.4, 0.15, 0.0]
    lr, tau, chain, ode = 2e-3, 0.2, 30, 3
    prior, a, y = problem.prior, problem.operator.matrix, problem.y[0].double()
    eye = torch.eye(12, dtype=torch.float64)
    mean, covariance = torch.zeros(12, dtype=torch.float64), sigmas[0] ** 2 * eye
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        top, bottom = sigma ** (1 / 7), 0.01 ** (1 / 7)
        levels = [(top + k / ode * (bottom - top)) ** 7 for k in range(ode + 1)]
        for here, there in pairwise(levels):
            j, r = prior.covariance @ torch.linalg.inv(prior.covariance + here**2 * eye), (there - here) / here
            move = (1 + r) * eye - r * j
            mean, covariance = prior.mean + move @ (mean - prior.mean), move @ covariance @ move.T
        step = lr * (1 - i / len(sigmas) * 0.99)
        shrink = eye - step * (a.T @ a / tau**2 + eye / sigma**2)
        move, fixed, drawn = eye, torch.zeros(12, dtype=torch.float64), torch.zeros_like(eye)
        for _ in range(chain):
            move, fixed = shrink @ move + step / sigma**2 * eye, shrink @ fixed + step * a.T @ y / tau**2
            drawn = shrink @ drawn @ shrink.T + 2 * step * eye
        mean, covariance = move @ mean + fixed, move @ covariance @ move.T + drawn + following**2 * eye
    options = {"lr": lr, "tau": tau, "langevin_steps": chain, "ode_steps": ode, "data_gradient": "half"}
    x = problem.sample("daps", n, sigmas, **options)
    assert ((x.mean(0) - mean).abs() / covariance.diagonal().sqrt()).max() < 4.5 / math.sqrt(n)
    assert ((x.var(0) / covariance.diagonal()).log().abs() < 4.5 * math.sqrt(2 / n)).all()
    # The relative error of n draws' covariance is about sqrt(effective dimension / n).
    assert relative(torch.cov(x.T), covariance) < 1.5 * math.sqrt(
        covariance.trace() ** 2 / covariance.square().sum() / n
    )
    assert relative(prior.covariance, covariance) > 1


def test_run_lands_near_the_posterior_mean() -> None:
    """DAPS takes sigma for the deviation of p(x0 | x), so it is biased; it must still end nearer than the prior."""
    problem = gaussian()
    schedule = lmaps.schedules.edm(40, sigma_max=3.0, sigma_min=0.02)
    x = problem.sample("daps", 200, schedule, lr=1e-3, tau=0.2, data_gradient="half")
    assert relative(x.mean(0), problem.mean) < 0.3
    assert relative(problem.prior.mean, problem.mean) > 0.5


def test_no_basis_means_the_loop_and_collapsing_is_refused() -> None:
    problem = gaussian(diagonal=False)
    method, _ = one_step(problem, "daps", states(), 1.0)
    assert method.describe()["chain"] == "loop"
    with pytest.raises(ValueError, match='Dense has none: use chain="loop"'):
        one_step(problem, "daps", states(), 1.0, chain="collapsed")


def test_surrogate_chains_are_short() -> None:
    """Along J = 1 JPEG's chain has no law to settle at: from the truth, 100 steps drift several times as far as the row's."""
    operator = operators.JPEG(5)
    truth = torch.linspace(-0.8, 0.8, 3 * 32 * 32).reshape(1, 3, 32, 32)
    y = operator.degrade(truth, 0.05, 1)

    def drift(**options: object) -> float:
        method = solvers.build("daps", operator, [0.3, 0.0], truth.shape, **options)
        at = Step(0, 0.3, 0.0, y, lambda x, s: truth, (0,))
        return float((method.estimate(truth, truth, at) - truth).square().mean().sqrt())

    row = table.defaults("daps", "jpeg", 0.05)
    assert row["langevin_steps"] <= 5
    assert table.defaults("daps", "quantize", 0.05)["langevin_steps"] <= 20
    assert drift(**{**row, "langevin_steps": 100}) > 2 * drift(**row)


def test_its_own_noise_levels_are_those_its_steps_are_tuned_to() -> None:
    assert torch.equal(solvers.get("daps").schedule(None), schedules.edm(200, 100.0, 0.1))
    assert torch.equal(solvers.get("daps").schedule(7), schedules.edm(7, 100.0, 0.1))
