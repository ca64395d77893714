"""DDRM and DDNM: the marginals they promise, their cases, and that one is the other where theory says so."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators, schedules
from lmaps.engine.noise import standard_normal
from lmaps.engine.solvers import get
from lmaps.engine.solvers.base import Step
from lmaps.engine.solvers.ddrm import gains

from .problem import SHAPE, SIGMA_Y, gaussian, one_estimate, one_step, relative, states

LAM = torch.tensor([1.0, 0.5, 0.1, 1e-3, 1e-5, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("sigma_next", [3.0, 0.4, 0.01])
@pytest.mark.parametrize(("eta", "eta_b"), [(0.85, 1.0), (0.3, 0.5), (1.0, 1.0), (0.0, 0.2)])
def test_a_true_estimate_leaves_the_right_marginal(noise: float, sigma_next: float, eta: float, eta_b: float) -> None:
    """xhat = x0, x ~ N(x0, sigma^2), V^T H^T y = lam x0 + s sigma_y n  =>  x_next ~ N(x0, sigma_next^2), exactly."""
    sigma = 5.0
    g = gains(LAM, noise, sigma, sigma_next, eta, eta_b)
    mean = g.clean + g.state + g.data * LAM
    variance = g.noise**2 + (g.state * sigma) ** 2 + g.data**2 * LAM * noise**2
    assert torch.allclose(mean, torch.ones_like(LAM), atol=1e-12)
    assert torch.allclose(variance, torch.full_like(LAM, sigma_next**2), rtol=1e-9)


def test_cases_follow_the_noise() -> None:
    g = gains(LAM, 0.2, 2.0, 0.5, 0.85, 1.0)
    sure = 0.2 / LAM.sqrt() <= 0.5
    assert torch.equal((g.clean == 0) & (g.state == 0), sure)
    assert torch.equal(g.state > 0, LAM <= 1e-6)
    assert torch.allclose(g.data[sure] * LAM[sure], torch.ones(int(sure.sum()), dtype=torch.float64))


def test_state_of_a_run_with_a_true_estimate_has_the_right_spread() -> None:
    """The same promise through operator, basis and noise: 4000 runs, each with its own measurement noise."""
    problem, n, sigma, sigma_next = gaussian(), 4000, 4.0, 0.9
    truth = states(1).float().expand(n, *SHAPE)
    noise = SIGMA_Y * torch.randn(n, 7)
    y = problem.operator(truth) + noise
    for name in ("ddrm", "ddnm"):
        method, at = one_step(problem, name, truth, sigma, sigma_next, noise=SIGMA_Y)
        at = type(at)(0, sigma, sigma_next, method.observe(y), at.denoise, at.seeds, at.memory)
        first = method.begin(sigma * torch.randn(n, *SHAPE), at)
        x0 = method.estimate(truth, truth + sigma * torch.randn(n, *SHAPE), at)
        following = method.transition(x0, truth + sigma * torch.randn(n, *SHAPE), at)
        if name == "ddrm":
            assert relative((first - truth).flatten(1).T.cov(), sigma**2 * torch.eye(12)) < 0.1
        assert relative((following - truth).flatten(1).T.cov(), sigma_next**2 * torch.eye(12)) < 0.1
        assert (following - truth).mean(0).abs().max() < 5 * sigma_next / math.sqrt(n)


def test_ddnm_plus_is_ddrm_with_full_trust() -> None:
    """Same seeds, same noise: DDNM+ equals DDRM with eta_b = 1 from the first step to the last."""
    problem, x = gaussian(), states(scale=3.0)
    for sigma, sigma_next in ((3.0, 1.5), (0.8, 0.3), (0.3, 0.0)):
        moved = []
        for name in ("ddrm", "ddnm"):
            method, at = one_step(problem, name, x, sigma, sigma_next, noise=SIGMA_Y, eta=0.7)
            xhat = problem.prior.denoise(x, at.levels(x))
            moved.append(method.transition(method.estimate(xhat, x, at), x, at))
        assert relative(moved[0], moved[1]) < 1e-9


def test_plain_ddnm_estimate_is_range_null_decomposition() -> None:
    problem = gaussian()
    a = problem.operator.matrix
    for diagonal in (True, False):
        xhat, x0 = one_estimate(gaussian(diagonal=diagonal), "ddnm", states(), 1.0, noise=0.0)
        pinv = torch.linalg.pinv(a)
        expected = xhat.flatten(1) + (problem.y.double() - xhat.flatten(1) @ a.T) @ pinv.T
        assert relative(x0.flatten(1), expected) < (1e-9 if diagonal else 1e-3)


def test_ddnm_is_lmaps_at_no_noise_and_infinitely_many_steps() -> None:
    """Eq. 15 with sigma_y -> 0 (k2 -> infinity) keeps the null space and takes the range from the measurement."""
    problem, x = gaussian(), states()
    _, ddnm = one_estimate(problem, "ddnm", x, 0.7, noise=0.0)
    k2 = 1e7
    _, local_map = one_estimate(problem, "lmaps", x, 0.7, k1=0.3, k2=k2, eta=1 / k2, inner_steps="exact")
    assert relative(local_map, ddnm) < 1e-4


@pytest.mark.parametrize("name", ["ddrm", "ddnm"])
def test_noise_free_pixels_are_kept(name: str) -> None:
    operator = operators.Inpainting.random(keep=0.4, seed=2)
    truth = torch.rand(1, 3, 9, 14) - 0.5

    def shrink(x: Tensor, sigma: Tensor) -> Tensor:
        return 0.5 * x

    x = lmaps.sample(shrink, operator, operator(truth), schedule=[5.0, 1.0, 0.2, 0.0], solver=name, noise=0.0)
    mask = operator.mask(9, 14) > 0
    assert torch.allclose((x - truth)[..., mask[0]], torch.zeros(1), atol=1e-6)
    assert (x - truth)[..., ~mask[0]].abs().max() > 0.01


def test_runs_land_near_the_posterior_mean() -> None:
    """For an isotropic prior every coefficient is a problem of its own, and the network's part of the answer is weighed
    against the measurement by noise levels alone, not by the prior: near, not exact."""
    problem = gaussian(isotropic=0.5)
    for name in ("ddrm", "ddnm"):
        x = problem.sample(name, 400, lmaps.schedules.ddim(60), noise=SIGMA_Y)
        assert relative(x.mean(0), problem.mean) < 0.2, name
    assert relative(problem.prior.mean, problem.mean) > 0.5


@pytest.mark.parametrize("name", ["ddrm", "ddnm"])
def test_whole_run_has_the_law_of_its_coefficients(name: str) -> None:
    """An isotropic prior keeps singular values apart: mean and variance of each coefficient by the paper's three cases."""
    d, n, eta, sigmas = 0.5, 900, 0.85, [9.0, 3.0, 1.0, 0.4, 0.15, 0.05, 0.0]
    problem = gaussian(isotropic=d)
    _, s, vt = torch.linalg.svd(problem.operator.matrix, full_matrices=True)
    data = (vt @ problem.operator.matrix.T @ problem.y[0].double())[:7] / s**2
    centre = vt @ problem.prior.mean
    x = problem.sample(name, n, sigmas, noise=SIGMA_Y, eta=eta) @ vt.T
    for k in range(12):
        measured, width = k < 7, SIGMA_Y / float(s[k]) if k < 7 else math.inf
        m, v = 0.0, sigmas[0] ** 2
        if name == "ddrm" and width <= sigmas[0]:
            m, v = float(data[k]), sigmas[0] ** 2 - width**2
        for here, there in pairwise(sigmas):
            g = d**2 / (d**2 + here**2)
            ybar = float(data[k]) if measured else 0.0
            if width <= there:
                m, v = ybar, there**2 - width**2
                continue
            old = math.sqrt(1 - eta**2) * there
            # x_next = xhat (1 - share) + share ybar, or with the direction (x - xhat) / here where nothing is measured.
            share = old / width if measured else old / here
            gain = g * (1 - share) + (0.0 if measured else share)
            fixed = (1 - g) * (1 - share) * float(centre[k]) + (share * ybar if measured else 0.0)
            m, v = gain * m + fixed, gain**2 * v + eta**2 * there**2
        assert abs(float(x[:, k].mean()) - m) < 4.5 * math.sqrt(v / n) + 1e-4, k
        assert abs(math.log(float(x[:, k].var()) / v)) < 4.5 * math.sqrt(2 / n), k


def test_plain_ddnm_keeps_and_renews_the_shares_of_its_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a VP state c1 = sqrt(1 - abar') eta of fresh noise, c2 = sqrt(1 - abar') sqrt(1 - eta^2) of the direction."""
    problem, x, sigma, sigma_next, eta = gaussian(), states(), 2.0, 1.0, 0.85
    method, at = one_step(problem, "ddnm", x, sigma, sigma_next, noise=0.0, eta=eta)
    xhat = problem.prior.denoise(x, at.levels(x))
    x0 = method.estimate(xhat, x, at)
    fresh = standard_normal(SHAPE, at.seeds, step=1).double()
    expected = x0 + sigma_next * (math.sqrt(1 - eta**2) * (x - xhat) / sigma + eta * fresh)
    assert relative(method.transition(x0, x, at), expected) < 1e-6
    # Where H sees nothing DDNM+ does the same: its variance does not depend on sigma either.
    plus, also = one_step(problem, "ddnm", x, sigma, sigma_next, noise=SIGMA_Y, eta=eta)
    monkeypatch.setattr(Step, "normal", lambda self, like, draw=0: fresh.to(like.dtype))
    null = torch.eye(12, dtype=torch.float64) - torch.linalg.pinv(problem.operator.matrix) @ problem.operator.matrix
    there = plus.transition(plus.estimate(xhat, x, also), x, also)
    assert relative(there.flatten(1) @ null, expected.flatten(1) @ null) < 1e-6


def test_grids_are_those_of_the_authors_code() -> None:
    known = schedules.ddpm_sigmas()
    for name, count in (("ddrm", 20), ("ddnm", 100)):
        grid = get(name).schedule(None)
        assert grid is not None
        times = range(0, 1000, 1000 // count)
        assert torch.equal(grid[:-1].flip(0), known[list(times)])


def test_plain_ddnm_is_ddim_where_nothing_is_measured() -> None:
    """In the null space of H the transition is DDIM's own, with the network's direction."""
    problem, x, sigma, sigma_next = gaussian(), states(), 2.0, 1.0
    method, at = one_step(problem, "ddnm", x, sigma, sigma_next, noise=0.0, eta=0.0)
    xhat = problem.prior.denoise(x, at.levels(x))
    moved = method.transition(method.estimate(xhat, x, at), x, at)
    ddim = xhat + sigma_next / sigma * (x - xhat)
    null = torch.eye(12, dtype=torch.float64) - torch.linalg.pinv(problem.operator.matrix) @ problem.operator.matrix
    assert relative(moved.flatten(1) @ null, ddim.flatten(1) @ null) < 1e-9
    assert relative(moved.flatten(1), ddim.flatten(1)) > 0.05
