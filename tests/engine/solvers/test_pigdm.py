"""PiGDM: exact where its covariance is right, its three weights, operators that are not linear."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators
from lmaps.engine.solvers import build
from lmaps.engine.solvers.base import Step, ddim_rho

from .problem import SIGMA_Y, gaussian, one_estimate, one_step, relative, states


@pytest.mark.parametrize("diagonal", [True, False])
def test_bayes_estimate_is_the_posterior_mean_given_the_state(diagonal: bool) -> None:
    """For N(mu, d^2 I), r^2 is the true variance of x0 given x: the estimate is E[x0 | x, y] = Eq. 15."""
    d, sigma = 0.6, 0.9
    problem, x = gaussian(diagonal=diagonal, isotropic=d), states()
    xhat, x0 = one_estimate(problem, "pigdm", x, sigma, noise=SIGMA_Y, weight="bayes", data_std=d)
    a, r2 = problem.operator.matrix, sigma**2 * d**2 / (sigma**2 + d**2)
    middle = r2 * a @ a.T + SIGMA_Y**2 * torch.eye(7, dtype=torch.float64)
    gain = r2 * a.T @ torch.linalg.inv(middle)
    expected = xhat.flatten(1) + (problem.y.double() - xhat.flatten(1) @ a.T) @ gain.T
    assert relative(x0.flatten(1), expected) < (1e-9 if diagonal else 1e-4)
    assert relative(xhat.flatten(1), expected) > 0.1


def test_bayes_estimate_equals_lmaps_with_eq_15() -> None:
    d, sigma, k1 = 0.6, 0.9, 0.3
    problem, x = gaussian(isotropic=d), states()
    _, guided = one_estimate(problem, "pigdm", x, sigma, noise=SIGMA_Y, weight="bayes", data_std=d)
    covariance = sigma**2 * d**2 / (sigma**2 + d**2)
    k2 = (k1**2 + 1e-6) / sigma**2 * covariance / SIGMA_Y**2
    _, local_map = one_estimate(problem, "lmaps", x, sigma, k1=k1, k2=k2, eta=0.1, inner_steps="exact")
    assert relative(guided, local_map) < 1e-6


def test_bayes_run_samples_the_posterior() -> None:
    """Ancestral steps with the exact E[x0 | x, y]: mean and covariance of p(x0 | y), but for the grid."""
    problem, n = gaussian(isotropic=0.6), 1500
    schedule = lmaps.schedules.edm(150, sigma_max=30.0, sigma_min=0.02)
    x = problem.sample("pigdm", n, schedule, noise=SIGMA_Y, weight="bayes", data_std=0.6)
    error = (x.mean(0) - problem.mean).abs() / problem.covariance.diagonal().sqrt()
    assert error.max() < 4.5 / math.sqrt(n) + 0.03
    assert relative(torch.cov(x.T), problem.covariance) < 0.15
    assert relative(problem.prior.covariance, problem.covariance) > 0.3


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_adaptive_weight_adds_the_vector_itself_to_the_state(eta: float) -> None:
    """x_next = DDIM(xhat) + g, g the guidance: on a VP state, sqrt(abar_t abar_s) times its VP gradient."""
    problem, x, sigma, sigma_next = gaussian(), states(), 2.0, 1.2
    options = {"noise": 0.0, "eta": eta}
    method, at = one_step(problem, "pigdm", x, sigma, sigma_next, **options)
    xhat, x0 = one_estimate(problem, "pigdm", x, sigma, sigma_next, weight="adaptive", **options)
    _, plain = one_estimate(problem, "pigdm", x, sigma, sigma_next, weight="plain", **options)
    vector = plain - xhat
    assert relative(method.transition(x0, x, at), method.transition(xhat, x, at) + vector) < 1e-6
    assert 0 <= ddim_rho(eta, at) < 1


def test_start_is_the_pseudo_inverse_noised() -> None:
    problem, x = gaussian(), states()
    method, at = one_step(problem, "pigdm", x, 5.0, noise=0.0)
    pinv = problem.y.double() @ torch.linalg.pinv(problem.operator.matrix).T
    assert relative((method.begin(x, at) - x).flatten(1), pinv.expand(3, -1)) < 1e-4


def test_jpeg_and_quantisation_take_the_identity() -> None:
    """g = J^T (y - H(xhat)) / (1 + (sigma_y / r)^2); with D(x) = x / 2 that is half the bracket."""
    operator = operators.Quantize(bits=2)
    y = operator(torch.rand(1, 3, 5, 6) * 2 - 1)
    method = build("pigdm", operator, [2.0, 0.0], y.shape, noise=0.1, weight="plain")
    x = torch.randn(1, 3, 5, 6).requires_grad_()
    at = Step(0, 2.0, 0.0, method.observe(y), lambda x, s: 0.5 * x, (0,))
    xhat = 0.5 * x
    shift = 0.1**2 / (4 / 5)
    expected = xhat + 0.5 * (y - operator(xhat.detach())) / (1 + shift)
    assert torch.allclose(method.estimate(xhat, x, at), expected, atol=1e-6)


def test_operators_without_a_pseudo_inverse_are_refused() -> None:
    with pytest.raises(ValueError, match="PhaseRetrieval is not linear and has none: use lmaps"):
        build("pigdm", operators.PhaseRetrieval(), [1.0, 0.0], (1, 3, 16, 16))
    with pytest.raises(ValueError, match="NonlinearBlur is not linear and has none: use lmaps"):
        build("pigdm", operators.NonlinearBlur(), [1.0, 0.0], (1, 3, 16, 16))


@pytest.mark.parametrize("operator", [operators.HDR(), operators.Quantize(), operators.JPEG(50)])
def test_operators_that_say_so_have_a_pseudo_inverse(operator: operators.Operator) -> None:
    y = operator(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8)
    assert operator.start_inverts
    assert torch.allclose(operator(operator.start(y)), y, atol=0.02)


def test_a_batch_does_not_mix(tmp_path: object) -> None:
    """The vector-Jacobian product of a batch is each image's own, although one call makes it."""
    problem = gaussian()
    x = states()

    def coupled_scale(x: Tensor) -> Tensor:
        _, x0 = one_estimate(problem, "pigdm", x, 1.0, noise=SIGMA_Y)
        return x0

    together = coupled_scale(x)
    assert torch.allclose(together[1], coupled_scale(x[1:2])[0], atol=1e-12)
