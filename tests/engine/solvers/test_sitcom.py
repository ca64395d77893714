"""SITCOM: its inner optimisation against torch's Adam, its stopping rule, its fixed point."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators, schedules
from lmaps.engine.loop import run
from lmaps.engine.solvers import build
from lmaps.engine.solvers.adam import Adam
from lmaps.engine.solvers.base import Step

from .problem import SIGMA_Y, Problem, gaussian, one_estimate, relative, states


def by_torch(problem: Problem, x: Tensor, sigma: float, steps: int, lr: float, penalty: float, clip: bool) -> Tensor:
    """K calls of the denoiser, Adam of torch.optim on the VP input, for one image."""
    scale = math.sqrt(1 + sigma**2)
    start = x.detach() / scale
    v = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([v], lr=lr)
    for _ in range(steps):
        x0 = problem.prior.denoise(scale * v, torch.full((1,), sigma))
        x0 = x0.clamp(-1, 1) if clip else x0
        loss = (problem.operator(x0) - problem.y.double()).square().sum() + penalty * (v - start).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return x0.detach()


@pytest.mark.parametrize("variant", ["code", "paper"])
@pytest.mark.parametrize("sigma", [8.0, 0.4])
def test_inner_optimisation_equals_torchs_adam(variant: str, sigma: float) -> None:
    problem, x = gaussian(), states(1, scale=3.0)
    options = {"noise": None, "inner_steps": 12, "lr": 0.03, "variant": variant}
    _, x0 = one_estimate(problem, "sitcom", x, sigma, **options)
    clip = variant == "code"
    assert relative(x0, by_torch(problem, x, sigma, 12, 0.03, 0.0 if clip else 1.0, clip)) < 1e-6


def test_adam_equals_torchs_adam() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    theirs, ours = torch.optim.Adam([x], lr=0.1, betas=(0.8, 0.95)), torch.zeros_like(x)
    adam = Adam(0.1, betas=(0.8, 0.95))
    for _ in range(7):
        x.grad = torch.randn(2, 3, generator=generator, dtype=torch.float64)
        theirs.step()
        ours = ours - adam.step(x.grad)
    assert torch.allclose(ours, x.detach(), atol=1e-12)


def test_every_image_stops_by_itself() -> None:
    """A batch equals its images alone although they stop after different numbers of steps."""
    problem, sigma = gaussian(), 1.0
    x = states(3) * torch.tensor([0.1, 1.0, 4.0]).reshape(3, 1, 1, 1)
    options = {"noise": SIGMA_Y, "inner_steps": 200, "lr": 0.02, "variant": "paper", "penalty": 0.0}
    _, together = one_estimate(problem, "sitcom", x, sigma, **options)
    goal = (SIGMA_Y + 0.001) ** 2 * 7
    misfit = (together.flatten(1) @ problem.operator.matrix.T - problem.y.double()).square().sum(1)
    assert (misfit < goal).all()
    for b in range(3):
        _, alone = one_estimate(problem, "sitcom", x[b : b + 1], sigma, **options)
        assert relative(together[b], alone[0]) < 1e-9


def test_a_last_data_step_puts_the_measurement_in() -> None:
    """s = 0.5 on a mask replaces what was measured, as the authors' inpainting does."""
    operator = operators.Inpainting.random(keep=0.5, seed=1)
    y = operator(torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) - 0.5)
    method = build("sitcom", operator, [1.0, 0.0], y.shape, noise=10.0, data_step=0.5)
    x = torch.zeros_like(y).requires_grad_()
    x0 = method.estimate(0.3 + 0.5 * x, x, Step(0, 1.0, 0.0, y, lambda z, s: z, (0,)))
    seen = operator.mask(6, 6) > 0
    assert torch.allclose(x0.detach(), torch.where(seen, y, 0.3), atol=1e-6)


def test_an_input_that_fits_is_left_alone() -> None:
    problem = gaussian()
    xhat, x0 = one_estimate(problem, "sitcom", states(), 1.0, noise=100.0, variant="paper")
    assert torch.equal(xhat, x0)


def test_penalty_keeps_the_input_near_the_state() -> None:
    """A strong penalty leaves the denoiser's own answer; none reaches the smallest misfit of all."""
    problem = gaussian()
    options = {"noise": None, "inner_steps": 400, "lr": 0.02, "variant": "paper"}
    xhat, held = one_estimate(problem, "sitcom", states(), 0.5, penalty=1e6, **options)
    _, free = one_estimate(problem, "sitcom", states(), 0.5, penalty=0.0, **options)
    assert relative(held, xhat) < 0.05
    misfit = [(z.flatten(1) @ problem.operator.matrix.T - problem.y.double()).norm(dim=1) for z in (held, free)]
    assert (misfit[1] < 0.2 * misfit[0]).all()


def test_schedule_and_start_are_the_vp_ones() -> None:
    method = build("sitcom", gaussian().operator, [5.0, 0.0], (1, 1, 3, 4))
    sigmas = type(method).schedule(None)
    assert sigmas is not None
    assert len(sigmas) == 21
    assert sigmas[0] == schedules.ddpm_sigmas()[950]
    assert sigmas[-2] == schedules.ddpm_sigmas()[0]
    starts: list[Tensor] = []

    def spy(x: Tensor, sigma: Tensor) -> Tensor:
        starts.append(x.detach())
        return x * 0.5

    run(spy, method, gaussian().y.expand(4000, -1), [5.0, 0.0], (4000, 1, 3, 4), range(4000))
    assert starts[0].std() == pytest.approx(math.sqrt(26), rel=0.02)


def test_run_explains_the_measurement() -> None:
    problem = gaussian()
    x = problem.sample("sitcom", 20, [10.0, 3.0, 1.0, 0.3, 0.1, 0.0], noise=SIGMA_Y, variant="paper", penalty=0.0)
    misfit = (x @ problem.operator.matrix.T - problem.y.double()).norm(dim=1)
    assert misfit.max() < 1.1 * (SIGMA_Y + 0.001) * math.sqrt(7)
    before = (problem.prior.mean @ problem.operator.matrix.T - problem.y.double()).norm()
    assert before > 2 * misfit.max()
