"""Networks that answer the noise, v or the clean picture, held to the exact answer on a Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.priors.noise_schedule import NoiseSchedule, as_schedule
from lmaps.engine.priors.prediction import FromDenoised, FromPrediction, FromRange, Timestep

SHAPE = (3, 5, 7)


def products(betas: list[float]) -> list[float]:
    """abar by a plain loop."""
    out, product = [], 1.0
    for beta in betas:
        product *= 1 - beta
        out.append(product)
    return out


def cosine_betas(steps: int) -> list[float]:
    def curve(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    return [min(1 - curve((i + 1) / steps) / curve(i / steps), 0.999) for i in range(steps)]


SCHEDULES: dict[str, tuple[NoiseSchedule, list[float]]] = {
    "linear": (NoiseSchedule(), products([1e-4 + (2e-2 - 1e-4) * i / 999 for i in range(1000)])),
    "scaled-linear": (
        NoiseSchedule("scaled-linear", 1000, 0.00085, 0.012),
        products([(0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * i / 999) ** 2 for i in range(1000)]),
    ),
    "cosine": (NoiseSchedule("cosine", 400), products(cosine_betas(400))),
    "alphas-cumprod": (as_schedule([0.99, 0.8, 0.5, 0.1, 0.01]), [0.99, 0.8, 0.5, 0.1, 0.01]),
}


class Gaussian(nn.Module):
    """The exact network for pictures drawn from N(mean, diag(variance)), in float64 from its own table."""

    def __init__(self, kind: str, table: list[float], wrap: Callable[[Tensor], Any] = lambda t: t) -> None:
        super().__init__()
        generator = np.random.default_rng(3)
        self.mean, self.variance = generator.uniform(-0.5, 0.5, SHAPE), generator.uniform(0.05, 0.6, SHAPE)
        self.kind, self.wrap = kind, wrap
        self.logs = np.array([0.5 * math.log((1 - a) / a) for a in table])

    def denoised(self, x: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        gain = self.variance / (self.variance + sigma**2)
        return self.mean + gain * (x - self.mean)

    def forward(self, u: Tensor, t: Tensor) -> Any:
        sigma = np.exp(np.interp(t.double().numpy(), np.arange(len(self.logs)), self.logs)).reshape(-1, 1, 1, 1)
        alpha = 1 / np.sqrt(1 + sigma**2)
        clean = self.denoised(u.double().numpy() / alpha, sigma)
        noise = (u.double().numpy() - alpha * clean) / (alpha * sigma)
        answers = {"epsilon": noise, "v": alpha * noise - alpha * sigma * clean, "sample": clean}
        return self.wrap(torch.from_numpy(answers[self.kind]).float())


def noisy(network: Gaussian, sigma: Tensor) -> Tensor:
    return torch.from_numpy(network.mean).float() + (0.5 + sigma.reshape(-1, 1, 1, 1)) * torch.randn(len(sigma), *SHAPE)


@pytest.mark.parametrize("kind", ["epsilon", "v", "sample"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_prediction_gives_the_exact_posterior_mean(schedule: str, kind: str) -> None:
    facts, table = SCHEDULES[schedule]
    network = Gaussian(kind, table)
    low, high = facts.sigma_range()
    sigma = torch.logspace(math.log10(low * 1.0001), math.log10(min(high * 0.9999, 30)), 9)
    x = noisy(network, sigma)
    want = network.denoised(x.double().numpy(), sigma.double().numpy().reshape(-1, 1, 1, 1))
    got = FromPrediction(network, kind, facts, channels=3)(x, sigma)
    assert got.dtype == torch.float32
    # Errors of the noise count sigma-fold in the clean picture.
    assert (np.abs(got.numpy() - want) / (1 + sigma.numpy().reshape(-1, 1, 1, 1))).max() < 2e-5


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_tables_are_those_of_the_papers(schedule: str) -> None:
    facts, table = SCHEDULES[schedule]
    assert np.allclose(facts.table(), table, rtol=1e-12, atol=0)
    assert NoiseSchedule.from_settings(facts.to_settings()) == facts


def test_the_linear_schedule_has_ddpms_noise_levels() -> None:
    low, high = NoiseSchedule().sigma_range()
    assert low == pytest.approx(0.0100005, rel=1e-5)
    assert high == pytest.approx(157.4, abs=0.05)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_of_the_table_is_that_step(schedule: str) -> None:
    facts, table = SCHEDULES[schedule]
    steps = torch.linspace(0, len(table) - 1, 5).round().long()
    sigma = torch.tensor([math.sqrt((1 - table[k]) / table[k]) for k in steps.tolist()])
    assert torch.allclose(Timestep(facts)(sigma), steps.float(), atol=2e-3)
    assert torch.equal(Timestep(facts, "nearest")(sigma), steps.float())


def test_between_two_steps_the_log_is_linear_and_nearest_rounds_in_it() -> None:
    facts = as_schedule([0.9, 0.5, 0.1])
    a, b = facts.log_sigmas()[:2]
    sigma = torch.tensor([math.exp(a + f * (b - a)) for f in (0.25, 0.49, 0.51, 0.75)])
    assert torch.allclose(Timestep(facts)(sigma), torch.tensor([0.25, 0.49, 0.51, 0.75]), atol=1e-5)
    assert Timestep(facts, "nearest")(sigma).tolist() == [0, 0, 1, 1]


def test_beyond_the_table_the_step_stays_and_x_keeps_its_scale() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, u: Tensor, t: Tensor) -> Tensor:
            seen.append((u, t))
            return torch.zeros_like(u)

    sigma = torch.tensor([1e-4, 1e4])
    x = torch.randn(2, *SHAPE)
    FromPrediction(Spy(), "epsilon", NoiseSchedule(), channels=3)(x, sigma)
    (u, t) = seen[0]
    assert t.tolist() == [0, 999]
    assert torch.allclose(u, x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2).sqrt(), rtol=1e-5)


def test_variance_channels_and_wrappers_are_dropped() -> None:
    facts, table = SCHEDULES["linear"]
    sigma = torch.tensor([0.3, 2.0])
    plain = Gaussian("epsilon", table)
    x = noisy(plain, sigma)
    want = FromPrediction(plain, "epsilon", facts, channels=3)(x, sigma)
    six = Gaussian("epsilon", table, lambda t: SimpleNamespace(sample=torch.cat([t, torch.full_like(t, 9.0)], 1)))
    assert torch.equal(FromPrediction(six, "epsilon", facts, channels=3)(x, sigma), want)


def test_whole_steps_are_handed_over_as_integers() -> None:
    class Table(nn.Module):
        def forward(self, u: Tensor, t: Tensor) -> Tensor:
            assert t.dtype == torch.int64
            return torch.zeros_like(u)

    network = FromPrediction(Table(), "sample", NoiseSchedule(), channels=3, timestep="nearest", whole_steps=True)
    assert network(torch.ones(1, *SHAPE), torch.ones(1)).abs().max() == 0
    with pytest.raises(ValueError, match="needs timestep='nearest'"):
        FromPrediction(Table(), "sample", NoiseSchedule(), channels=3, whole_steps=True)


def test_another_value_range_is_the_same_prior() -> None:
    """Pictures p in [-1, 1] with variance c are pictures (p + 1) / 2 in [0, 1] with variance c / 4."""
    plain = Gaussian("sample", [0.9, 0.1])
    sigma = torch.tensor([0.1, 0.7, 3.0])
    x = noisy(plain, sigma)
    want = plain.denoised(x.double().numpy(), sigma.double().numpy().reshape(-1, 1, 1, 1))

    class Unit(nn.Module):
        def forward(self, x01: Tensor, sigma01: Tensor) -> Tensor:
            mean, variance = (plain.mean + 1) / 2, plain.variance / 4
            s = sigma01.double().numpy().reshape(-1, 1, 1, 1)
            return torch.from_numpy(mean + variance / (variance + s**2) * (x01.double().numpy() - mean)).float()

    got = FromRange(FromDenoised(Unit(), channels=3), (0.0, 1.0))(x, sigma)
    assert np.abs(got.numpy() - want).max() < 1e-5


def test_a_schedule_with_zero_terminal_signal_drops_its_last_step() -> None:
    assert as_schedule([0.9, 0.5, 0.2, 0.0]).alphas_cumprod == (0.9, 0.5, 0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NoiseSchedule("sine"), "must be one of linear.*'sine'"),
        (lambda: NoiseSchedule(steps=1), "steps must be a whole number.*1"),
        (lambda: NoiseSchedule(steps=10**9), "steps must be a whole number"),
        (lambda: NoiseSchedule(beta_start=0.5, beta_end=0.1), "beta_start <= beta_end"),
        (lambda: NoiseSchedule(beta_end=float("nan")), "beta_start <= beta_end"),
        (lambda: as_schedule([0.5, 0.9]), "fall strictly"),
        (lambda: as_schedule([0.9, float("nan")]), "fall strictly"),
        (lambda: as_schedule([1.0, 0.5]), "fall strictly"),
        (lambda: as_schedule([[0.9, 0.5]]), "one dimension"),
        (lambda: as_schedule([0.9]), "must hold 2"),
        (lambda: NoiseSchedule.from_settings({"kind": "linear", "gamma": 3}), "gamma"),
        (lambda: NoiseSchedule.from_settings({"kind": "linear", "beta_end": "big"}), "beta_end must be a number"),
        (lambda: FromPrediction(nn.Identity(), "score", NoiseSchedule(), channels=3), "one of epsilon.*'score'"),
        (lambda: FromPrediction(nn.Identity(), "denoised", NoiseSchedule(), channels=3), "needs no schedule"),
        (lambda: Timestep(NoiseSchedule(), "exact"), "interpolated or nearest"),
        (lambda: FromRange(nn.Identity(), (1.0, 0.0)), "lower first"),
        (lambda: FromRange(nn.Identity(), (0.0, float("inf"))), "lower first"),
    ],
)
def test_nonsense_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_an_answer_that_is_no_picture_is_named() -> None:
    class Pair(nn.Module):
        def forward(self, u: Tensor, t: Tensor) -> Any:
            return u, t

    with pytest.raises(TypeError, match=r"must answer with a tensor.*tuple"):
        FromPrediction(Pair(), "epsilon", NoiseSchedule(), channels=3)(torch.ones(1, *SHAPE), torch.ones(1))
