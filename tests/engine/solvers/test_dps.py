"""DPS against its formula written for the VP state, with explicit Jacobians."""

from __future__ import annotations

import math

import pytest
import torch

import lmaps
from lmaps.engine.solvers.base import Step
from lmaps.engine.transition import transition_twin

from .problem import SHAPE, Problem, gaussian, one_estimate, one_step, relative, states


def jacobian(problem: Problem, sigma: float) -> torch.Tensor:
    """d xhat / d x = C (C + sigma^2 I)^-1 of a Gaussian prior."""
    prior = problem.prior
    return prior.vectors @ torch.diag(prior.values / (prior.values + sigma**2)) @ prior.vectors.T


@pytest.mark.parametrize(("sigma", "sigma_next"), [(20.0, 15.0), (0.8, 0.5), (0.3, 0.0)])
def test_step_is_the_papers_step_in_vp_coordinates(sigma: float, sigma_next: float) -> None:
    """Algorithm 1 with x_vp = sqrt(abar) x: posterior mean of DDPM, its noise, minus zeta grad ||y - H xhat||."""
    problem, zeta, x = gaussian(), 0.7, states(scale=sigma)
    method, at = one_step(problem, "dps", x, sigma, sigma_next, zeta=zeta, clip=False)
    xhat, x0 = one_estimate(problem, "dps", x, sigma, sigma_next, zeta=zeta, clip=False)
    got = method.transition(x0, x, at)

    a_t, a_s = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
    alpha = a_t / a_s
    vp = math.sqrt(a_t) * x.flatten(1)
    mean = math.sqrt(a_s) * (1 - alpha) / (1 - a_t) * xhat.flatten(1) + math.sqrt(alpha) * (1 - a_s) / (1 - a_t) * vp
    residual = problem.y.double() - xhat.flatten(1) @ problem.operator.matrix.T
    norm = residual.norm(dim=1, keepdim=True)
    gradient = -(residual @ problem.operator.matrix / norm) @ jacobian(problem, sigma) / math.sqrt(a_t)
    expected = (mean - zeta * gradient) / math.sqrt(a_s)
    if sigma_next > 0:
        beta = (1 - a_s) / (1 - a_t) * (1 - alpha)
        zero = torch.zeros_like(x)
        noise = (transition_twin(zero, zero, sigma, sigma_next, 1.0, noise_of(at, x)) / sigma_next).flatten(1)
        expected = expected + math.sqrt(beta / a_s) * noise
    assert relative(got.flatten(1), expected) < 1e-7


def noise_of(at: Step, like: torch.Tensor) -> torch.Tensor:
    from lmaps.engine.noise import standard_normal

    return standard_normal(like.shape[1:], at.seeds, step=at.index + 1).to(like.dtype)


def test_clip_holds_the_estimate_and_its_gradient_in_range() -> None:
    """Where the denoiser leaves [-1, 1] the clipped estimate does not depend on x, so nothing pushes it."""
    problem = gaussian()
    x = states(scale=50.0)
    xhat, x0 = one_estimate(problem, "dps", x, 0.01, zeta=0.5)
    outside = xhat.abs() > 1
    assert outside.any()
    same = one_estimate(problem, "dps", x, 0.01, zeta=0.0)[1]
    assert torch.equal(same, xhat.clamp(-1, 1))
    assert relative(x0, same) > 1e-6


def test_zeta_zero_samples_the_prior() -> None:
    problem = gaussian()
    x = problem.sample("dps", 400, lmaps.schedules.edm(60, sigma_max=20.0, sigma_min=0.02), zeta=0.0, clip=False)
    assert relative(torch.cov(x.T), problem.prior.covariance) < 0.3
    assert (x.mean(0) - problem.prior.mean).abs().max() < 4.5 * x.std(0).max() / 20


def test_run_lands_near_the_posterior_mean() -> None:
    """The norm instead of the square makes DPS a heuristic: nearer than the prior, no more is promised."""
    problem = gaussian()
    x = problem.sample("dps", 100, lmaps.schedules.ddim(100), zeta=0.3, clip=False)
    assert relative(x.mean(0), problem.mean) < 0.5
    assert relative(problem.prior.mean, problem.mean) > 0.8


def test_a_denoiser_without_gradient_is_named() -> None:
    problem = gaussian()

    def frozen(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return problem.prior.denoise(x.detach(), sigma)

    with pytest.raises(ValueError, match="needs the gradient of the network"):
        lmaps.sample(frozen, problem.operator, problem.y, schedule=[1.0, 0.0], solver="dps")


def test_exact_measurement_has_no_push() -> None:
    """||y - H xhat|| = 0 has no gradient; the step must not be NaN."""
    problem = gaussian()
    x = states(1)
    method, at = one_step(problem, "dps", x, 1.0, clip=False)
    x = x.clone().requires_grad_()
    xhat = problem.prior.denoise(x, at.levels(x))
    exact = Step(0, 1.0, 0.0, problem.operator(xhat.detach()), at.denoise, at.seeds)
    assert torch.allclose(method.estimate(xhat, x, exact), xhat.detach())
    assert x.shape[1:] == SHAPE
