"""A picture out: one `Picture` to PNG, JPEG, WebP or TIFF, whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from . import deep_png, tiff
from .picture import Picture
from .problem import FileProblem, reason
from .samples import to_samples

_NO_ALPHA = "cannot hold transparency; write a PNG, WebP or TIFF"

Encoder = Callable[[Picture], tuple[bytes, tuple[str, ...]]]


def write_image(path: str | Path, picture: Picture, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write a picture in the format that the suffix names; returns what that could not keep (see `Picture.notes`).

    PNG and TIFF keep 16 bits, WebP is lossless with 8, JPEG is of quality 95 without chroma subsampling. The file
    appears whole or not at all, and an existing one is left alone unless `overwrite`.

    Raises FileProblem: unknown suffix, transparency in a JPEG, an existing file, a folder that cannot be written.
    """
    path = Path(path)
    encode = encoder_for(path)
    refuse_existing(path, overwrite)
    if not np.isfinite(picture.pixels).all():
        raise FileProblem(f"{path} was not written: the picture has values that are not finite numbers")
    try:
        data, notes = encode(picture)
    except FileProblem as problem:
        raise FileProblem(f"{path} {problem}") from problem
    except (OSError, ValueError) as error:
        raise FileProblem(f"{path} cannot be encoded ({error}); write a PNG") from error
    write_whole(path, data, overwrite=overwrite)
    return notes


def encoder_for(path: Path) -> Encoder:
    """The encoder that a suffix asks for. Raises FileProblem where there is none."""
    try:
        return _ENCODERS[path.suffix.lower()]
    except KeyError:
        known = " ".join(_ENCODERS)
        raise FileProblem(f"{path} has no picture suffix that can be written; use one of {known}") from None


def refuse_transparency(path: Path, picture: Picture) -> None:
    """Raises FileProblem where the format that the suffix names cannot hold the picture's alpha."""
    if encoder_for(path) is _jpeg and _transparent(picture):
        raise FileProblem(f"{path} {_NO_ALPHA}")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raises FileProblem where a file is in the way."""
    if path.is_dir():
        raise FileProblem(f"{path} is a folder; name a file in it")
    if not overwrite and path.exists():
        raise FileProblem(f"{path} exists already; name another file, or pass --overwrite")


def write_whole(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write beside the target, then rename, so that no one ever sees half a file."""
    refuse_existing(path, overwrite)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise FileProblem(
            f"{path} cannot be written: the folder {path.parent} does not exist; make it first"
        ) from error
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {reason(error)}") from error


def _png(picture: Picture) -> tuple[bytes, tuple[str, ...]]:
    if picture.bits == 16:
        return deep_png.encode(picture), ()
    return _by_pillow(picture, "PNG"), ()


def _tiff(picture: Picture) -> tuple[bytes, tuple[str, ...]]:
    if picture.bits == 16:
        lost = ("holds no EXIF data: a 16-bit TIFF is written without",) if picture.exif else ()
        return tiff.encode_deep(picture), lost
    return _by_pillow(picture, "TIFF", compression="tiff_adobe_deflate"), ()


def _webp(picture: Picture) -> tuple[bytes, tuple[str, ...]]:
    return _by_pillow(picture, "WEBP", lossless=True, exact=True, method=4), _depth_note(picture)


def _jpeg(picture: Picture) -> tuple[bytes, tuple[str, ...]]:
    if picture.alpha is not None:
        if _transparent(picture):
            raise FileProblem(_NO_ALPHA)
        picture = Picture(picture.pixels, bits=picture.bits, icc=picture.icc, exif=picture.exif)
    return _by_pillow(picture, "JPEG", quality=95, subsampling=0), _depth_note(picture)


def _transparent(picture: Picture) -> bool:
    return picture.alpha is not None and bool((picture.alpha < 1).any())


def _depth_note(picture: Picture) -> tuple[str, ...]:
    return ("holds 8 bits a channel, the source had 16",) if picture.bits == 16 else ()


def _by_pillow(picture: Picture, kind: str, **options: object) -> bytes:
    image = Image.fromarray(to_samples(picture, 8))
    if picture.icc:
        options["icc_profile"] = picture.icc
    if picture.exif:
        options["exif"] = picture.exif
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


_ENCODERS: dict[str, Encoder] = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
}
