"""TIFF by tifffile: grey, RGB, palette and CMYK. Pillow would decode 16-bit colour with 8, and print on damage."""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from .metadata import tiff_exif, to_srgb
from .picture import Picture, upright
from .problem import DAMAGED, ONLY_FIRST, FileProblem, refuse_large
from .samples import UNUSUAL, from_samples, to_samples

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it has to say becomes a FileProblem or nothing

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_JPEG = 7
_PREMULTIPLIED = 1
# Kind of picture -> samples a pixel without alpha, and the depths that are read.
_KINDS: dict[int, tuple[int, tuple[int, ...]]] = {
    _WHITE_IS_ZERO: (1, (1, 2, 4, 8, 16)),
    _BLACK_IS_ZERO: (1, (1, 2, 4, 8, 16)),
    _RGB: (3, (8, 16)),
    _PALETTE: (1, (1, 2, 4, 8)),
    _CMYK: (4, (8,)),
    _YCBCR: (3, (8,)),
}


def decode(data: bytes, max_pixels: int) -> Picture:
    """The first picture of a TIFF, upright. Premultiplied colours are divided by their alpha.

    Raises FileProblem, and almost anything else for a damaged file.
    """
    with tifffile.TiffFile(BytesIO(data)) as file:
        page = file.pages[0]
        size = int(page.imagelength), int(page.imagewidth)
        refuse_large(size, max_pixels)
        _refuse_unusual(page, size)
        notes = [ONLY_FIRST] if _has_second(file) else []
        icc = page.iccprofile or None
        samples = page.asarray(maxworkers=1)
        if page.axes == "YX":
            samples = samples[None]
        elif page.axes == "YXS":
            samples = samples.transpose(2, 0, 1)
        if int(page.photometric) == _CMYK:
            notes.append("was CMYK and is now sRGB")
            samples, icc = _from_cmyk(samples, icc), None
        pixels, alpha = from_samples(_plain(samples, page), size)
        if alpha is not None and int(page.extrasamples[0]) == _PREMULTIPLIED:
            pixels = np.divide(pixels, alpha, out=np.zeros_like(pixels), where=alpha > 0).clip(0, 1)
        bits = 16 if page.bitspersample == 16 else 8
        turn = int(page.tags.valueof("Orientation", 1))
    alpha = None if alpha is None else upright(alpha[None], turn)[0]
    return Picture(upright(pixels, turn), alpha, bits, icc, tiff_exif(data, notes), "TIFF", tuple(notes))


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


def _refuse_unusual(page: Any, size: tuple[int, int]) -> None:
    channels, depths = _KINDS.get(int(page.photometric), (0, ()))
    extra = int(page.samplesperpixel) - channels
    if channels == 0 or page.bitspersample not in depths or page.sampleformat != 1 or extra not in (0, 1):
        raise FileProblem(UNUSUAL)
    if page.axes not in ("YX", "YXS", "SYX") or extra != len(page.extrasamples):
        raise FileProblem(UNUSUAL)
    if int(page.photometric) == _YCBCR and int(page.compression) != _JPEG:
        raise FileProblem(UNUSUAL)
    if np.prod(page.chunks) > 16 * size[0] * size[1] + (1 << 24):
        raise FileProblem(UNUSUAL)  # a tile far larger than its picture would be decoded whole
    if len(page.dataoffsets) != np.prod(page.chunked) or not all(page.databytecounts):
        raise FileProblem(DAMAGED.format("parts of the picture are missing"))


def _plain(samples: NDArray[Any], page: Any) -> NDArray[Any]:
    """Grey or RGB of 8 or 16 bits, black at zero."""
    kind, depth = int(page.photometric), int(page.bitspersample)
    if kind == _PALETTE:
        return np.asarray(page.colormap[:, samples[0]] >> 8, np.uint8)  # writers scale by 256 or by 257
    if depth < 8:
        samples = samples.astype(np.uint8) * np.uint8(255 // (2**depth - 1))
    if kind == _WHITE_IS_ZERO:
        samples = np.concatenate([np.iinfo(samples.dtype).max - samples[:1], samples[1:]])
    return samples


def _from_cmyk(samples: NDArray[Any], icc: bytes | None) -> NDArray[Any]:
    image = Image.frombytes(
        "CMYK", samples.shape[:0:-1], np.ascontiguousarray(samples[:4].transpose(1, 2, 0)).tobytes()
    )
    return np.asarray(to_srgb(image, icc)).transpose(2, 0, 1)


def _has_second(file: Any) -> bool:
    try:
        file.pages[1]
    except IndexError:
        return False
    return True
