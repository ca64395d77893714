"""Settings follow how much a measurement rounds away, and plain denoising is the network's own answer."""

from __future__ import annotations

import pytest
import torch

import lmaps
from lmaps.engine import presets, settings
from lmaps.engine.demo import photographs
from lmaps.engine.operators import HDR, JPEG, Operator, Quantize


def psnr(x: torch.Tensor, truth: torch.Tensor) -> float:
    return float(-10 * ((x.clamp(-1, 1) - truth) / 2).square().mean(dim=(1, 2, 3)).log10().mean())


def middles(side: int) -> torch.Tensor:
    return 2 * torch.stack([photo[:, 64 : 64 + side, 64 : 64 + side] for photo in photographs().values()]) - 1


@pytest.mark.parametrize("operator", [JPEG(5), Quantize(2), HDR()])
def test_the_tasks_own_set_up_is_one(operator: Operator) -> None:
    assert operator.coarseness == 1


def test_coarseness_falls_with_quality_and_bits() -> None:
    jpeg = [JPEG(q).coarseness for q in (5, 10, 20, 50, 75, 90)]
    bits = [Quantize(b).coarseness for b in (1, 2, 3, 4, 8)]
    assert jpeg == sorted(jpeg, reverse=True)
    assert bits == sorted(bits, reverse=True)
    assert JPEG(None, tables=JPEG(30).tables).coarseness == JPEG(30).coarseness


@pytest.mark.parametrize("scale", [0.5, 0.03, 2.0])
def test_levels_and_k1_follow_so_that_r_does_not(scale: float) -> None:
    row = presets.load("photo", "jpeg")
    assert row is not None
    scaled = row.for_coarseness(scale)
    assert scaled.k1 == pytest.approx(scale * row.k1)
    assert scaled.sigma_max >= 4 * scaled.sigma_min >= 4 * presets.LOWEST_SIGMA
    if scale > 0.1:
        assert (scaled.sigma_max, scaled.sigma_min) == pytest.approx((scale * row.sigma_max, scale * row.sigma_min))
    assert (scaled.steps, scaled.inner_steps, scaled.eta, scaled.k2) == (row.steps, row.inner_steps, row.eta, row.k2)


def test_the_choice_of_settings_asks_the_operator() -> None:
    fine = settings.choose(JPEG(80), "jpeg", preset="photo", tuned=None, noise=None, largest=None)
    coarse = settings.choose(JPEG(5), "jpeg", preset="photo", tuned=None, noise=None, largest=None)
    assert fine == coarse.for_coarseness(JPEG(80).coarseness)


@pytest.mark.parametrize("operator", [JPEG(20), JPEG(50), JPEG(75), JPEG(90), Quantize(3), Quantize(4)])
def test_a_better_measurement_is_not_made_worse(operator: Operator) -> None:
    truth = middles(96)
    restorer = lmaps.compile(operator, size=(96, 96), batch=len(truth), noise=0.0)
    y = operator.degrade(truth)
    assert psnr(restorer(y).x, truth) > psnr(y, truth) + 0.2


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.4])
def test_plain_denoising_is_one_call_at_the_noise_level(noise: float) -> None:
    truth = middles(64)
    restorer = lmaps.compile(
        "denoise", size=(64, 64), batch=len(truth), noise=noise, backend="torch", precision="float32"
    )
    y = restorer.operator.degrade(truth, noise)
    result = restorer(y)
    assert restorer.compiled["sigma_max"] == pytest.approx(noise)
    assert result.stats["steps"] == 1
    mean = lmaps.load_prior("photo").denoise(y, torch.full((len(y),), noise))
    torch.testing.assert_close(result.x, mean, rtol=0, atol=2e-6)
    assert psnr(result.x, truth) > psnr(y, truth) + 1


def test_plain_denoising_with_steps_asked_for_is_the_loop() -> None:
    restorer = lmaps.compile("denoise", size=(32, 32), steps=3, backend="torch")
    assert restorer.compiled["sigma_max"] > 0.2


def test_only_a_noisy_picture_can_be_begun_with() -> None:
    row = {"k1": 1.0, "k2": 1.0, "eta": 0.1, "inner_steps": 1}
    with pytest.raises(ValueError, match="HDR"):
        lmaps.solvers.build("lmaps", HDR(), [0.1, 0.0], (1, 3, 8, 8), **row, begin="measurement")
    with pytest.raises(ValueError, match="start"):
        lmaps.solvers.build("lmaps", HDR(), [0.1, 0.0], (1, 3, 8, 8), **row, begin="start")
