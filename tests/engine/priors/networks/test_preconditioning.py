"""Preconditioning against the formulas, the figures of the reference implementations, and an exactly known prior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.priors.edm import EDMDenoiser
from lmaps.engine.priors.networks.preconditioning import (
    ImprovedTimestep,
    LinearTimestep,
    NoiseEstimateDenoiser,
    TableTimestep,
    VEDenoiser,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)

# sigma -> timestep of DAPS's wrapper around DDPM checkpoints.
DAPS = {0.01: 0.92, 0.1: 26.97, 1: 258.7, 10: 675.4, 80: 932.6, 100: 956.1}


def sigmas_of(betas: list[float]) -> np.ndarray:
    products = np.ones(len(betas))
    for k in range(len(betas)):
        products[k] = (products[k - 1] if k else 1) * (1 - betas[k])
    return np.sqrt((1 - products) / products)


def test_linear_timesteps_are_those_of_daps() -> None:
    t = LinearTimestep()(torch.tensor(list(DAPS)))
    for got, want in zip(t.tolist(), DAPS.values(), strict=True):
        assert got == pytest.approx(want, abs=0.06 if want > 100 else 0.006)


@pytest.mark.parametrize("sigma", [1e-4, 0.003, 0.11, 2.0, 45.0, 150.0])
def test_linear_timestep_formula_and_its_inverse(sigma: float) -> None:
    t = float(LinearTimestep()(torch.tensor([sigma]))) / 999
    b0, b1 = 0.1, 19.9
    assert t == pytest.approx((math.sqrt(b0**2 + 2 * b1 * math.log1p(sigma**2)) - b0) / b1, rel=1e-5)
    assert math.sqrt(math.expm1(b1 * t**2 / 2 + b0 * t)) == pytest.approx(sigma, rel=1e-5)


def test_beyond_the_last_step_the_timestep_stays() -> None:
    far = torch.tensor([1e3, 1e6])
    assert LinearTimestep()(far).tolist() == [999, 999]
    assert TableTimestep(linear_betas())(far).tolist() == pytest.approx([999, 999], abs=1e-3)
    assert TableTimestep(linear_betas())(torch.tensor([1e-6])).tolist() == [0]


@pytest.mark.parametrize(
    "betas", [linear_betas(), scaled_linear_betas(0.00085, 0.012), cosine_betas(), linear_betas(1e-3, 0.5, 7)]
)
def test_table_timesteps_invert_the_noise_levels(betas: list[float]) -> None:
    sigmas = sigmas_of(betas)
    module = TableTimestep(betas)
    steps = module(torch.tensor(sigmas, dtype=torch.float32))
    # At the noisy end of the cosine schedule neighbouring levels still differ by tens of per cent, elsewhere by 1e-3.
    assert np.abs(steps.numpy() - np.arange(len(betas))).max() < 2e-3
    middle = torch.tensor(np.sqrt(sigmas[1:] * sigmas[:-1]), dtype=torch.float32)
    assert np.abs(module(middle).numpy() - (np.arange(len(betas) - 1) + 0.5)).max() < 2e-3


def test_table_of_linear_betas_against_the_continuous_formula() -> None:
    sigmas = torch.tensor(sigmas_of(linear_betas())[[100, 500]], dtype=torch.float32)
    offset = LinearTimestep()(sigmas) - TableTimestep(linear_betas())(sigmas)
    assert offset.tolist() == pytest.approx([0.5, 1.1], abs=0.1)


def test_betas_against_their_definitions() -> None:
    assert linear_betas()[0] == 1e-4
    assert linear_betas()[-1] == 0.02
    sigmas = sigmas_of(linear_betas())
    assert sigmas[0] == pytest.approx(0.0100, abs=5e-5)
    assert sigmas[999] == pytest.approx(157.4, abs=0.05)
    roots = np.sqrt(scaled_linear_betas(0.0004, 0.0121, 12))
    assert np.allclose(roots, np.arange(12) * 0.09 / 11 + 0.02)
    cosine = cosine_betas(1000)
    products = np.cumprod(1 - np.array(cosine))
    want = [math.cos((k / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(1001)]
    assert products[499] == pytest.approx(want[500] / want[0], rel=1e-9)
    assert cosine[-1] == 0.999


def test_iddpm_noise_levels_follow_their_recurrence() -> None:
    module, steps = ImprovedTimestep(), 1000
    levels = [0.0]
    for j in range(steps, 0, -1):
        ratio = (math.sin(math.pi * (j - 1) / (2 * steps * 1.008)) / math.sin(math.pi * j / (2 * steps * 1.008))) ** 2
        levels.insert(0, math.sqrt((levels[0] ** 2 + 1) / max(ratio, 0.001) - 1))
    # Figures that EDM's paper gives for this parametrisation.
    assert levels[0] == pytest.approx(20291, rel=0.01)
    assert levels[999] == pytest.approx(0.0064, abs=0.0002)
    for sigma in (0.0001, 0.0064, 0.05, 0.5, 3.0, 79.9, 500.0, 3e4):
        nearest = min(range(steps + 1), key=lambda j: abs(levels[j] - sigma))
        assert float(module(torch.tensor([sigma]))) == steps - 1 - nearest


class PerfectNoiseEstimate(nn.Module):
    """E[noise | x / sqrt(1 + sigma^2)] for clean ~ N(mean, spread^2), as a DDPM network would know it: from t alone."""

    def __init__(self, sigma_of_t: Tensor, mean: float, spread: float, extra: int) -> None:
        super().__init__()
        self.sigma_of_t, self.mean, self.spread, self.extra = sigma_of_t, mean, spread, extra

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        s = self.sigma_of_t[t.round().long()].reshape(-1, 1, 1, 1)
        noisy = x * (1 + s**2).sqrt()
        noise = s * (noisy - self.mean) / (s**2 + self.spread**2)
        return torch.cat([noise, torch.full_like(noise, 1e3)], dim=1) if self.extra else noise


def posterior_mean(x: Tensor, s: Tensor, mean: float, spread: float) -> Tensor:
    s2 = s.double().reshape(-1, 1, 1, 1) ** 2
    return (spread**2 * x.double() + s2 * mean) / (s2 + spread**2)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_perfect_noise_estimate_becomes_the_exact_denoiser(extra: int) -> None:
    sigmas = torch.tensor(sigmas_of(linear_betas()), dtype=torch.float32)
    network = PerfectNoiseEstimate(sigmas, 0.3, 0.5, extra)
    denoise = NoiseEstimateDenoiser(network, TableTimestep(linear_betas()))
    x, s = torch.randn(4, 3, 5, 7), sigmas[[5, 200, 700, 980]]
    x = 0.3 + x * (0.25 + s.reshape(-1, 1, 1, 1) ** 2).sqrt()
    want = posterior_mean(x, s, 0.3, 0.5)
    assert denoise(x, s).shape == x.shape
    assert (denoise(x, s) - want).abs().max() < 2e-4


def test_edm_and_ve_become_the_exact_denoiser() -> None:
    mean, spread = -0.2, 0.4
    x, s = torch.randn(3, 2, 5, 7), torch.tensor([0.05, 1.0, 30.0])
    want = posterior_mean(x, s, mean, spread)

    class PerfectScore(nn.Module):
        def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
            t = 2 * c_noise.exp().reshape(-1, 1, 1, 1)
            return t * (mean - y) / (t**2 + spread**2)

    assert (VEDenoiser(PerfectScore())(x, s) - want).abs().max() < 1e-5

    class PerfectTarget(nn.Module):
        def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
            t = (4 * c_noise).exp().reshape(-1, 1, 1, 1).double()
            total = (t**2 + 0.25).sqrt()
            clean = posterior_mean(y * total, t, mean, spread)
            return ((clean - 0.25 * y / total) * total / (t * 0.5)).float()

    assert (EDMDenoiser(PerfectTarget(), 0.5)(x, s) - want).abs().max() < 2e-5


def test_what_the_network_is_told() -> None:
    """Input scaling and noise label of each kind, against EDM's table 1."""
    told: list[tuple[Tensor, Tensor]] = []

    class Listener(nn.Module):
        def forward(self, y: Tensor, label: Tensor) -> Tensor:
            told.append((y, label))
            return torch.cat([y, y], dim=1)

    x, s = torch.ones(2, 1, 2, 2), torch.tensor([0.7, 12.0])
    out = NoiseEstimateDenoiser(Listener(), LinearTimestep())(x, s)
    y, label = told.pop()
    assert torch.allclose(y[:, 0, 0, 0], 1 / (1 + s**2).sqrt())
    assert label.tolist() == pytest.approx(LinearTimestep()(s).tolist())
    assert torch.allclose(out[:, 0, 0, 0], 1 - s / (1 + s**2).sqrt())
    assert out.shape == x.shape

    class Same(Listener):
        def forward(self, y: Tensor, label: Tensor) -> Tensor:
            told.append((y, label))
            return y

    out = VEDenoiser(Same())(x, s)
    y, label = told.pop()
    assert torch.equal(y, x)
    assert torch.allclose(label, (s / 2).log())
    assert torch.allclose(out[:, 0, 0, 0], 1 + s)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearTimestep(beta_min=0), "must be positive"),
        (lambda: LinearTimestep(steps=1), "steps >= 2"),
        (lambda: TableTimestep([0.1]), "at least 2 numbers"),
        (lambda: TableTimestep([]), "got none"),
        (lambda: TableTimestep([0.1, 1.0]), "between 0 and 1"),
        (lambda: TableTimestep([0.1, float("nan")]), "between 0 and 1"),
        (lambda: ImprovedTimestep(c1=1), r"c1 must lie in \(0, 1\)"),
    ],
)
def test_impossible_schedules_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
