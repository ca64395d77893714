"""What a JPEG encoder is set to: quantisation tables and chroma sampling, by quality or read from a file."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from torch import Tensor

# ITU-T T.81, tables K.1 (luminance) and K.2 (chrominance), row by row.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
# Rows and columns of luminance for each of chrominance.
SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2), "4:4:0": (2, 1), "4:1:1": (1, 4)}


@dataclass(frozen=True, eq=False)
class Setting:
    """tables: [3, 8, 8] float64 for Y, Cb, Cr (a grey picture uses the first); subsampling: a key of SUBSAMPLING."""

    tables: Tensor
    subsampling: str


def standard_tables(quality: int) -> Tensor:
    """[3, 8, 8]: floor((s q + 50) / 100) in 1 .. 255, s = floor(5000 / quality) below 50, else 200 - 2 quality."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = torch.tensor([LUMINANCE, CHROMINANCE, CHROMINANCE], dtype=torch.int64)
    return ((scale * base + 50) // 100).clamp(1, 255).to(torch.float64)


def read_setting(path: str | PathLike[str]) -> Setting:
    """The setting of a JPEG file, from its header alone.

    Raises ValueError naming the file when it is no JPEG, or one whose colours are neither grey nor YCbCr.
    """
    from PIL import Image  # here, so that a start without JPEG files needs no Pillow

    try:
        with Image.open(path) as image:
            return setting_of(image, str(path))
    except OSError as error:
        # Errors of the file system have a number; those of Pillow, which mean a bad file, have none.
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is not a JPEG file, or its header is damaged") from None


def setting_of(image: Any, name: str) -> Setting:
    """The setting of a PIL image that was opened from a JPEG file. Raises ValueError, with `name`, as `read_setting` does."""
    from PIL import JpegImagePlugin  # as above

    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        kind = f"is a {image.format} file" if getattr(image, "format", None) else f"is a {type(image).__name__}"
        raise ValueError(
            f"{name} {kind}, not a JPEG file, so its compression is unknown: give lmaps.operators.JPEG(quality=...) instead"
        )
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"{name} is a JPEG in {image.mode}: only grey and YCbCr files are supported")
    # Pillow gives the tables in natural order and, a layer, (identifier, columns, rows, table).
    layers, tables = image.layer, image.quantization
    missing = [layer[3] for layer in layers if layer[3] not in tables]
    if missing:
        raise ValueError(f"{name} is damaged: quantisation table {missing[0]} is not in its header")
    chosen = [torch.tensor(tables[layer[3]], dtype=torch.float64).reshape(8, 8) for layer in layers]
    if len(chosen) == 1:
        return Setting(torch.stack(chosen * 3), "4:4:4")
    return Setting(torch.stack(chosen), _sampling(name, layers))


def _sampling(name: str, layers: list[tuple[int, int, int, int]]) -> str:
    (_, columns, rows, _), *chroma = layers
    for sampling, factors in SUBSAMPLING.items():
        if all((c[2] * factors[0], c[1] * factors[1]) == (rows, columns) for c in chroma):
            return sampling
    shown = ", ".join(f"{layer[1]}x{layer[2]}" for layer in layers)
    raise ValueError(f"{name} samples its components {shown}; supported: {', '.join(SUBSAMPLING)}")
