"""Masks: some pixels are known, the others are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from . import checks
from .base import LinearOperator, Spectrum
from .sizes import SizeCache

# The reference set-up keeps its box this far from the border, where the picture leaves room for it.
MARGIN = 32
# Its random masks drop a share drawn from [1 - keep, 1 - keep + SPREAD).
SPREAD = 0.01


class Pattern(Protocol):
    """Which pixels of a picture are known."""

    def mask(self, height: int, width: int) -> Tensor:
        """[1 or C, height, width], float64, 1 = known."""
        ...

    def config(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Given:
    """A mask that the user brought."""

    values: Tensor

    def mask(self, height: int, width: int) -> Tensor:
        have = tuple(self.values.shape[-2:])
        if have != (height, width):
            raise ValueError(f"the mask is {have[0]}x{have[1]} (HxW), the picture {height}x{width}: resize one of them")
        return self.values

    def config(self) -> dict[str, Any]:
        return {"operator": "Inpainting", "mask": self.values}


@dataclass(frozen=True)
class Box:
    """A square hole; top and left are uniform integers in [margin, side - margin - size)."""

    size: int
    seed: int

    def mask(self, height: int, width: int) -> Tensor:
        if self.size > min(height, width):
            raise ValueError(
                f"a box of size {self.size} does not fit in a picture of {height}x{width}: make it smaller"
            )
        random = np.random.RandomState(self.seed)
        corner = [_corner(random, side, self.size) for side in (height, width)]
        mask = torch.ones(1, height, width, dtype=torch.float64)
        mask[:, corner[0] : corner[0] + self.size, corner[1] : corner[1] + self.size] = 0
        return mask

    def config(self) -> dict[str, Any]:
        return {"operator": "Inpainting.box", "size": self.size, "seed": self.seed}


def _corner(random: np.random.RandomState, side: int, size: int) -> int:
    margin = min(MARGIN, (side - size) // 2)
    return int(random.randint(margin, max(side - margin - size, margin + 1)))


@dataclass(frozen=True)
class Scattered:
    """Single pixels missing, the same ones in all channels."""

    keep: float
    seed: int

    def mask(self, height: int, width: int) -> Tensor:
        random = np.random.RandomState(self.seed)
        total = height * width
        # Rounding takes the binary dust off 1 - keep, so that keep = 0.3 draws from [0.70, 0.71) to the last bit.
        drop = random.uniform(round(1 - self.keep, 12), round(min(1 - self.keep + SPREAD, 1.0), 12))
        missing = random.choice(total, int(total * drop), replace=False)
        mask = torch.ones(total, dtype=torch.float64)
        mask[torch.from_numpy(missing)] = 0
        return mask.reshape(1, height, width)

    def config(self) -> dict[str, Any]:
        return {"operator": "Inpainting.random", "keep": self.keep, "seed": self.seed}


class Inpainting(LinearOperator):
    """H(x) = m x, m = 1 where a pixel is known and 0 where it is missing: [B, C, H, W] in [-1, 1] -> the same shape.

    mask: [H, W], [1, H, W] or [C, H, W] of 0 and 1 (bool or number), the size of the picture.
    The measurement keeps the picture's size, with 0 (mid-grey) in the hole, and `degrade` adds noise there too, as the
    reference set-up does (DAPS, Zhang et al. 2024).

    Raises ValueError for other values than 0 and 1, and in `forward` for a picture of another size.
    """

    light = True

    def __init__(self, mask: Any) -> None:
        super().__init__()
        self.pattern: Pattern = mask if isinstance(mask, Box | Scattered) else Given(_checked(mask))
        self._masks: SizeCache[Tensor] = SizeCache()

    @classmethod
    def box(cls, size: int = 128, seed: int = 0, *, shape: tuple[int, int] | None = None) -> Inpainting:
        """A missing square of `size` x `size` pixels at a place drawn from `seed`, at least 32 pixels from the border
        where the picture leaves room for that (256x256: top and left in [32, 96)).

        Fits itself to every picture unless `shape` (H, W) fixes the size. With seed s the mask is the one the reference
        implementation draws after numpy.random.seed(s).
        """
        return cls(_sized(Box(checks.whole(size, "size", 1), checks.seed(seed)), shape))

    @classmethod
    def random(cls, keep: float = 0.3, seed: int = 0, *, shape: tuple[int, int] | None = None) -> Inpainting:
        """Single pixels missing: a share p ~ U(1 - keep, 1 - keep + 0.01) of them, the same in all channels and images.

        0 < keep <= 1. Fits itself to every picture unless `shape` (H, W) fixes the size. With seed s the mask is the
        one the reference implementation draws after numpy.random.seed(s).
        """
        keep = checks.real(keep, "keep", 0, 1, open_low=True)
        return cls(_sized(Scattered(keep, checks.seed(seed)), shape))

    def mask(self, height: int, width: int) -> Tensor:
        """The mask for pictures of this size: [1 or C, height, width], float64 on the CPU, 1 = known."""
        return self._masks.get((height, width), lambda: self.pattern.mask(height, width))

    def forward(self, x: Tensor) -> Tensor:
        height, width = checks.picture(x, "Inpainting")
        mask = self._like(x, height, width)
        if mask.shape[0] not in (1, x.shape[1]):
            raise ValueError(f"the mask has {mask.shape[0]} channels, the picture {x.shape[1]}")
        return x * mask

    def adjoint(self, u: Tensor) -> Tensor:
        return self.forward(u)

    def normal(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def pinv(self, y: Tensor) -> Tensor:
        return self.forward(y)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum:
        mask = self.mask(shape[-2], shape[-1])
        return Spectrum(to_basis=_same, from_basis=_same, eigenvalues=mask[None].to(self.device))

    def config(self) -> dict[str, Any]:
        return self.pattern.config()

    def _like(self, x: Tensor, height: int, width: int) -> Tensor:
        key = (height, width, x.dtype, x.device)
        return self._masks.get(key, lambda: self.mask(height, width).to(x.device, x.dtype))


def _sized(pattern: Pattern, shape: tuple[int, int] | None) -> Pattern | Tensor:
    if shape is None:
        return pattern
    height, width = (checks.whole(n, "shape", 1) for n in shape)
    return pattern.mask(height, width)


def _checked(mask: Any) -> Tensor:
    values = checks.finite(mask, "mask")
    if values.ndim not in (2, 3) or values.numel() == 0:
        raise ValueError(f"mask must be [H, W] or [C, H, W] and not empty, got shape {tuple(values.shape)}")
    other = values[(values != 0) & (values != 1)]
    if other.numel():
        raise ValueError(
            f"mask must hold only 0 (missing) and 1 (known), got {other.numel()} other values "
            f"such as {float(other[0]):g}: threshold it, for instance mask > 127"
        )
    return values if values.ndim == 3 else values[None]


def _same(x: Tensor) -> Tensor:
    return x
