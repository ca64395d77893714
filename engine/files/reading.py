"""A picture file in: PNG, JPEG, WebP or TIFF to a `Picture`."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from . import deep_png, tiff
from .metadata import kept_exif, orientation, to_srgb
from .picture import Picture, upright
from .problem import DAMAGED, ONLY_FIRST, FileProblem, reason, refuse_large
from .samples import from_samples

FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow's part; TIFF has a file of its own
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
MAX_PIXELS = 89_000_000
MAX_BYTES = 1 << 30

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF")

# What a mode of Pillow's is turned into before its pixels are taken. None: taken as it is.
_PLAIN = {"1": "L", "L": None, "LA": None, "P": "RGB", "RGB": None, "RGBX": "RGB", "RGBA": None}


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, stored: bool = False) -> Picture:
    """Decode a picture, upright (its EXIF orientation applied) unless `stored` asks for it as it lies in the file.

    Grey stays grey; palettes and CMYK become RGB; 16-bit files keep 16 bits. Of an animation or a many-page TIFF, the
    first picture is read and a note says so. The size is checked before any pixel is decoded. With `stored` the EXIF
    block keeps the orientation (JPEG, PNG and WebP; a TIFF is always turned).

    Raises FileProblem for anything that cannot be read as such.
    """
    path = Path(path)
    data = read_bytes(path)
    with warnings.catch_warnings():  # Pillow's doubts about damaged metadata; what matters becomes a note or a problem
        warnings.simplefilter("ignore")
        try:
            if data.startswith(_TIFF):
                return tiff.decode(data, max_pixels)
            return _read_by_pillow(data, max_pixels, stored)
        except FileProblem as problem:
            raise FileProblem(f"{path} {problem}") from problem
        except Exception as error:  # decoders raise almost anything on damaged data, and it always means the same
            raise FileProblem(f"{path} {DAMAGED.format(_short(error))}") from error


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The file's bytes. Raises FileProblem for what is missing, no plain file, empty, unreadable or over the limit."""
    try:
        if not path.exists():
            raise FileProblem(f"{path} does not exist; check the name")
        if not path.is_file():
            raise FileProblem(f"{path} is not a file; name a picture")
        length = path.stat().st_size
        if length == 0:
            raise FileProblem(f"{path} is empty; make a new copy of it")
        if length > limit:
            raise FileProblem(f"{path} is too large ({length:,} bytes); the limit is {limit:,}")
        return path.read_bytes()
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {reason(error)}") from error


def _read_by_pillow(data: bytes, max_pixels: int, stored: bool) -> Picture:
    image = _opened(data)
    refuse_large((image.height, image.width), max_pixels)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    notes = [ONLY_FIRST] if getattr(image, "n_frames", 1) > 1 and image.format != "MPO" else []
    icc = image.info.get("icc_profile") or None
    deep = kind == "PNG" and deep_png.is_deep(data)
    if deep:
        pixels, alpha = deep_png.decode(data, (image.height, image.width))
    else:
        plain, icc = _plain(image, icc, notes)
        samples = np.atleast_3d(np.asarray(plain, np.uint8)).transpose(2, 0, 1)
        pixels, alpha = from_samples(samples, (plain.height, plain.width))
    exif = image.getexif()
    turn = 1 if stored else orientation(exif)
    alpha = None if alpha is None else upright(alpha[None], turn)[0]
    kept = kept_exif(exif, kind, notes, turned=not stored)
    return Picture(upright(pixels, turn), alpha, 16 if deep else 8, icc, kept, kind, tuple(notes))


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise FileProblem("is too large (over 178 megapixels); shrink it or cut it into parts") from error
    except UnidentifiedImageError as error:
        if data.startswith(_SIGNATURES):
            raise FileProblem(DAMAGED.format("its header cannot be read")) from error
        raise FileProblem("is not a PNG, JPEG, WebP or TIFF picture; convert it to one of these") from error


def _plain(image: Image.Image, icc: bytes | None, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    """Decoded, and in one of the modes L, LA, RGB, RGBA; with the profile that then holds."""
    image.load()
    if image.mode == "CMYK":
        notes.append("was CMYK and is now sRGB")
        return to_srgb(image, icc), None
    if image.mode not in _PLAIN:
        raise FileProblem(f"has pixels of kind {image.mode}; save it with 8 or 16 bits, grey or RGB")
    if image.has_transparency_data and image.mode in ("1", "L", "P", "RGB"):
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA"), icc
    wanted = _PLAIN[image.mode]
    return image.convert(wanted) if wanted else image, icc


def _short(error: BaseException) -> str:
    """The first line of an exception's message, cut to a length that fits in one."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text if len(text) <= 80 else text[:77] + "..."
