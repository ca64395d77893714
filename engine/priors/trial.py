"""Does a prior remove noise? A network told the wrong prediction, schedule or value range loads well and restores nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .error import PriorError
from .prior import Prior

SIGMAS = (0.05, 0.3, 1.0)
_SIDE = 128


@dataclass(frozen=True, slots=True)
class Gain:
    """PSNR in dB of a picture with noise of `sigma`, of what the prior makes of it, and of it faded towards its mean.

    Fading, mean + c / (c + sigma^2) (x - mean) with the variance c, is what anyone can do who knows nothing of pictures.
    """

    sigma: float
    before: float
    after: float
    faded: float

    @property
    def wrong(self) -> bool:
        """The prior does no better than fading."""
        return not self.after > self.faded


def try_out(prior: Prior, photo: Tensor, sigmas: tuple[float, ...] = SIGMAS) -> list[Gain]:
    """Denoise the middle of `photo` ([3, H, W] in [0, 1]) at each of `sigmas` (in units of the [-1, 1] range).

    128x128 pixels, or the size the network is fixed to. Raises PriorError for a network of other than 1 or 3 channels.
    """
    if prior.channels not in (1, 3):
        raise PriorError(f"a photograph cannot be given to a network of {prior.channels} channels")
    clean = _middle(2 * photo - 1, prior.config.size or (_SIDE, _SIDE))
    if prior.channels == 1:
        clean = clean.mean(dim=1, keepdim=True)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    return [_gain(prior, clean, noise, sigma) for sigma in sigmas]


def _gain(prior: Prior, clean: Tensor, noise: Tensor, sigma: float) -> Gain:
    noisy = clean + sigma * noise
    copies = prior.config.batch or 1
    with torch.no_grad():
        answer = prior.denoise(
            noisy.expand(copies, -1, -1, -1).contiguous(), torch.full((copies,), sigma, dtype=torch.float32)
        )[:1]
    mean, variance = clean.mean(), clean.var()
    faded = mean + variance / (variance + sigma**2) * (noisy - mean)
    return Gain(sigma, _psnr(noisy, clean), _psnr(answer, clean), _psnr(faded, clean))


def _middle(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """[1, C, H, W] of `size`: cut out, and enlarged before where the picture is too small."""
    factor = max(1.0, *(side / have for side, have in zip(size, picture.shape[-2:], strict=True)))
    enough = [max(side, round(have * factor)) for side, have in zip(size, picture.shape[-2:], strict=True)]
    whole = functional.interpolate(picture[None], enough, mode="bilinear", antialias=True)
    top, left = ((have - side) // 2 for side, have in zip(size, enough, strict=True))
    return whole[..., top : top + size[0], left : left + size[1]]


def _psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean().clamp_min(1e-12)))
