"""Training photographs in one file that is small enough to travel to a rented machine.

A zip with train/NAME, held-out/NAME and pack.json. The photographs are the original files where those fit; else they are
shrunk and encoded again, at the best JPEG quality that fits, without chroma subsampling.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

BUDGET = 50_000_000
SHORT_SIDE = 512
QUALITIES = (95, 92, 89, 86, 82, 78)
INDEX = "pack.json"
# What a zip adds to a file: two headers with its name.
OVERHEAD = 300


@dataclass(frozen=True)
class Packed:
    """What a pack holds: encoded photographs by name, and how they were stored."""

    train: dict[str, bytes]
    held_out: dict[str, bytes]
    stored: str


def pack(train: Sequence[Path], held_out: Sequence[Path], path: Path, *, budget: int = BUDGET) -> str:
    """Write a pack of at most `budget` bytes; returns how the photographs are stored.

    Raises ValueError where they do not fit even at the lowest quality.
    """
    kept = {f.name: f.read_bytes() for f in held_out}
    room = budget - OVERHEAD * (len(train) + len(held_out) + 1) - sum(map(len, kept.values()))
    for stored, encoded in _ways(train, room):
        if encoded is not None:
            _write(path, Packed(encoded, kept, stored))
            return stored
    raise ValueError(
        f"{len(train)} photographs do not fit into {budget:,} bytes even with short sides of {SHORT_SIDE} pixels at JPEG "
        f"quality {QUALITIES[-1]}: pack fewer of them or allow more"
    )


def unpack(path: Path) -> Packed:
    """Read a pack. Raises ValueError where it is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = json.loads(archive.read(INDEX))["stored"]
            folders: dict[str, dict[str, bytes]] = {"train": {}, "held-out": {}}
            for name in archive.namelist():
                folder, _, file = name.partition("/")
                if folder in folders and file:
                    folders[folder][file] = archive.read(name)
    except (zipfile.BadZipFile, KeyError, ValueError) as problem:
        raise ValueError(f"{path} is no pack of photographs, or it is damaged: {problem}") from None
    return Packed(folders["train"], folders["held-out"], stored)


def _ways(files: Sequence[Path], room: int) -> Iterator[tuple[str, dict[str, bytes] | None]]:
    """How the photographs can be stored, best first; None where that does not fit."""
    if sum(f.stat().st_size for f in files) <= room:
        yield "original files", {f.name: f.read_bytes() for f in files}
    for quality in QUALITIES:
        yield (
            f"short sides of at most {SHORT_SIDE} pixels, JPEG quality {quality}, 4:4:4",
            _shrunk(files, quality, room),
        )


def _shrunk(files: Sequence[Path], quality: int, room: int) -> dict[str, bytes] | None:
    encoded: dict[str, bytes] = {}
    for file in files:
        with Image.open(file) as opened:
            photo = opened.convert("RGB")
        scale = SHORT_SIDE / min(photo.size)
        if scale < 1:
            size = round(photo.width * scale), round(photo.height * scale)
            photo = photo.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=quality, subsampling=0)
        encoded[f"{file.stem}.jpg"] = buffer.getvalue()
        room -= len(encoded[f"{file.stem}.jpg"])
        if room < 0:
            return None
    return encoded


def _write(path: Path, packed: Packed) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(INDEX, json.dumps({"stored": packed.stored}))
        for folder, photographs in (("train", packed.train), ("held-out", packed.held_out)):
            for name, data in photographs.items():
                archive.writestr(f"{folder}/{name}", data)
