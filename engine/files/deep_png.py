"""PNG with 16 bits a channel, by imagecodecs: Pillow decodes colour ones with 8."""

from __future__ import annotations

import struct
import zlib

import imagecodecs

from .picture import Picture, Pixels
from .samples import from_samples, to_samples

_HEADER = 33  # signature (8), then the IHDR chunk: length, name, 13 bytes, checksum
_DEPTH = 24


def is_deep(data: bytes) -> bool:
    """Whether a PNG stores 16 bits a sample."""
    return len(data) > _DEPTH and data[_DEPTH] == 16


def decode(data: bytes, size: tuple[int, int]) -> tuple[Pixels, Pixels | None]:
    """Pixels [1 or 3, H, W] and alpha [H, W] or None, float32 in [0, 1]."""
    samples = imagecodecs.png_decode(data)
    return from_samples(samples.transpose(2, 0, 1) if samples.ndim == 3 else samples[None], size)


def encode(picture: Picture) -> bytes:
    """The picture as a 16-bit PNG, with its profile and EXIF block."""
    encoded = bytes(imagecodecs.png_encode(to_samples(picture, 16), level=6))
    extra = b""
    if picture.icc:
        extra += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(picture.icc))
    if picture.exif:
        extra += _chunk(b"eXIf", picture.exif.removeprefix(b"Exif\0\0"))
    return encoded[:_HEADER] + extra + encoded[_HEADER:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
