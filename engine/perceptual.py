"""ST-LPIPS: a learned perceptual distance whose networks do not mind a shift by a pixel.

    d(a, b) = sum_l mean_positions sum_c w_lc (f_lc(a) - f_lc(b))^2,   f_l of unit length over the channels at each position

f_l are features of an AlexNet or a VGG-16 that blurs before it halves its size. The package `stlpips-pytorch` carries the
trained weights (networks and w); the networks are built here, so nothing of that package but its weight files is used.
It is not LPIPS: its numbers compare with each other, not with those of another metric.
Source: Ghildyal, Liu 2022, "Shift-tolerant perceptual similarity metric"; Zhang, Isola, Efros, Shechtman, Wang 2018, Eq. 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

PACKAGE = "stlpips-pytorch"
SMALLEST_SIDE = 32
# One string a layer that is compared. Ck: the next convolution, zero padding k; R: ReLU; Mk: maximum over k x k, stride 1;
# B: binomial blur and half the size.
_NETWORKS = {
    "alex": ("C2 B R", "M3 B C2 R", "M3 B C1 R", "C1 R", "C1 R"),
    "vgg": ("C1 R C1 R", "M2 B C1 R C1 R", *["M2 B C1 R C1 R C1 R"] * 3),
}


class STLPIPS:
    """The distance with one network's weights: pictures [B, 3, H, W] in [0, 1], sides of at least 32 -> [B]."""

    def __init__(self, net: str, weights: dict[str, Tensor]) -> None:
        self._layers = [layer.split() for layer in _NETWORKS[net]]
        names = [
            name.removesuffix(".weight") for name in weights if name.startswith("net.") and name.endswith("weight")
        ]
        names.sort(key=lambda name: int(name.rpartition(".")[2]))
        self._convolutions = [(weights[f"{name}.weight"], weights[f"{name}.bias"]) for name in names]
        self._shares = [weights[f"lin{layer}.model.1.weight"] for layer in range(len(self._layers))]
        self._shift, self._scale = weights["scaling_layer.shift"], weights["scaling_layer.scale"]

    @torch.no_grad()
    def __call__(self, x: Tensor, truth: Tensor) -> Tensor:
        if min(x.shape[-2:]) < SMALLEST_SIDE or x.shape[1] != 3:
            raise ValueError(f"ST-LPIPS needs [B, 3, H, W], sides of at least {SMALLEST_SIDE}, got {tuple(x.shape)}")
        distance = torch.zeros(len(x), dtype=torch.float32)
        for a, b, share in zip(self._features(x), self._features(truth), self._shares, strict=True):
            distance += F.conv2d((_unit(a) - _unit(b)).square(), share).mean(dim=(1, 2, 3))
        return distance

    def _features(self, x: Tensor) -> list[Tensor]:
        x = (2 * x.cpu().float() - 1 - self._shift) / self._scale
        convolutions = iter(self._convolutions)
        features = []
        for layer in self._layers:
            for part in layer:
                x = _apply(part, x, convolutions)
            features.append(x)
        return features


@cache
def load(net: str) -> STLPIPS:
    """The distance with the weights of `net` ("alex" or "vgg"); raises RuntimeError where `missing` gives a reason."""
    if reason := missing(net):
        raise RuntimeError(f"ST-LPIPS cannot be computed: {reason}")
    return STLPIPS(net, torch.load(_file(net), map_location="cpu", weights_only=True))


def missing(net: str) -> str | None:
    """Why `load(net)` cannot run here, or None where it can."""
    try:
        file = _file(net)
    except metadata.PackageNotFoundError:
        return f"its weights come with the package {PACKAGE}, which is not installed (extra 'bench')"
    return None if file.is_file() else f"the installed {PACKAGE} has no file {file}"


def _file(net: str) -> Path:
    name = f"stlpips_pytorch/weights/vST0.0/{net}_shift_tolerant.pth"
    return Path(str(metadata.distribution(PACKAGE).locate_file(name)))


def _apply(part: str, x: Tensor, convolutions: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    kind, size = part[0], int(part[1:] or 0)
    if kind == "R":
        return F.relu(x)
    if kind == "M":
        return F.max_pool2d(x, size, stride=1)
    if kind == "C":
        weight, bias = next(convolutions)
        return F.conv2d(x, weight, bias, padding=size)
    row = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _unit(x: Tensor) -> Tensor:
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-10)
