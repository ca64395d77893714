"""FPS and MCG-diff: resampling, the filter against Kalman's, the posterior as particles grow."""

from __future__ import annotations

import math

import pytest
import torch

import lmaps
from lmaps.engine import operators
from lmaps.engine.solvers import build
from lmaps.engine.solvers.base import Step
from lmaps.engine.solvers.particles import gather, pick

from .problem import SHAPE, SIGMA_Y, gaussian, relative


def step(images: int) -> Step:
    return Step(0, 1.0, 0.5, None, lambda x, s: x, tuple(range(images)))


def test_resampling_is_unbiased_and_per_image() -> None:
    """Expected copies are P w; two images with different weights draw by their own."""
    n = 4000
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    logs = [w.log().expand(n).clone() for w in weights]
    ancestors = pick(logs, step(n))
    share = torch.stack([(ancestors == p).double().mean() for p in range(4)])
    assert ancestors.shape == (4, n)
    assert (share - weights).abs().max() < 0.02
    # Systematic: a particle is copied floor(P w) or ceil(P w) times, never more.
    copies = torch.stack([(ancestors == p).sum(0) for p in range(4)])
    assert (copies[0] == 2).all()
    assert set(copies[1].tolist()) == {1, 2}


def test_one_heavy_particle_takes_all() -> None:
    logs = [torch.tensor([0.0, -1e9]).double(), torch.tensor([-1e9, 0.0]).double()]
    ancestors = pick(logs, step(2))
    assert ancestors.T.tolist() == [[0, 0], [1, 1]]
    moved = gather([torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])], ancestors)
    assert [m.flatten().tolist() for m in moved] == [[1.0, 4.0], [1.0, 4.0]]
    assert pick(logs, step(2), count=1).shape == (1, 2)


def test_fps_is_the_kalman_filter_in_the_limit() -> None:
    """For a Gaussian prior hidden states and measurements are jointly Gaussian, so the filter's law is known exactly."""
    problem, count = gaussian(), 1200
    sigmas = [3.0, 2.0, 1.2, 0.7, 0.4, 0.0]
    method = build("fps", problem.operator, sigmas, (1, *SHAPE), noise=SIGMA_Y, particles=count, eta=1.0)
    a, prior = problem.operator.matrix, problem.prior
    eye = torch.eye(12, dtype=torch.float64)
    observed, memory = method.observe(problem.y.double()), {}
    seeds = (3,)

    def at(i: int) -> Step:
        return Step(i, sigmas[i], sigmas[i + 1], observed, prior.denoise, seeds, memory)

    x = method.begin(sigmas[0] * at(0).normal(torch.zeros(1, *SHAPE, dtype=torch.float64), 40_000), at(0))
    path = memory["path"].flatten()
    mean, covariance = _update(torch.zeros(12).double(), sigmas[0] ** 2 * eye, a, problem.y[0], sigmas[0] * a @ path)
    for i in range(len(sigmas) - 2):
        here, there = sigmas[i], sigmas[i + 1]
        x0 = method.estimate(prior.denoise(x, at(i).levels(x)), x, at(i))
        x = method.transition(x0, x, at(i))
        c = 1 - (there / here) ** 2
        kept = math.sqrt(1 - c) * there / here
        j = prior.covariance @ torch.linalg.inv(prior.covariance + here**2 * eye)
        move = j + kept * (eye - j)
        mean = prior.mean + move @ (mean - prior.mean)
        covariance = move @ covariance @ move.T + c * there**2 * eye
        mean, covariance = _update(mean, covariance, a, problem.y[0], there * a @ memory["path"].flatten())
    particles = torch.cat([x, *memory["others"]]).flatten(1)
    error = (particles.mean(0) - mean).abs() / covariance.diagonal().sqrt()
    assert error.max() < 0.35
    assert relative(torch.cov(particles.T), covariance) < 0.3
    assert relative(problem.prior.mean, mean) > 0.3


def _update(
    mean: torch.Tensor, covariance: torch.Tensor, a: torch.Tensor, y: torch.Tensor, moved: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    noise = SIGMA_Y**2 * torch.eye(7, dtype=torch.float64)
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + noise)
    return mean + gain @ (y.double() + moved - a @ mean), covariance - gain @ a @ covariance


@pytest.mark.parametrize("name", ["fps", "mcg-diff"])
def test_one_pixel_against_importance_sampling(name: str) -> None:
    """One step from the start, P particles of one image: the spread is another if start and step share their noise."""
    count, sigma, following, noise, d = 2500, 1.5, 0.7, 0.5, 0.8
    operator, levels = operators.Denoise(), [sigma, following, 0.0]
    y = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64)

    def denoise(x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return x * d**2 / (d**2 + s.reshape(-1, 1, 1, 1) ** 2)

    method = build(name, operator, levels, y.shape, noise=noise, particles=count, eta=1.0)
    at = Step(0, sigma, following, method.observe(y), denoise, (5,))
    x = method.begin(sigma * at.normal(y, 60_000), at)
    start = torch.cat([x, *at.memory["others"]]).flatten()
    path = float(at.memory["path"]) if name == "fps" else 0.0
    x = method.transition(method.estimate(denoise(x, at.levels(x)), x, at), x, at)
    got = torch.cat([x, *at.memory["others"]]).flatten()
    moved = float(at.memory["path"]) if name == "fps" else 0.0

    n = torch.randn((3, 400_000), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    c = 1 - (following / sigma) ** 2
    kept, v, gain = (1 - c) ** 0.5 * following / sigma, c * following**2, d**2 / (d**2 + sigma**2)
    if name == "fps":
        first = _conjugate(0.4 + sigma * path, noise**2, torch.zeros(1), sigma**2, n[0])
        target, width, counted = 0.4 + following * moved, noise**2, torch.zeros_like(n[0])
    else:
        pi = [s**2 - noise**2 + 1e-4 * (1 + noise**2) for s in (sigma, following)]
        first, target, width = sigma * n[0], 0.4, pi[1]
        counted = -((first - 0.4) ** 2) / (2 * pi[0])
    mean = gain * first + kept * (first - gain * first)
    weight = (-((mean - target) ** 2) / (2 * (v + width)) - counted).softmax(0)
    then = _conjugate(target, width, mean, v, n[1])
    expected = float((weight * then).sum())
    spread = float((weight * (then - expected) ** 2).sum()) ** 0.5
    assert abs(float(start.std() / first.std()) - 1) < 0.07
    assert abs(float(got.mean()) - expected) < 5 * spread / count**0.5 + 0.01
    assert abs(float(got.std()) / spread - 1) < 0.07


@pytest.mark.parametrize("name", ["fps", "mcg-diff"])
def test_the_start_and_the_first_step_draw_their_own_noise(name: str) -> None:
    """A measurement that says nothing leaves two particles of one pixel at DDIM's own law, N(0, (a sigma)^2 + v): noise used
    twice would add a sigma and sqrt(v)."""
    count, sigma, following = 4000, 1.5, 0.7
    y = torch.zeros((count, 1, 1, 1))
    method = build(name, operators.Denoise(), [sigma, following, 0.0], y.shape, noise=500.0, particles=2, eta=1.0)
    at = Step(0, sigma, following, method.observe(y), lambda x, s: 0.5 * x, tuple(range(count)))
    x = method.begin(sigma * at.normal(y, 60_000), at)
    method.transition(method.estimate(0.5 * x, x, at), x, at)
    c = 1 - (following / sigma) ** 2
    a = 0.5 + 0.5 * (1 - c) ** 0.5 * following / sigma
    (other,) = at.memory["others"]
    assert float(other.std()) == pytest.approx(((a * sigma) ** 2 + c * following**2) ** 0.5, rel=0.05)


def _conjugate(y: float, width: float, mean: torch.Tensor, v: float, n: torch.Tensor) -> torch.Tensor:
    """Draws of N(mean, v) given a measurement y of variance `width`."""
    k = v / (v + width)
    return mean + k * (y - mean) + (k * width) ** 0.5 * n


def test_mcg_diff_approaches_the_posterior_as_particles_grow() -> None:
    problem, n = gaussian(), 150
    schedule = lmaps.schedules.edm(50, sigma_max=15.0, sigma_min=0.03)
    runs = [problem.sample("mcg-diff", n, schedule, noise=SIGMA_Y, particles=p) for p in (1, 24)]
    errors = [relative(x.mean(0), problem.mean) for x in runs]
    assert errors[1] < 0.2
    assert errors[1] < 0.6 * errors[0]
    assert relative(torch.cov(runs[1].T), problem.covariance) < 0.35
    assert relative(problem.prior.covariance, problem.covariance) > 1


@pytest.mark.parametrize("name", ["fps", "mcg-diff"])
def test_runs_land_near_the_posterior_mean(name: str) -> None:
    problem = gaussian()
    schedule = lmaps.schedules.edm(40, sigma_max=15.0, sigma_min=0.03)
    x = problem.sample(name, 150, schedule, noise=SIGMA_Y, particles=10)
    assert relative(x.mean(0), problem.mean) < 0.4
    assert relative(problem.prior.mean, problem.mean) > 0.8
