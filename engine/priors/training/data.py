"""Photographs for training: decoded once into one flat pixel buffer, cropped on the device.

A folder of photographs becomes a `PhotoBank`: every photograph at several scales, one after the other, in one uint8 tensor
[pixels, 3]. A batch of random crops is then a single gather, the same code on a CPU and on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Short sides that a photograph is shrunk to. Training at many scales matters: a photograph brought down to 256 pixels, as
# restoration benchmarks do, has far more detail a pixel than the file it came from.
SHORT_SIDES = (200, 256, 360, 512, 720)
# A photograph: its file, or the bytes of one.
Encoded = Path | bytes
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class PhotoBank:
    """pixels [P, 3] uint8; a row of `table` [M, 3] int64 is (first pixel, height, width) of one photograph at one scale."""

    pixels: Tensor
    table: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> PhotoBank:
        return PhotoBank(self.pixels.to(device), self.table.to(device), self.weights.to(device))

    def crops(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Random crops, flipped and turned: [count, 3, size, size] float32 in [-1, 1]."""
        device = self.pixels.device

        def uniform(n: int) -> Tensor:
            return torch.rand(n, generator=generator, device=device)

        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        first, height, width = self.table[chosen].unbind(1)
        top = (uniform(count) * (height - size + 1)).long()
        left = (uniform(count) * (width - size + 1)).long()
        step = torch.arange(size, device=device)
        rows = (top[:, None] + step) * width[:, None]
        index = (first + left)[:, None, None] + rows[:, :, None] + step
        x = self.pixels[index].permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        turn = (uniform(count) < 0.5)[:, None, None, None]
        flip_y = (uniform(count) < 0.5)[:, None, None, None]
        flip_x = (uniform(count) < 0.5)[:, None, None, None]
        x = torch.where(turn, x.transpose(2, 3), x)
        x = torch.where(flip_y, x.flip(2), x)
        return torch.where(flip_x, x.flip(3), x)


def photo_files(folder: Path, exclude: Sequence[str] = ()) -> list[Path]:
    """Picture files of a folder, sorted by name, without those whose name begins with a prefix of `exclude`.

    Raises FileNotFoundError when none is left.
    """
    files = sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(tuple(exclude))
    )
    if not files:
        raise FileNotFoundError(f"no photographs ({', '.join(SUFFIXES)}) in {folder}")
    return files


def load_bank(files: Iterable[Encoded], smallest: int, short_sides: Sequence[int] = SHORT_SIDES) -> PhotoBank:
    """Decode every photograph at its own size and at each smaller short side of `short_sides`.

    smallest: crops will be this large; a scale whose short side is below it is left out.
    A scale is drawn in proportion to the square root of its pixels, so that the small, detailed scales are seen often.
    """
    flat: list[np.ndarray] = []
    table: list[tuple[int, int, int]] = []
    first = 0
    for file in files:
        photo = _decoded(file)
        for scaled in _scales(photo, short_sides):
            if min(scaled.size) < smallest:
                continue
            array = np.asarray(scaled)
            height, width = array.shape[:2]
            flat.append(array.reshape(-1, 3))
            table.append((first, height, width))
            first += height * width
    if not table:
        raise ValueError(f"every photograph is smaller than the {smallest}-pixel crops asked for")
    rows = torch.tensor(table)
    weights = (rows[:, 1] * rows[:, 2]).double().sqrt().float()
    return PhotoBank(torch.from_numpy(np.concatenate(flat)), rows, weights)


def _decoded(file: Encoded) -> Image.Image:
    with Image.open(BytesIO(file) if isinstance(file, bytes) else file) as opened:
        return opened.convert("RGB")


def _scales(photo: Image.Image, short_sides: Sequence[int]) -> list[Image.Image]:
    short = min(photo.size)
    smaller = [s for s in short_sides if s < 0.85 * short]
    shrunk = [
        photo.resize((round(photo.width * s / short), round(photo.height * s / short)), Image.Resampling.LANCZOS)
        for s in smaller
    ]
    return [photo, *shrunk]


def validation_crops(files: Sequence[Encoded], size: int) -> Tensor:
    """One centre crop a file, after shrinking the short side to `size`: [F, 3, size, size] float32 in [-1, 1]."""
    crops = []
    for file in files:
        photo = _decoded(file)
        scale = size / min(photo.size)
        photo = photo.resize(
            (max(size, round(photo.width * scale)), max(size, round(photo.height * scale))), Image.Resampling.LANCZOS
        )
        left, top = (photo.width - size) // 2, (photo.height - size) // 2
        crops.append(np.asarray(photo.crop((left, top, left + size, top + size))))
    stack = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)
    return stack.float() / 127.5 - 1
