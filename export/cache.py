"""Artefacts that took time to build (compiled graphs, engines, exported graphs), kept between processes.

    key = SHA-256 of the facts an artefact follows from: digest of the graph, kind, versions, device, shapes, precision

Compiled graphs and engines are executable code. So the folder is private, a folder of others' making is refused, every
file's digest is checked on the very bytes that are handed out, and what is stale, cut off or edited is built anew, never
loaded. An artefact appears whole or not at all: it is built aside, synced to disk and renamed. One process builds, the
others wait; a process that is killed leaves nothing but a folder that the next one sweeps away.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from . import cache_folder, digest, manifest
from .cache_folder import CacheError, CacheUnusable
from .manifest import Damaged, Manifest

__all__ = ["Artefact", "ArtefactCache", "CacheError", "CacheUnusable", "Entry"]

_FORMAT = 1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOLCK}
_log = logging.getLogger("lmaps.cache")


@dataclass(frozen=True, slots=True)
class Artefact:
    """What `get_or_build` returns. `views` holds the bytes whose digests were checked; prefer them to the paths.

    outcome: "hit" or "built".  seconds: how long its build took, whoever built it.
    """

    key: str
    folder: Path
    facts: Mapping[str, Any]
    views: Mapping[str, memoryview]
    outcome: Literal["hit", "built"]
    seconds: float

    def path(self, name: str) -> Path:
        """For run times that open files themselves."""
        return self.folder / name


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. facts is empty where the manifest is damaged.  used, made: seconds since 1970."""

    key: str
    facts: Mapping[str, Any]
    size: int
    used: float
    made: float

    @property
    def kind(self) -> str:
        return str(self.facts.get("kind", "damaged"))


class ArtefactCache:
    """The cache in `folder`, or in the one that LMAPS_CACHE or the platform names. Safe for many threads and processes.

    limit: bytes it may hold, of LMAPS_CACHE_LIMIT unless given; 0 for no limit. The artefacts used longest ago go first;
           the one just built always stays.
    Raises CacheError for a folder that is not safe (see `cache_folder.open_private`), CacheUnusable where nothing can be
    kept and going on without a cache is right: LMAPS_CACHE=off, or a folder that cannot be made.
    """

    def __init__(self, folder: Path | None = None, *, limit: int | None = None) -> None:
        self.folder = cache_folder.default_folder() if folder is None else Path(folder).absolute()
        self.limit = cache_folder.limit() if limit is None else limit
        cache_folder.open_private(self.folder)
        self._entries, self._building, self._locks = (self.folder / n for n in ("artefacts", "building", "locks"))

    def get_or_build(
        self, key_facts: Mapping[str, Any], build: Callable[[Path], None], *, wait_s: float = 3600
    ) -> Artefact:
        """The artefact of `key_facts`, from the cache or from `build(folder)`, which writes plain files into `folder`.

        key_facts: everything the artefact follows from, as JSON values; "kind" says what it is ("openvino", "onnx" ...).
        wait_s:    how long to wait while another process builds the same.
        Raises what `build` raises, and CacheUnusable where the disk is full or the folder cannot be written.
        """
        facts, key = self._facts(key_facts)
        if found := self._open(key, "hit"):
            return found
        with self._locked(key, wait_s):
            if found := self._open(key, "hit"):  # another process may just have built it
                return found
            return self._make(key, facts, build)

    def find(self, key_facts: Mapping[str, Any]) -> Artefact | None:
        """The artefact of `key_facts` if it is there and whole."""
        return self._open(self._facts(key_facts)[1], "hit")

    def replace(self, key_facts: Mapping[str, Any], build: Callable[[Path], None], *, wait_s: float = 3600) -> Artefact:
        """`get_or_build` that always builds: for what grows with use (a timing cache), or proved unusable."""
        facts, key = self._facts(key_facts)
        with self._locked(key, wait_s):
            return self._make(key, facts, build)

    def entries(self) -> list[Entry]:
        """Everything that is kept, last used first. Digests are not checked."""
        with _writing(self.folder):
            keys = [path.name for path in _children(self._entries)]
        entries = [entry for key in keys if (entry := self._entry(key))]
        return sorted(entries, key=lambda entry: entry.used, reverse=True)

    def size(self) -> int:
        """Bytes of all artefacts."""
        return sum(entry.size for entry in self.entries())

    def clear(self, *, older_than_s: float = 0, kind: str | None = None) -> tuple[int, int]:
        """Remove artefacts not used for `older_than_s` seconds, of one `kind` or of all. -> (artefacts, bytes)"""
        last = time.time() - older_than_s
        gone = [entry for entry in self.entries() if entry.used <= last and kind in (None, entry.kind)]
        with _writing(self.folder):
            for entry in gone:
                self._remove(entry.key)
            self._sweep()
        return len(gone), sum(entry.size for entry in gone)

    def _facts(self, key_facts: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        if not isinstance(key_facts.get("kind"), str):
            raise ValueError(f"key_facts must say what 'kind' of artefact it is, got {dict(key_facts)}")
        facts = {**key_facts, "cache_format": _FORMAT, "lmaps": _version()}
        return facts, digest.of_facts(facts)

    def _open(self, key: str, outcome: Literal["hit", "built"]) -> Artefact | None:
        folder = self._entries / key
        try:
            found = manifest.read(folder, key)
            views = manifest.open_verified(folder, found)
        except FileNotFoundError:
            return None
        except Damaged as damage:
            _log.warning("%s; it is built anew", damage)
            return None
        with contextlib.suppress(OSError):  # a cache that can only be read is still worth reading
            os.utime(folder)
        return Artefact(key, folder, found.facts, views, outcome, found.seconds)

    def _make(self, key: str, facts: Mapping[str, Any], build: Callable[[Path], None]) -> Artefact:
        """Build aside, move in. The caller holds the key's lock."""
        started = time.perf_counter()
        with _writing(self.folder):
            self._remove(key)
            self._sweep_key(key)
            staging = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=_made(self._building)))
        try:
            with _writing(self.folder, _FULL):
                build(staging)
            with _writing(self.folder):
                manifest.write(staging, facts, time.perf_counter() - started)
                os.replace(staging, _made(self._entries) / key)
                cache_folder.sync(self._entries)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        built = self._open(key, "built")
        if built is None:
            raise CacheUnusable(f"{self._entries / key} was cleared or changed as soon as it was written")
        self._keep_within_limit(key)
        return built

    def _keep_within_limit(self, spared: str) -> None:
        self._sweep()
        if not self.limit:
            return
        held = 0
        for entry in sorted(self.entries(), key=lambda entry: entry.key != spared):
            held += entry.size
            if held > self.limit and entry.key != spared:
                self._remove(entry.key)

    def _entry(self, key: str) -> Entry | None:
        folder = self._entries / key
        try:
            used = folder.lstat().st_mtime
            size = sum(path.lstat().st_size for path in _children(folder))
            found: Manifest | None = manifest.read(folder, key)
        except OSError:  # another process removed it
            return None
        except Damaged:
            found = None
        return Entry(key, found.facts if found else {}, size, used, found.made if found else used)

    def _remove(self, key: str) -> None:
        """Out of sight in one step, so that nobody reads what is half gone; a file still mapped stays readable."""
        grave = _made(self._building) / f"removed-{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._entries / key, grave)
            shutil.rmtree(grave, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what killed processes left half built or half removed."""
        for path in _children(self._building):
            key = path.name.partition("-")[0]
            if key == "removed":
                shutil.rmtree(path, ignore_errors=True)
                continue
            with contextlib.suppress(CacheUnusable), self._locked(key, 0):
                self._sweep_key(key)

    def _sweep_key(self, key: str) -> None:
        for path in self._building.glob(f"{key}-*"):
            shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self, key: str, wait_s: float) -> Iterator[None]:
        """Only one process, and one thread of it, is inside for a key. The system frees the lock of a dead process."""
        from filelock import FileLock, Timeout

        with _writing(self.folder):
            lock = FileLock(_made(self._locks) / f"{key}.lock", mode=0o600)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                _log.info("another process is building artefact %s; waiting for it", key[:12])
                try:
                    lock.acquire(timeout=wait_s, poll_interval=0.1)
                except Timeout:
                    raise CacheUnusable(f"another process has held {lock.lock_file} for {wait_s:.0f} s") from None
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def _writing(folder: Path, meaning: set[int] = _FULL | _NOT_WRITABLE) -> Iterator[None]:
    """Errors of the file system with one of these numbers become CacheUnusable."""
    try:
        yield
    except NotImplementedError as error:
        raise CacheUnusable(f"the file system of the cache folder {folder} has no locks: {error}") from error
    except OSError as error:
        if error.errno not in meaning:
            raise
        raise CacheUnusable(
            f"the cache folder {folder} cannot be written ({error.strerror}): free space (lmaps info --clear-cache), "
            f"set {cache_folder.FOLDER} to another folder, or to 'off'"
        ) from error


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


@cache
def _version() -> str:
    try:
        return metadata.version("lmaps-engine")
    except metadata.PackageNotFoundError:
        return "unknown"
