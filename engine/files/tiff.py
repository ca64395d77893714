"""Grey and RGB TIFF of 8 and 16 bits, by tifffile: Pillow decodes 16-bit colour with 8. The rarer kinds are Pillow's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import tifffile

from .picture import Picture, Pixels
from .problem import FileProblem
from .samples import UNUSUAL, from_samples, to_samples

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it has to say becomes a FileProblem or nothing

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PREMULTIPLIED = 1


@dataclass(frozen=True)
class TiffHeader:
    """What is known of a TIFF before its pixels are decoded."""

    data: bytes
    size: tuple[int, int]
    bits: int
    icc: bytes | None
    several: bool


def read_header(data: bytes) -> TiffHeader | None:
    """The header of a TIFF that this file decodes; None for every other one, unreadable ones included.

    A 16-bit TIFF of another kind than grey or RGB counts as ours, for `decode` to refuse it: Pillow would drop bits.
    """
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages[0]
            bits = page.bitspersample
            plain = int(page.photometric) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
            if page.sampleformat != 1 or not (bits == 16 or (bits == 8 and plain)):
                return None
            size = int(page.imagelength), int(page.imagewidth)
            return TiffHeader(data, size, bits, page.iccprofile or None, several=_has_second(file))
    except Exception:  # a damaged header makes tifffile raise almost anything; Pillow then words the refusal
        return None


def decode(header: TiffHeader) -> tuple[Pixels, Pixels | None]:
    """Pixels [1 or 3, H, W] and alpha [H, W] or None, float32 in [0, 1]. Premultiplied colours are divided by alpha."""
    with tifffile.TiffFile(BytesIO(header.data)) as file:
        page = file.pages[0]
        kind = int(page.photometric)
        _refuse_unusual(page, kind, header.size)
        samples = page.asarray(maxworkers=1)
        premultiplied = tuple(int(extra) for extra in page.extrasamples) == (_PREMULTIPLIED,)
        if page.axes == "YX":
            samples = samples[None]
        elif page.axes == "YXS":
            samples = samples.transpose(2, 0, 1)
    if kind == _WHITE_IS_ZERO:
        samples = np.concatenate([np.iinfo(samples.dtype).max - samples[:1], samples[1:]])
    pixels, alpha = from_samples(samples, header.size)
    if premultiplied and alpha is not None:
        pixels = np.divide(pixels, alpha, out=np.zeros_like(pixels), where=alpha > 0).clip(0, 1)
    return pixels, alpha


def encode_deep(picture: Picture) -> bytes:
    """The picture as a 16-bit TIFF, deflated. tifffile writes no EXIF block, so none is kept."""
    samples = to_samples(picture, 16)
    out = BytesIO()
    tifffile.imwrite(
        out,
        samples,
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig=None if samples.ndim == 2 else "contig",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="adobe_deflate",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=picture.icc,
    )
    return out.getvalue()


def _refuse_unusual(page: Any, kind: int, size: tuple[int, int]) -> None:
    if kind not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or page.axes not in ("YX", "YXS", "SYX"):
        raise FileProblem(UNUSUAL)
    if page.samplesperpixel > 4 or (kind == _RGB) != (page.samplesperpixel > 2):
        raise FileProblem(UNUSUAL)
    if np.prod(page.chunks) > 16 * size[0] * size[1] + (1 << 24):
        raise FileProblem(UNUSUAL)  # a tile far larger than its picture would be decoded whole
    if len(page.dataoffsets) != np.prod(page.chunked) or not all(page.databytecounts):
        raise FileProblem("is damaged (parts of the picture are missing); make a new copy of it")


def _has_second(file: Any) -> bool:
    try:
        file.pages[1]
    except IndexError:
        return False
    return True
