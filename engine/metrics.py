"""How near a restored picture is to the true one: PSNR, SSIM and perceptual distances, each image by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import perceptual as st_lpips

SSIM_WINDOW = 11  # pixels a side
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

    if min(x.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs sides of at least {SSIM_WINDOW} pixels, got {x.shape[-2]}x{x.shape[-1]}")
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


@dataclass(frozen=True, slots=True)
class Perceptual:
    """A perceptual distance that can run here: pictures [B, 3, H, W] in [0, 1] and their truth -> [B], 0 for equal ones.

    name: what `perceptual` takes.   label: what a table must call it, since no two of these metrics compare.
    """

    name: str
    label: str
    _distance: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, x: Tensor, truth: Tensor) -> Tensor:
        return _each(self._distance, x, truth)


# name: label, and why it cannot run here.
_PERCEPTUAL: dict[str, tuple[str, Callable[[], str | None]]] = {
    "lpips-alex": ("LPIPS (AlexNet)", lambda: lpips_missing()),
    "st-lpips-alex": ("ST-LPIPS (AlexNet)", lambda: st_lpips.missing("alex")),
    "st-lpips-vgg": ("ST-LPIPS (VGG)", lambda: st_lpips.missing("vgg")),
}


def perceptual(name: str = "auto") -> Perceptual:
    """A perceptual distance by name: "lpips-alex", "st-lpips-alex", "st-lpips-vgg"; "auto" is the first that can run here.

    Raises ValueError for another name, RuntimeError saying what is missing where it cannot run. Nothing is downloaded.
    """
    if name != "auto" and name not in _PERCEPTUAL:
        raise ValueError(f"unknown perceptual metric {name!r}, available: auto, {', '.join(_PERCEPTUAL)}")
    wanted = list(_PERCEPTUAL) if name == "auto" else [name]
    reasons = {candidate: _PERCEPTUAL[candidate][1]() for candidate in wanted}
    usable = next((candidate for candidate, reason in reasons.items() if reason is None), None)
    if usable is None:
        told = "; ".join(f"{candidate}: {reason}" for candidate, reason in reasons.items())
        raise RuntimeError(f"no perceptual metric can run here ({told})")
    net = usable.rpartition("-")[2]
    distance = lpips if usable.startswith("lpips") else st_lpips.load(net)
    return Perceptual(usable, _PERCEPTUAL[usable][0], distance)


def _each(metric: Callable[[Tensor, Tensor], Any], x: Tensor, truth: Tensor) -> Tensor:
    if x.ndim != 4 or x.shape != truth.shape or x.numel() == 0:
        raise ValueError(f"need two batches [B, C, H, W] of one shape, got {tuple(x.shape)} and {tuple(truth.shape)}")
    if not (torch.isfinite(x).all() and torch.isfinite(truth).all()):
        raise ValueError("the pictures have values that are not finite numbers")
    pairs = zip(x.split(1), truth.split(1), strict=True)
    return torch.stack([torch.as_tensor(metric(a, b)).reshape(()) for a, b in pairs])
