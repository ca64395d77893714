"""Blur that is not linear: of a camera that adds up light and then shapes it, and of the BKSE network."""

from __future__ import annotations

import os
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import checks, kernel_wizard
from .base import Operator
from .blur import MotionBlur
from .padding import Extension
from .sizes import SizeCache

# The code of the blur in the reference set-up: 512 x 2 x 2 numbers 1.2 N(0, 1) from NumPy's generator with seed 0.
CODE_SHAPE = (1, kernel_wizard.CODE, 2, 2)
CODE_SCALE = 1.2
# Camera shakes at the four corners of the picture.
SHAKE_SIZE = 31
SHAKE_INTENSITY = 0.5


class NonlinearBlur(Operator):
    """H(x) = clip(2 N((x + 1)/2) - 1, -1, 1): [B, 3, H, W] in [-1, 1] -> the same shape.

    weights: path of a checkpoint of the BKSE network (GOPRO_wVAE.pth, from the authors of "Explore image deblurring via
        encoded blur kernel space"; its terms do not let it ship with this package). N is then their network with the code of
        blur c ~ 1.2 N(0, I), [512, 2, 2], from numpy.random.RandomState(seed): with seed = 0 and 256x256 the reference
        set-up. Sides that are not multiples of 128 are extended by repeating the last row and column, and cropped again;
        sizes other than 256 repeat the nearest of the code's 2x2 places.
    weights = None: no network but the physics that it was trained to imitate, with figures that are NOT comparable to the
        paper's. N(u) = g(sum_i w_i k_i * g^-1(u)): the light of a moving exposure adds up in linear units and is shaped by
        the camera's response g (that of sRGB) afterwards; k_1 .. k_4 are the camera shakes `MotionBlur(31, 0.5)` of
        seeds seed .. seed + 3, each rules one corner of the picture (w bilinear), and the border is reflected.

    Differentiable. Raises FileNotFoundError and ValueError for a file that is missing or no such checkpoint.
    """

    def __init__(self, weights: str | PathLike[str] | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.seed = checks.whole(seed, "seed", 0, 2**32 - 4)
        self.weights = None if weights is None else os.fspath(weights)
        self.model: nn.Module = CameraShake(self.seed) if weights is None else EncodedBlur(weights, self.seed)

    def forward(self, x: Tensor) -> Tensor:
        checks.picture(x, "NonlinearBlur")
        if x.shape[1] != 3:
            raise ValueError(f"NonlinearBlur takes pictures with 3 channels (RGB), got {x.shape[1]}")
        blurred: Tensor = self.model(0.5 * x + 0.5)
        return (2 * blurred - 1).clamp(-1, 1)

    def start(self, y: Tensor) -> Tensor:
        """The measurement itself: a blur that is not linear has no pseudo-inverse."""
        return y.clone()

    def config(self) -> dict[str, Any]:
        given = {} if self.weights is None else {"weights": self.weights}
        return {"operator": "NonlinearBlur", **given, "seed": self.seed}


class EncodedBlur(nn.Module):
    """The BKSE network with one random code, for pictures [B, 3, H, W] in [0, 1] of any size.

    It computes in its own precision, float32 unless `.double()` says otherwise, whatever that of the picture.
    """

    code: Tensor

    def __init__(self, weights: str | PathLike[str], seed: int) -> None:
        super().__init__()
        self.network = kernel_wizard.load(weights)
        code = np.random.RandomState(seed).randn(*CODE_SHAPE) * CODE_SCALE
        self.register_buffer("code", torch.from_numpy(code).float())
        self._extensions: SizeCache[Extension] = SizeCache()

    def forward(self, u: Tensor) -> Tensor:
        height, width = u.shape[-2:]
        whole = self._extensions.get((height, width), lambda: _to_multiple(height, width)).extend(u.to(self.code.dtype))
        places = [side // kernel_wizard.MULTIPLE for side in whole.shape[-2:]]
        code = F.interpolate(self.code, size=places, mode="nearest").expand(u.shape[0], -1, -1, -1)
        blurred: Tensor = self.network(whole, code)
        return blurred[..., :height, :width].to(u.dtype)


def _to_multiple(height: int, width: int) -> Extension:
    bottom, right = -height % kernel_wizard.MULTIPLE, -width % kernel_wizard.MULTIPLE
    return Extension((height, width), (0, bottom, 0, right), "replicate")


class CameraShake(nn.Module):
    """g(sum_i w_i k_i * g^-1(u)) for pictures [B, C, H, W] in [0, 1] of any size."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.padding = "reflect"
        self.shakes = nn.ModuleList(MotionBlur(SHAKE_SIZE, SHAKE_INTENSITY, seed + i, self.padding) for i in range(4))
        self._corners: SizeCache[Tensor] = SizeCache()

    def forward(self, u: Tensor) -> Tensor:
        light = to_light(u)
        weights = self._weights(u)
        total = torch.zeros_like(light)
        for weight, shake in zip(weights, self.shakes, strict=True):
            total = total + weight * shake(light)
        return from_light(total)

    def kernels(self) -> Tensor:
        """[4, 31, 31], float64."""
        return torch.stack([shake.kernel for shake in self.shakes if isinstance(shake, MotionBlur)])

    @staticmethod
    def weights(height: int, width: int) -> Tensor:
        """[4, H, W], float64: how much each corner rules a pixel; they sum to 1."""
        down = ((torch.arange(height, dtype=torch.float64) + 0.5) / height)[:, None]
        right = (torch.arange(width, dtype=torch.float64) + 0.5) / width
        return torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])

    def _weights(self, u: Tensor) -> Tensor:
        height, width = u.shape[-2:]
        key = (height, width, u.dtype, u.device)
        return self._corners.get(key, lambda: self.weights(height, width).to(u.device, u.dtype))


def to_light(u: Tensor) -> Tensor:
    """sRGB values to linear light, g^-1; straight on below 0 and along the curve above 1."""
    return torch.where(u <= 0.04045, u / 12.92, ((u.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def from_light(v: Tensor) -> Tensor:
    """Linear light to sRGB values, g."""
    return torch.where(v <= 0.0031308, 12.92 * v, 1.055 * v.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
