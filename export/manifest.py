"""manifest.json of an artefact: what it was made from, and the SHA-256 and size of each of its files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import digest
from .cache_folder import sync

NAME = "manifest.json"
_LARGEST = 1 << 20


class Damaged(Exception):
    """A folder that is not the artefact its manifest describes: cut off, edited, or of another maker."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """facts: what the key was made of.  files: by name.  made: seconds since 1970.  seconds: how long the build took."""

    facts: Mapping[str, Any]
    files: Mapping[str, FileFacts]
    made: float
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def write(folder: Path, facts: Mapping[str, Any], seconds: float) -> None:
    """Describe the files in `folder` and have everything reach the disk. ValueError for what is no plain file."""
    files = {}
    for path in sorted(folder.iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode) or path.name == NAME:
            raise ValueError(f"a build may leave plain files only, none of them named {NAME}; it left {path.name!r}")
        files[path.name] = FileFacts(digest.of_file(path), path.stat().st_size)
        sync(path)
    if not files:
        raise ValueError("the build left no file")
    manifest = Manifest(dict(facts), files, time.time(), seconds)
    (folder / NAME).write_text(json.dumps(asdict(manifest), indent=2), encoding="utf-8")
    sync(folder / NAME)
    sync(folder)


def read(folder: Path, key: str) -> Manifest:
    """The manifest in `folder`. FileNotFoundError where there is none; Damaged unless its facts give `key`."""
    try:
        text = _read(folder / NAME, _LARGEST).decode("utf-8")
        raw = json.loads(text)
        files = {str(name): FileFacts(str(f["sha256"]), int(f["size"])) for name, f in raw["files"].items()}
        manifest = Manifest(dict(raw["facts"]), files, float(raw["made"]), float(raw["seconds"]))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{folder / NAME} cannot be read: {error}") from None
    if digest.of_facts(manifest.facts) != key:
        raise Damaged(f"{folder / NAME} was made for something else than {key}")
    return manifest


def open_verified(folder: Path, manifest: Manifest) -> dict[str, memoryview]:
    """Every file of the artefact, mapped into memory, after its digest was checked on just that mapping.

    Raises Damaged where a file is missing, is a link, differs, or is not in the manifest.
    """
    try:
        found = {entry.name for entry in os.scandir(folder)} - {NAME}
    except OSError as error:
        raise Damaged(f"{folder}: {error.strerror}") from None
    if found != set(manifest.files):
        raise Damaged(f"{folder} holds {sorted(found)}, its manifest names {sorted(manifest.files)}")
    views = {}
    for name, facts in manifest.files.items():
        try:
            view = _map(folder / name)
        except OSError as error:
            raise Damaged(f"{folder / name}: {error.strerror}") from None
        if len(view) != facts.size or hashlib.sha256(view).hexdigest() != facts.sha256:
            raise Damaged(f"{folder / name} is not the file that was made")
        views[name] = view
    return views


def _map(path: Path) -> memoryview:
    """Copy on write: run times want memory they could write to, and the file must stay what it is."""
    with _open(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _read(path: Path, most: int) -> bytes:
    with _open(path) as file:
        data: bytes = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"larger than {most} bytes")
    return data


def _open(path: Path) -> Any:
    """Open a plain file of this user's for reading; OSError for a link or anything else."""
    flags = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]
    handle = os.open(path, os.O_RDONLY | sum(flags))
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, handle)
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
            raise PermissionError(0, "not a plain file of this user's", str(path))
        undo.pop_all()
    return os.fdopen(handle, "rb")
