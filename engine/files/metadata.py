"""What a picture's file carries beside the pixels: EXIF and colour profiles."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

from PIL import ExifTags, Image, ImageCms

from .picture import Picture, upright

_ORIENTATION = int(ExifTags.Base.Orientation)

# A TIFF keeps its layout and its EXIF in the same table; only these entries describe the photograph.
_DESCRIPTIVE = frozenset(
    int(tag)
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
        ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    )
)


def tiff_exif(data: bytes, notes: list[str]) -> bytes | None:
    """As `kept_exif`, for a TIFF, which keeps its EXIF entries in the table of its layout."""
    exif = Image.Exif()
    try:
        exif.load(data)
    except Exception:  # a BigTIFF, which Pillow's reader of EXIF does not know, or a damaged table
        notes.append("has EXIF data that cannot be read, which was dropped")
        return None
    return kept_exif(exif, "TIFF", notes)


def orientation(exif: Image.Exif) -> int:
    """The EXIF orientation, 1..8; 1 (as stored) where there is none or it is unreadable."""
    try:
        turn = exif.get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def turn_of(picture: Picture) -> int:
    """The EXIF orientation that a picture still lies under: not 1 only where it was read as `stored`."""
    exif = Image.Exif()
    if picture.exif:
        exif.load(picture.exif)
    return orientation(exif)


def as_seen(picture: Picture) -> Picture:
    """The picture upright, its EXIF block as it is."""
    turn = turn_of(picture)
    alpha = None if picture.alpha is None else upright(picture.alpha[None], turn)[0]
    return replace(picture, pixels=upright(picture.pixels, turn), alpha=alpha)


def kept_exif(exif: Image.Exif, kind: str, notes: list[str], *, turned: bool = True) -> bytes | None:
    """The EXIF block to write, or None; without the orientation where that was applied. A damaged one is dropped."""
    try:
        for tag in list(exif):
            if (tag == _ORIENTATION and turned) or (kind == "TIFF" and tag not in _DESCRIPTIVE):
                del exif[tag]
        return exif.tobytes() if len(exif) else None
    except Exception:  # as above
        notes.append("had damaged EXIF data, which was dropped")
        return None


def to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """A CMYK picture as sRGB, by its own profile where it has one."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # not a CMYK profile, or a damaged one: the plain conversion is what is left
    return image.convert("RGB")
