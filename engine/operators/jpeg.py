"""JPEG: the picture after compression and decompression, without the entropy coder, which loses nothing."""

from __future__ import annotations

import math
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import checks
from .base import Operator
from .jpeg_tables import SUBSAMPLING, read_setting, standard_tables
from .sizes import SizeCache

# RGB -> YCbCr in the four digits of the JFIF standard, as in the reference implementation; back by the exact inverse.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813))


class JPEG(Operator):
    """H(x) = decode(encode(x)): [B, C, H, W] in [-1, 1] -> the same shape, C = 3 (RGB) or 1 (grey, luminance alone).

        encode: 255 (x + 1)/2 -> YCbCr (chroma + 128) -> chroma subsampled -> 8x8 blocks - 128 -> orthonormal DCT-II
                -> round to even of coefficient / table
        decode: times the table, inverse DCT, + 128, chroma repeated, RGB, back to [-1, 1]

    No clipping and no rounding to 8 bits, as in the reference set-up (ddrm-jpeg, RED-diff), so H(x) may leave [-1, 1].
    quality:     1 .. 100; scales the tables of ITU-T T.81 Annex K as libjpeg does.
    subsampling: "4:2:0" (the reference set-up), "4:2:2", "4:4:4", "4:4:0" or "4:1:1".
    chroma:      "decimate" keeps the first of each group of chroma values (the reference set-up), "average" takes their
                 mean, as the encoders of real files do.
    tables:      [3, 8, 8] for Y, Cb, Cr or [2, 8, 8] for luminance and chrominance, instead of `quality`.

    Sides that are not whole blocks are extended by repeating the last row and column, and cropped again.
    The gradient takes J = 1 (Eq. 18 of the paper).
    """

    differentiable = False
    start_inverts = True

    def __init__(
        self,
        quality: int | None = 5,
        subsampling: str = "4:2:0",
        *,
        chroma: str = "decimate",
        tables: Any = None,
    ) -> None:
        super().__init__()
        if tables is None:
            self.quality: int | None = checks.whole(quality, "quality", 1, 100)
            self.tables = standard_tables(self.quality)
        else:
            self.quality, self.tables = None, _checked(tables)
        self.subsampling = checks.one_of(subsampling, "subsampling", tuple(SUBSAMPLING))
        self.chroma = checks.one_of(chroma, "chroma", ("decimate", "average"))
        self._constants: SizeCache[_Constants] = SizeCache()

    @classmethod
    def from_file(cls, path: str | PathLike[str], *, chroma: str = "average") -> JPEG:
        """The compression that made a JPEG file: its quantisation tables and its chroma sampling, read from its header.

        Raises FileNotFoundError, and ValueError naming the file when it is not a JPEG in grey or YCbCr.
        """
        setting = read_setting(path)
        return cls(None, setting.subsampling, chroma=chroma, tables=setting.tables)

    @property
    def coarseness(self) -> float:
        """sqrt(mean of the tables / mean of those of quality 5): about the best scale of the noise levels from 5 to 90."""
        return math.sqrt(float(self.tables.mean() / standard_tables(5).mean()))

    def forward(self, x: Tensor) -> Tensor:
        height, width = checks.picture(x, "JPEG")
        if x.shape[1] not in (1, 3):
            raise ValueError(f"JPEG takes pictures with 3 channels (RGB) or 1 (grey), got {x.shape[1]}")
        constants = self._constants.get((x.dtype, x.device), lambda: _Constants(self.tables, x))
        down, across = SUBSAMPLING[self.subsampling] if x.shape[1] == 3 else (1, 1)
        x = _whole_blocks(127.5 * (x + 1), 8 * down, 8 * across)
        x = self._grey(x, constants) if x.shape[1] == 1 else self._colour(x, constants, down, across)
        return x[..., :height, :width] / 127.5 - 1

    def surrogate_vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return u

    def start(self, y: Tensor) -> Tensor:
        """The measurement itself."""
        return y.clone()

    def config(self) -> dict[str, Any]:
        given: dict[str, Any] = {"tables": self.tables} if self.quality is None else {"quality": self.quality}
        return {"operator": "JPEG", **given, "subsampling": self.subsampling, "chroma": self.chroma}

    @staticmethod
    def _grey(x: Tensor, constants: _Constants) -> Tensor:
        return _quantised(x - 128, constants.dct, constants.tables[:1]) + 128

    def _colour(self, x: Tensor, constants: _Constants, down: int, across: int) -> Tensor:
        # Luminance is shifted by 128 for its transform; chroma's + 128 of the encoder and - 128 of the blocks cancel.
        ycc = torch.einsum("ij,bjhw->bihw", constants.to_ycbcr, x)
        luma = _quantised(ycc[:, :1] - 128, constants.dct, constants.tables[:1]) + 128
        chroma = ycc[:, 1:]
        if self.chroma == "average" and down * across > 1:
            chroma = F.avg_pool2d(chroma, (down, across))
        else:
            chroma = chroma[..., ::down, ::across]
        chroma = _quantised(chroma, constants.dct, constants.tables[1:])
        chroma = chroma.repeat_interleave(down, -2).repeat_interleave(across, -1)
        return torch.einsum("ij,bjhw->bihw", constants.to_rgb, torch.cat((luma, chroma), 1))


class _Constants:
    """The matrices of the transform in one dtype on one device."""

    def __init__(self, tables: Tensor, like: Tensor) -> None:
        to_ycbcr = torch.tensor(TO_YCBCR, dtype=torch.float64)
        self.to_ycbcr = to_ycbcr.to(like.device, like.dtype)
        self.to_rgb = torch.linalg.inv(to_ycbcr).to(like.device, like.dtype)
        self.dct = dct_matrix().to(like.device, like.dtype)
        self.tables = tables.to(like.device, like.dtype)[:, None, :, None, :]


def dct_matrix(size: int = 8) -> Tensor:
    """Orthonormal DCT-II [size, size], float64: c_k cos(pi (2n + 1) k / (2 size)), c_0^2 = 1/size, c_k^2 = 2/size."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = torch.cos(math.pi / (2 * size) * (2 * n + 1) * n[:, None]) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def _quantised(planes: Tensor, dct: Tensor, tables: Tensor) -> Tensor:
    """Every 8x8 block of planes [B, P, H, W] through DCT, rounding to multiples of tables [P, 1, 8, 1, 8], and back."""
    b, p, height, width = planes.shape
    blocks = planes.reshape(b, p, height // 8, 8, width // 8, 8)
    coefficients = torch.einsum("ki,bpyixj,lj->bpykxl", dct, blocks, dct)
    coefficients = torch.round(coefficients / tables) * tables
    blocks = torch.einsum("ki,bpykxl,lj->bpyixj", dct, coefficients, dct)
    return blocks.reshape(b, p, height, width)


def _whole_blocks(x: Tensor, rows: int, columns: int) -> Tensor:
    bottom, right = -x.shape[-2] % rows, -x.shape[-1] % columns
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def _checked(tables: Any) -> Tensor:
    values = checks.finite(tables, "tables")
    if tuple(values.shape) not in ((2, 8, 8), (3, 8, 8)):
        raise ValueError(f"tables must be [3, 8, 8] (Y, Cb, Cr) or [2, 8, 8], got shape {tuple(values.shape)}")
    if values.min() < 1 or values.max() > 65535 or not torch.equal(values, values.round()):
        raise ValueError(
            f"tables must hold whole numbers from 1 to 65535, got {float(values.min()):g} to {float(values.max()):g}"
        )
    return values if values.shape[0] == 3 else values[[0, 1, 1]]
