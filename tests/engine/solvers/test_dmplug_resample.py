"""DMPlug against torch's Adam through its sampler; ReSample's interruptions, its draw, its stopping rule."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

import lmaps
from lmaps.engine import operators, schedules
from lmaps.engine.noise import standard_normal
from lmaps.engine.solvers import build
from lmaps.engine.solvers.base import Step

from .problem import SHAPE, SIGMA_Y, gaussian, one_step, relative, states

LEVELS = [6.0, 1.5, 0.4, 0.0]


def test_dmplug_is_adam_on_the_seed_of_ddim() -> None:
    problem, steps, lr = gaussian(), 8, 0.05
    scale = math.sqrt(1 + LEVELS[0] ** 2)
    got = problem.sample("dmplug", 1, LEVELS, inner_steps=steps, lr=lr)
    z = standard_normal(SHAPE, [0]).double().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=lr)

    def sampler(seed: torch.Tensor) -> torch.Tensor:
        x = scale * seed
        for here, there in pairwise(LEVELS):
            clean = problem.prior.denoise(x, torch.tensor([here], dtype=torch.float64))
            x = clean + there / here * (x - clean)
        return x

    for _ in range(steps):
        optimiser.zero_grad()
        (problem.operator(sampler(z)) - problem.y.double()).square().mean().backward()
        optimiser.step()
    assert relative(got, sampler(z).detach().flatten(1)) < 1e-4


def test_dmplug_explains_the_measurement_in_the_end() -> None:
    problem = gaussian()
    x = problem.sample("dmplug", 3, LEVELS, inner_steps=600, lr=0.02)
    misfit = (x @ problem.operator.matrix.T - problem.y.double()).norm(dim=1)
    before = (problem.prior.mean @ problem.operator.matrix.T - problem.y.double()).norm()
    assert misfit.max() < 0.2 * before


@pytest.mark.parametrize("name", ["dmplug", "resample"])
def test_a_measurement_of_everything_is_the_answer(name: str) -> None:
    """H = 1 without noise has one minimiser, y itself: whatever the prior thinks of it, the optimisation ends there."""
    prior = gaussian(isotropic=0.5).prior
    y = torch.linspace(-0.6, 0.5, 12).reshape(1, 1, 3, 4).expand(2, -1, -1, -1).contiguous()
    options = {"inner_steps": 600, "lr": 0.02} if name == "dmplug" else {"noise": 0.0}
    x = lmaps.sample(prior.denoise, operators.Denoise(), y, schedule=[3.0, 1.0, 0.3, 0.0], solver=name, **options)
    # Adam of a fixed length hovers about the minimum.
    assert (x - y).abs().max() < (0.05 if name == "dmplug" else 0.005)
    assert relative(prior.mean, y[0].flatten()) > 0.5


def test_resample_interrupts_every_tenth_step_of_the_last_two_thirds() -> None:
    problem = gaussian()
    method = build("resample", problem.operator, schedules.ddim(60).tolist(), (1, *SHAPE), noise=SIGMA_Y)
    interrupted = [i for i in range(60) if method._interrupts(i)]  # type: ignore[attr-defined]
    assert interrupted == [29, 39, 49, 59]


def test_resample_draw_is_the_papers_in_vp_coordinates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposition 1 on the VP state, with b = 1 - a': mean (tau sqrt(a') x0 + b x') / (tau + b), variance tau b / (tau + b)."""
    problem, x = gaussian(), states(scale=2.0)
    sigma, following = 2.0, 1.1
    method, at = one_step(problem, "resample", x, sigma, following, noise=SIGMA_Y, every=1, skip=0.0)
    xhat = problem.prior.denoise(x, at.levels(x))
    x0 = method.estimate(xhat, x, at)
    a, b = 1 / (1 + sigma**2), 1 / (1 + following**2)
    tau = 40 * (1 - b) / (1 - a) * (1 - a / b)
    ddim = math.sqrt(b) * (xhat + following / sigma * (x - xhat))
    mean = (tau * math.sqrt(b) * x0 + (1 - b) * ddim) / (tau + 1 - b)
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.zeros_like(like))
    assert relative(math.sqrt(b) * method.transition(x0, x, at), mean) < 1e-9
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: torch.ones_like(like))
    spread = math.sqrt(b) * method.transition(x0, x, at) - mean
    assert torch.allclose(spread, torch.full_like(spread, math.sqrt(tau * (1 - b) / (tau + 1 - b))))


def test_resample_stops_each_image_at_the_noise() -> None:
    problem = gaussian()
    x = states(3) * torch.tensor([0.1, 1.0, 4.0]).reshape(3, 1, 1, 1)
    method, at = one_step(problem, "resample", x, 1.0, noise=SIGMA_Y, every=1, skip=0.0)
    together = method.estimate(x, x, at)
    misfit = (problem.operator(together) - problem.y.double()).square().mean(1)
    assert (misfit <= SIGMA_Y**2 * (1 + 1e-9)).all()
    assert (misfit > 0.5 * SIGMA_Y**2).all()
    for b in range(3):
        alone, one = one_step(problem, "resample", x[b : b + 1], 1.0, noise=SIGMA_Y, every=1, skip=0.0)
        assert relative(together[b], alone.estimate(x[b : b + 1], x[b : b + 1], one)[0]) < 1e-9


def test_resample_without_interruption_is_ddim() -> None:
    """Up to the last step, whose optimisation is within the noise already for a generous one."""
    problem = gaussian()
    x = problem.sample("resample", 2, LEVELS, noise=100.0, every=100)
    state = LEVELS[0] * torch.stack([_noise(0), _noise(1)])
    for here, there in pairwise(LEVELS):
        clean = problem.prior.denoise(state, torch.full((2,), here, dtype=torch.float64))
        state = clean + there / here * (state - clean)
    assert relative(x, state.flatten(1)) < 1e-5


def _noise(seed: int) -> torch.Tensor:
    return standard_normal(SHAPE, [seed])[0].double()
