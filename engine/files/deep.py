"""Pictures with 16 bits a channel, which Pillow decodes with 8: PNG by imagecodecs, TIFF by tifffile.

value in [0, 1] = sample / 65535
"""

from __future__ import annotations

import logging
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from .picture import Picture, Pixels
from .problem import FileProblem

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it has to say becomes a FileProblem or nothing

_PNG_HEADER = 33  # signature (8), then the IHDR chunk: length, name, 13 bytes, checksum
_PNG_DEPTH = 24
_LAYOUT = "has 16-bit samples in an unusual layout; save it as plain 16-bit grey or RGB"


@dataclass(frozen=True)
class DeepTiff:
    """The header of a 16-bit TIFF, and its file to decode."""

    data: bytes
    size: tuple[int, int]
    icc: bytes | None
    several: bool


def png_is_deep(data: bytes) -> bool:
    """Whether a PNG stores 16 bits a sample."""
    return len(data) > _PNG_DEPTH and data[_PNG_DEPTH] == 16


def deep_tiff(data: bytes) -> DeepTiff | None:
    """The header of a TIFF with 16-bit whole numbers; None for every other one, unreadable ones included."""
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages[0]
            if page.bitspersample != 16 or page.sampleformat != 1:
                return None
            size = int(page.imagelength), int(page.imagewidth)
            return DeepTiff(data, size, page.iccprofile or None, several=_has_second(file))
    except Exception:  # a damaged header makes tifffile raise almost anything; Pillow then words the refusal
        return None


def decode_png(data: bytes, size: tuple[int, int]) -> tuple[Pixels, Pixels | None]:
    """Pixels [1 or 3, H, W] and alpha [H, W] or None, float32 in [0, 1]. Raises ValueError for an odd layout."""
    samples = imagecodecs.png_decode(data)
    return _split(samples.transpose(2, 0, 1) if samples.ndim == 3 else samples[None], size)


def decode_tiff(header: DeepTiff) -> tuple[Pixels, Pixels | None]:
    """As `decode_png`. Premultiplied colours are divided by their alpha."""
    with tifffile.TiffFile(BytesIO(header.data)) as file:
        page = file.pages[0]
        kind = int(page.photometric)
        if kind not in (0, 1, 2) or page.samplesperpixel > 4 or page.axes not in ("YX", "YXS", "SYX"):
            raise FileProblem(_LAYOUT)
        if np.prod(page.chunks) > 16 * header.size[0] * header.size[1] + (1 << 24):
            raise FileProblem(_LAYOUT)  # a tile far larger than its picture would be decoded whole
        samples = page.asarray(maxworkers=1)
        premultiplied = tuple(int(extra) for extra in page.extrasamples) == (1,)
        if page.axes == "YX":
            samples = samples[None]
        elif page.axes == "YXS":
            samples = samples.transpose(2, 0, 1)
    if kind == 0:  # white is zero
        samples = np.concatenate([65535 - samples[:1], samples[1:]])
    pixels, alpha = _split(samples, header.size)
    if premultiplied and alpha is not None:
        pixels = np.divide(pixels, alpha, out=np.zeros_like(pixels), where=alpha > 0).clip(0, 1)
    return pixels, alpha


def png_bytes(picture: Picture) -> bytes:
    """The picture as a 16-bit PNG."""
    samples = interleaved(picture, np.uint16)
    encoded = bytes(imagecodecs.png_encode(samples[:, :, 0] if samples.shape[2] == 1 else samples, level=6))
    extra = b""
    if picture.icc:
        extra += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc))
    if picture.exif:
        extra += _chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    return encoded[:_PNG_HEADER] + extra + encoded[_PNG_HEADER:]


def tiff_bytes(picture: Picture) -> bytes:
    """The picture as a 16-bit TIFF, deflated. tifffile writes no EXIF block, so none is kept."""
    samples = interleaved(picture, np.uint16)
    single = samples.shape[2] == 1
    out = BytesIO()
    tifffile.imwrite(
        out,
        samples[:, :, 0] if single else samples,
        photometric="minisblack" if picture.grey else "rgb",
        planarconfig=None if single else "contig",
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression="adobe_deflate",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=picture.icc,
    )
    return out.getvalue()


def interleaved(picture: Picture, kind: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """[H, W, 1..4] whole numbers: the channels, then alpha; [0, 1] rounded to the nearest level."""
    channels = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha[None]])
    levels = np.iinfo(kind).max
    return np.ascontiguousarray(np.rint(channels.clip(0, 1) * levels).astype(kind).transpose(1, 2, 0))


def _split(samples: NDArray[Any], size: tuple[int, int]) -> tuple[Pixels, Pixels | None]:
    if samples.dtype != np.uint16 or samples.shape[1:] != size or samples.shape[0] not in (1, 2, 3, 4):
        raise FileProblem(_LAYOUT)
    values = samples.astype(np.float32) / np.float32(65535)
    return (values, None) if samples.shape[0] in (1, 3) else (values[:-1], values[-1])


def _has_second(file: Any) -> bool:
    try:
        file.pages[1]
    except IndexError:
        return False
    return True


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
