"""DCDP: its fit against torch's SGD and its limit, its purification against the exact flow, its schedule."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators, schedules
from lmaps.engine.solvers import build, get, table
from lmaps.engine.solvers.base import Step
from lmaps.engine.solvers.flow import ddim_levels, flow

from .problem import gaussian, one_estimate, one_step, relative, states


def test_fit_equals_torchs_sgd_on_the_mean() -> None:
    """The authors minimise the mean over m entries: their lr is step m / 2."""
    problem, step = gaussian(), 0.3
    x = states(1)
    leaf = x.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=step * 7 / 2, momentum=0.9)
    for _ in range(9):
        optimiser.zero_grad()
        (problem.operator(leaf) - problem.y.double()).square().mean().backward()
        optimiser.step()
    options = {"step": step, "inner_steps": 9, "ddim_steps": 1, "clip": False}
    method, at = one_step(problem, "dcdp", x, 1.0, 0.5, **options)
    assert relative(method.estimate(x, x, at), leaf.detach()) < 1e-10


def test_a_long_fit_is_ddnms_estimate() -> None:
    """Gradient descent from xhat ends at the nearest picture that explains the measurement: H^+ y + (I - H^+ H) xhat."""
    problem, x = gaussian(), states()
    options = {"inner_steps": 20_000, "momentum": 0.9, "ddim_steps": 1, "clip": False}
    method, at = one_step(problem, "dcdp", x, 1.0, 0.5, **options)
    xhat = problem.prior.denoise(x, at.levels(x))
    _, ddnm = one_estimate(problem, "ddnm", x, 1.0, noise=0.0)
    assert relative(method.estimate(xhat, x, at), ddnm) < 1e-4


def test_purification_follows_the_probability_flow() -> None:
    """For N(mu, C) it ends at mu + C^1/2 (C + sigma^2)^-1/2 (x - mu), up to DDIM's error, which shrinks with more steps."""
    problem, sigma = gaussian(), 1.5
    prior, x = problem.prior, states()
    gain = (prior.values / (prior.values + sigma**2)).sqrt()
    exact = prior.mean + (x.flatten(1) - prior.mean) @ prior.vectors * gain @ prior.vectors.T
    _, at = one_step(problem, "dcdp", x, sigma)
    xhat = prior.denoise(x, at.levels(x))
    errors = [relative(flow(x, xhat, ddim_levels(sigma, n), at).flatten(1), exact) for n in (5, 20, 200)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.03


@pytest.mark.parametrize("sigma", [200.0, 3.0, 0.011, 0.005])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_levels_fall_from_sigma_to_zero(sigma: float, steps: int) -> None:
    levels = ddim_levels(sigma, steps)
    assert levels[0] == sigma
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))
    assert len(levels) <= steps + 1
    if steps == 20 and sigma > 1:
        assert len(levels) == 21


def test_schedule_is_the_papers() -> None:
    grid = get("dcdp").schedule(None)
    assert grid is not None
    known = schedules.ddpm_sigmas()
    assert len(grid) == 11
    assert grid[0] == known[399]
    assert grid[-2] == known[0]
    for task, first, last in (("sr4", 700, 20), ("deblur-gaussian", 400, 1), ("phase-retrieval", 1000, 50)):
        grid = table.schedule("dcdp", task, None)
        assert grid is not None
        assert (grid[0], grid[-2]) == (known[first - 1], known[last - 1])


def test_run_has_the_law_of_its_last_purification() -> None:
    """H = 1 fitted to the end is y, so the result is the flow of y + sigma n for the last level: mean and covariance known."""
    prior, n, sigma = gaussian().prior, 500, 0.5
    y = torch.linspace(-0.6, 0.5, 12).reshape(1, 1, 3, 4).expand(n, -1, -1, -1).contiguous()
    options = {"momentum": 0.0, "inner_steps": 1, "step": 1.0, "ddim_steps": 100, "clip": False}
    x = lmaps.sample(prior.denoise, operators.Denoise(), y, schedule=[2.0, sigma, 0.0], solver="dcdp", **options)
    gain = prior.vectors * (prior.values / (prior.values + sigma**2)).sqrt() @ prior.vectors.T
    mean, covariance = prior.mean + gain @ (y[0].double().flatten() - prior.mean), sigma**2 * gain @ gain.T
    drawn = x.flatten(1).double()
    assert ((drawn.mean(0) - mean).abs() / covariance.diagonal().sqrt()).max() < 4.5 / math.sqrt(n) + 0.05
    assert ((drawn.var(0) / covariance.diagonal()).log().abs() < 4.5 * math.sqrt(2 / n) + 0.08).all()


def test_run_fits_first_and_purifies_last() -> None:
    """The network sees the fit of a grey picture first; what is returned is its own last answer, not a fit."""
    operator = operators.Denoise()
    y = torch.full((1, 3, 4, 4), 0.4)
    method = build("dcdp", operator, [2.0, 1.0, 0.0], y.shape, inner_steps=200, momentum=0.0, ddim_steps=1)
    at = Step(0, 2.0, 1.0, y, lambda x, s: torch.zeros_like(x), (0,))
    assert torch.allclose(method.begin(torch.zeros_like(y), at), y, atol=1e-5)

    def grey(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.full_like(x, 0.1)

    last = Step(1, 1.0, 0.0, y, grey, (0,))
    assert torch.allclose(method.estimate(grey(y, y), y, last), torch.full_like(y, 0.1))
