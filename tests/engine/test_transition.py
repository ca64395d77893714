"""Noise and Eq. 2: known answers, statistics, and the compiled transition against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from lmaps.engine.noise import standard_normal
from lmaps.engine.transition import initial_state, transition, transition_twin


def test_noise_depends_on_seed_step_and_stream_alone() -> None:
    a = standard_normal((3, 5, 7), [11, 12])
    assert torch.equal(a[1:], standard_normal((3, 5, 7), [12]))
    assert not torch.equal(a, standard_normal((3, 5, 7), [11, 12], step=1))
    assert not torch.equal(a, standard_normal((3, 5, 7), [11, 12], stream="measurement"))
    assert not torch.equal(a[0], a[1])


def test_noise_is_standard_normal() -> None:
    n = standard_normal((400_000,), [3])[0].double()
    assert abs(float(n.mean())) < 4 / math.sqrt(400_000)
    assert abs(float(n.var()) - 1) < 4 * math.sqrt(2 / 400_000)
    assert abs(float((n**3).mean())) < 4 * math.sqrt(15 / 400_000)
    assert abs(float((n**4).mean()) - 3) < 4 * math.sqrt(96 / 400_000)
    assert abs(float((n[1:] * n[:-1]).mean())) < 4 / math.sqrt(400_000)


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_compiled_transition_is_the_formula(rho: float) -> None:
    x0, x = torch.rand(2, 3, 5, 7), torch.randn(2, 3, 5, 7)
    noise = standard_normal((3, 5, 7), [4, 9], step=6).double()
    expected = x0.double() + 0.3 * (math.sqrt(1 - rho**2) * (x.double() - x0.double()) / 0.8 + rho * noise)
    got = transition(x0, x, 0.8, 0.3, rho=rho, seeds=[4, 9], step=6)
    assert torch.allclose(got.double(), expected, rtol=0, atol=2e-6)
    assert torch.allclose(transition_twin(x0, x, 0.8, 0.3, rho, noise.float()).double(), expected, rtol=0, atol=2e-6)


def test_the_last_transition_returns_the_estimate() -> None:
    x0 = torch.rand(1, 3, 4, 4)
    assert torch.equal(transition(x0, torch.randn_like(x0), 0.1, 0.0, rho=1.0, seeds=[0], step=3), x0)


def test_float64_states_stay_float64() -> None:
    x0 = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    assert transition(x0, x0, 1.0, 0.5, rho=1.0, seeds=[0], step=1).dtype == torch.float64


def test_transition_draws_other_noise_than_the_start() -> None:
    start = initial_state((3, 4, 4), 1.0, [5], torch.device("cpu"))
    zero = torch.zeros(1, 3, 4, 4)
    assert not torch.allclose(start, transition(zero, zero, 2.0, 1.0, rho=1.0, seeds=[5], step=1))
