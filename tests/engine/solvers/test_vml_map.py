"""VML-MAP: its gradient against the loss written out, its fixed point, its trace terms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators
from lmaps.engine.solvers import build
from lmaps.engine.solvers.base import Step

from ..gaussians import Mixture
from ..local_map.dense import Dense
from .problem import SIGMA_Y, gaussian, relative

MIXTURE = Mixture(
    torch.tensor([0.6, 0.4], dtype=torch.float64),
    torch.tensor([[-0.5, 0.2], [0.7, -0.3]], dtype=torch.float64),
    torch.tensor([[[0.2, 0.05], [0.05, 0.1]], [[0.1, 0.0], [0.0, 0.3]]], dtype=torch.float64),
)
A = torch.tensor([[1.0, -0.4]], dtype=torch.float64)
Y = torch.tensor([[0.3]], dtype=torch.float64)
SIGMA, NOISE = 0.6, 0.25


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return MIXTURE.denoise(x, sigma)


def loss(x: Tensor, traces: bool) -> Tensor:
    """Proposition 2 for one state x [2]."""
    eye = torch.eye(2, dtype=torch.float64)
    noisy = torch.distributions.MultivariateNormal(MIXTURE.means, MIXTURE.covariances + SIGMA**2 * eye)
    log_p = (MIXTURE.weights.log() + noisy.log_prob(x)).logsumexp(0)
    level = torch.tensor([SIGMA], dtype=torch.float64)
    d = denoise(x.reshape(1, 1, 1, 2), level).flatten()
    value = -log_p - (d - x).square().sum() / (2 * SIGMA**2) + (Y[0] - A @ d).square().sum() / (2 * NOISE**2)
    if not traces:
        return value

    def flat(z: Tensor) -> Tensor:
        return denoise(z.reshape(1, 1, 1, 2), level).flatten()

    c = SIGMA**2 * torch.autograd.functional.jacobian(flat, x, create_graph=True)
    return value - c.trace() / (2 * SIGMA**2) + (A @ c @ A.T).trace() / (2 * NOISE**2)


def one_move(
    monkeypatch: pytest.MonkeyPatch, place: tuple[float, float] = (0.4, 0.1), **options: object
) -> tuple[Tensor, Tensor, float]:
    """(x before, x after one step, the step's length)."""
    operator = Dense(A, (1, 1, 2), diagonal=True)
    method = build("vml-map", operator, [SIGMA, 0.3, 0.0], (1, 1, 1, 2), noise=NOISE, inner_steps=1, **options)
    x = torch.tensor([[[list(place)]]], dtype=torch.float64, requires_grad=True)
    at = Step(0, SIGMA, 0.3, Y, denoise, (0,))
    method.estimate(denoise(x, at.levels(x)), x, at)
    return x.detach().flatten(), at.memory["x"].flatten(), method._safe(SIGMA)  # type: ignore[attr-defined]


def corners(self: Step, like: Tensor, draw: int = 0) -> Tensor:
    """Probes that make Hutchinson's estimate the trace itself: sqrt(2) e_1, sqrt(2) e_2."""
    unit = torch.zeros_like(like)
    size = like[0].numel()
    unit.reshape(-1)[(draw // 2) % size] = math.sqrt(size)
    return unit


def gradient(x: Tensor, traces: bool) -> Tensor:
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(x, traces), x)
    return g


def test_a_step_is_gradient_descent_on_the_loss_without_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, step = one_move(monkeypatch, precondition=False)
    assert relative((before - after) / step, gradient(before, traces=False)) < 1e-6


def test_probes_estimate_the_gradient_of_the_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """With sqrt(2) e_1 and sqrt(2) e_2 as probes Hutchinson's estimate is the trace itself."""

    monkeypatch.setattr(Step, "normal", corners)
    before, after, step = one_move(monkeypatch, precondition=False, probes=2)
    assert relative((before - after) / step, gradient(before, traces=True)) < 1e-6
    assert relative(gradient(before, traces=True), gradient(before, traces=False)) > 0.02


@pytest.mark.parametrize("place", [(0.4, 0.1), (-0.8, 0.9), (1.5, -1.0), (0.0, -0.4)])
def test_probes_descend_the_whole_loss(monkeypatch: pytest.MonkeyPatch, place: tuple[float, float]) -> None:
    """By default, too: one scaling for the main term and for the traces."""
    monkeypatch.setattr(Step, "normal", corners)
    before, after, step = one_move(monkeypatch, place, probes=2)
    slope = gradient(before, traces=True)
    assert relative((before - after) / step, slope) < 1e-6
    assert loss(after, traces=True) < loss(before, traces=True)


def test_preconditioner_is_the_inverse_of_the_data_and_noise_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, _ = one_move(monkeypatch, precondition=True)
    level = torch.tensor([SIGMA], dtype=torch.float64)

    def flat(z: Tensor) -> Tensor:
        return denoise(z.reshape(1, 1, 1, 2), level).flatten()

    d, j = flat(before), torch.autograd.functional.jacobian(flat, before)
    bracket = (d - before) / SIGMA**2 + A.T @ (Y[0] - A @ d) / NOISE**2
    curvature = A.T @ A / NOISE**2 + torch.eye(2, dtype=torch.float64) / SIGMA**2
    assert relative(after - before, j.T @ torch.linalg.solve(curvature, bracket)) < 1e-6


@pytest.mark.parametrize(("precondition", "steps"), [(True, 40), (False, 200)])
@pytest.mark.parametrize("diagonal", [True, False])
def test_fixed_point_is_the_posterior_mean(precondition: bool, steps: int, diagonal: bool) -> None:
    """For a Gaussian prior KL is least where E[x0 | x] = E[x0 | y], at every noise level: the run is exact and certain."""
    problem = gaussian(diagonal=diagonal)
    schedule = lmaps.schedules.edm(8, sigma_max=2.0, sigma_min=0.2)
    options = {"noise": SIGMA_Y, "inner_steps": steps, "precondition": precondition}
    x = problem.sample("vml-map", 5, schedule, **options)
    assert relative(x, problem.mean.expand(5, -1)) < 0.05
    assert relative(problem.prior.mean, problem.mean) > 0.5


def test_traces_of_a_gaussian_prior_change_nothing() -> None:
    """J is constant there, so its trace has no gradient."""
    problem = gaussian()
    options = {"noise": SIGMA_Y, "inner_steps": 3}
    plain = problem.sample("vml-map", 2, [1.0, 0.3, 0.0], precondition=False, **options)
    probed = problem.sample("vml-map", 2, [1.0, 0.3, 0.0], probes=2, **options)
    assert relative(probed, plain) < 1e-5


def test_linear_only_parts_are_refused_for_others() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        build("vml-map", operators.Denoise(), [1.0, 0.0], (1, 3, 4, 4), precondition=True, probes=1)
    for options in ({"precondition": True}, {"probes": 2}):
        with pytest.raises(ValueError, match="need a linear operator, HDR is not one"):
            build("vml-map", operators.HDR(), [1.0, 0.0], (1, 3, 4, 4), **options)
