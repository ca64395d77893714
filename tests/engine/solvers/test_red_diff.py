"""RED-diff: its gradient, its fixed point, its two ways of counting."""

from __future__ import annotations

import pytest
import torch

import lmaps
from lmaps.engine.solvers.adam import Adam
from lmaps.engine.solvers.base import Step

from .problem import SIGMA_Y, gaussian, one_step, relative, states


def first_update(**options: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(gradient that Adam was given, mu, xhat) of the first step."""
    problem, sigma = gaussian(), 1.5
    method, at = one_step(problem, "red-diff", states(), sigma, start="zero", **options)
    x = method.begin(sigma * states(), at)
    mu = at.memory["mu"]
    seen: list[torch.Tensor] = []

    class Spy(Adam):
        def step(self, g: torch.Tensor) -> torch.Tensor:
            seen.append(g)
            return super().step(g)

    at.memory["adam"] = Spy(0.1)
    xhat = problem.prior.denoise(x, at.levels(x))
    method.estimate(xhat, x, at)
    return seen[0], mu, xhat


@pytest.mark.parametrize("weighting", ["linear", "constant"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_is_autograds_of_the_papers_loss(weighting: str, reduction: str) -> None:
    """v ||y - H mu||^2 / 2 + w <sg(eps_theta - eps), mu> with w = lambda sigma or lambda, averaged or summed; up to scale."""
    sigma, weight, v = 1.5, 0.4, 2.0
    g, mu, xhat = first_update(weighting=weighting, reduction=reduction, weight=weight, data_weight=v)
    problem = gaussian()
    x = mu + sigma * states()
    predicted, true = (x - xhat) / sigma, states()
    leaf = mu.clone().requires_grad_()
    count = (lambda t: t.mean()) if reduction == "mean" else (lambda t: t.sum())
    w = weight * (sigma if weighting == "linear" else 1.0)
    misfit = problem.y.double() - problem.operator(leaf)
    # Every image has a loss of its own, so the mean runs over one image's entries.
    terms = zip(misfit, predicted - true, leaf, strict=True)
    loss = sum(v * count(m**2) / 2 + w * count(wrong * one) for m, wrong, one in terms)
    (expected,) = torch.autograd.grad(loss, leaf)
    scale = 12 if reduction == "mean" else 1
    assert relative(g, scale * expected) < 1e-9


def test_fixed_point_is_the_posterior_mean() -> None:
    """Held at one noise level with N(m, d^2 I), the gradient vanishes at the ridge solution with weight
    lambda sigma^2 / (d^2 + sigma^2); lambda set so that this is sigma_y^2 / d^2, mu settles at the posterior mean."""
    d, sigma = 0.5, 1.0
    problem = gaussian(isotropic=d)
    weight = (SIGMA_Y / d) ** 2 * (d**2 + sigma**2) / sigma**2
    steps = 1500
    schedule = [sigma * (1 - 1e-6 * i) for i in range(steps)] + [0.0]
    x = problem.sample("red-diff", 20, schedule, weight=weight, reduction="sum", lr=0.003, start="zero")
    assert relative(x.mean(0), problem.mean) < 0.05
    assert relative(problem.prior.mean, problem.mean) > 0.5


def test_begins_at_the_operators_start() -> None:
    problem = gaussian()
    method, at = one_step(problem, "red-diff", states(), 2.0)
    method.begin(states(), at)
    expected = problem.operator.start(problem.y.double()).expand(3, -1, -1, -1)
    assert relative(at.memory["mu"], expected) < 1e-6


def test_an_operator_without_start_is_named() -> None:
    problem = gaussian(diagonal=False)
    with pytest.raises(ValueError, match='use start="zero"'):
        lmaps.sample(problem.prior.denoise, problem.operator, problem.y, schedule=[1.0, 0.0], solver="red-diff")


def test_runs_do_not_share_their_moments() -> None:
    problem = gaussian()
    runs = [problem.sample("red-diff", 1, [3.0, 1.0, 0.3, 0.0], start="zero") for _ in range(2)]
    assert torch.equal(runs[0], runs[1])
    assert Step(0, 1.0, 0.0, None, problem.prior.denoise, (0,)).memory == {}
