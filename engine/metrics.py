"""How near a restored picture is to the true one: PSNR, SSIM and LPIPS, each image by itself."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LPIPS_WEIGHTS = "alexnet-owt-7be5be79.pth"


def psnr(x: Tensor, truth: Tensor) -> Tensor:
    """10 log10(1 / mean (x - truth)^2), a mean over the entries of one image: [B, C, H, W] in [0, 1] -> [B], dB.

    Infinite for equal pictures. Raises ValueError for pictures that do not compare (see `ssim`).
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return _each(lambda a, b: peak_signal_noise_ratio(a, b, data_range=1.0), x, truth)


def ssim(x: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity, 11x11 Gaussian window of std 1.5: [B, C, H, W] in [0, 1] -> [B]; 1 for equal pictures.

    Raises ValueError for other shapes, unequal shapes, sides below 11, or values that are not finite.
    Source: Wang, Bovik, Sheikh, Simoncelli 2004.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    if min(x.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs sides of at least 11 pixels, got {x.shape[-2]}x{x.shape[-1]}")
    return _each(lambda a, b: structural_similarity_index_measure(a, b, data_range=1.0), x, truth)


def lpips(x: Tensor, truth: Tensor) -> Tensor:
    """Learned perceptual distance (AlexNet): [B, 3, H, W] in [0, 1] -> [B]; 0 for equal pictures.

    Raises RuntimeError where `lpips_missing` gives a reason. Source: Zhang, Isola, Efros, Shechtman, Wang 2018.
    """
    if reason := lpips_missing():
        raise RuntimeError(f"LPIPS cannot be computed: {reason}")
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    return _each(
        lambda a, b: learned_perceptual_image_patch_similarity(a, b, net_type="alex", normalize=True), x, truth
    )


def lpips_missing() -> str | None:
    """Why `lpips` cannot run here, or None where it can. Nothing is ever downloaded."""
    if find_spec("torchvision") is None:
        return "it needs torchvision, which is not installed"
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _LPIPS_WEIGHTS
    if not weights.is_file():
        return f"it needs AlexNet's weights in {weights}, and nothing is downloaded"
    return None


def _each(metric: Callable[[Tensor, Tensor], Any], x: Tensor, truth: Tensor) -> Tensor:
    if x.ndim != 4 or x.shape != truth.shape or x.numel() == 0:
        raise ValueError(f"need two batches [B, C, H, W] of one shape, got {tuple(x.shape)} and {tuple(truth.shape)}")
    if not (torch.isfinite(x).all() and torch.isfinite(truth).all()):
        raise ValueError("the pictures have values that are not finite numbers")
    pairs = zip(x.split(1), truth.split(1), strict=True)
    return torch.stack([torch.as_tensor(metric(a, b)) for a, b in pairs])
