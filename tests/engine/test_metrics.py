"""Metrics against NumPy and scikit-image; each image by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from lmaps.engine import metrics


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    truth = torch.rand(3, 3, 31, 45)
    noise = torch.randn_like(truth) * torch.tensor([0.02, 0.1, 0.3])[:, None, None, None]
    return (truth + noise).clamp(0, 1), truth


def test_psnr_is_that_of_each_image_and_not_of_the_batch() -> None:
    x, truth = pair()
    squares = ((x - truth).double() ** 2).mean(dim=(1, 2, 3))
    expected = 10 * torch.log10(1 / squares)
    torch.testing.assert_close(metrics.psnr(x, truth).double(), expected, atol=1e-4, rtol=0)
    assert metrics.psnr(truth, truth).isinf().all()


def test_ssim_is_that_of_scikit_image() -> None:
    x, truth = pair()
    got = metrics.ssim(x, truth)
    for b in range(3):
        expected = structural_similarity(
            x[b].permute(1, 2, 0).double().numpy(),
            truth[b].permute(1, 2, 0).double().numpy(),
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        # The two treat the border differently (reflection or cropping), which weighs little.
        assert float(got[b]) == pytest.approx(expected, abs=0.02)
    torch.testing.assert_close(metrics.ssim(truth, truth), torch.ones(3))


def test_a_batch_equals_its_images_alone() -> None:
    x, truth = pair()
    for metric in (metrics.psnr, metrics.ssim):
        alone = torch.cat([metric(a, b) for a, b in zip(x.split(1), truth.split(1), strict=True)])
        torch.testing.assert_close(metric(x, truth), alone, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("x", "truth", "words"),
    [
        (torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 21), "one shape"),
        (torch.zeros(3, 20, 20), torch.zeros(3, 20, 20), "one shape"),
        (torch.full((1, 3, 20, 20), np.nan), torch.zeros(1, 3, 20, 20), "not finite"),
    ],
)
def test_pictures_that_do_not_compare(x: torch.Tensor, truth: torch.Tensor, words: str) -> None:
    for metric in (metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match=words):
            metric(x, truth)


def test_ssim_needs_room_for_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11"):
        metrics.ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


def test_lpips_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    assert metrics.lpips_missing() == "it needs torchvision, which is not installed"
    with pytest.raises(RuntimeError, match="torchvision"):
        metrics.lpips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    monkeypatch.setattr(metrics, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    reason = metrics.lpips_missing()
    assert reason is not None
    assert "/nowhere/checkpoints" in reason
