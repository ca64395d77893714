"""The private folder of the artefact cache: where it is, how large it may grow, and when it is refused.

LMAPS_CACHE        the folder; "off" for no cache. By default the platform's folder for caches (~/.cache/lmaps on Linux).
LMAPS_CACHE_LIMIT  bytes, or a number with K, M, G or T (powers of 1024): 500M, 8GiB. By default 8 GiB; 0 for no limit.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

FOLDER, LIMIT = "LMAPS_CACHE", "LMAPS_CACHE_LIMIT"
_DEFAULT_LIMIT = 8 << 30
_MEND = f"set {FOLDER} to a folder of your own, or to 'off'"


class CacheError(ValueError):
    """The cache must not be used as it is: an unsafe folder, or a setting that makes no sense."""


class CacheUnusable(CacheError):
    """Nothing can be kept: a folder that cannot be written, a full disk, no locks. Going on without a cache is safe."""


def default_folder() -> Path:
    """LMAPS_CACHE, or the platform's folder for caches. Raises CacheUnusable where LMAPS_CACHE is "off"."""
    given = os.environ.get(FOLDER, "")
    if given == "off":
        raise CacheUnusable(f"{FOLDER} is 'off'")
    if given:
        return Path(given).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("lmaps", appauthor=False))


def limit() -> int:
    """Bytes the cache may hold, from LMAPS_CACHE_LIMIT; 0 for no limit."""
    given = os.environ.get(LIMIT, "")
    if not given:
        return _DEFAULT_LIMIT
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", given, re.IGNORECASE)
    if match is None:
        raise CacheError(f"{LIMIT} must be a number of bytes such as 500M or 8GiB, got {given!r}")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def open_private(folder: Path) -> None:
    """Make `folder` with mode 0700, or check the one that is there.

    What lies in it is run, so only its owner may write to it. Raises CacheUnusable where it cannot be made, CacheError
    where it is a link, belongs to another user, or others may write to it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        raise CacheUnusable(f"the cache folder {folder} cannot be used ({error.strerror}); {_MEND}") from error
    if stat.S_ISLNK(facts.st_mode):
        raise CacheError(f"the cache folder {folder} is a link; {_MEND} (the folder itself, not a link to it)")
    if not hasattr(os, "getuid"):  # Windows: the user's own profile is private already
        return
    if facts.st_uid != os.getuid():
        raise CacheError(f"the cache folder {folder} belongs to user {facts.st_uid}, not to {os.getuid()}; {_MEND}")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheError(
            f"others may write to the cache folder {folder} (mode {stat.S_IMODE(facts.st_mode):o}), and what lies in "
            f"it is run; chmod 700 it once its content is yours, or {_MEND}"
        )


def sync(path: Path) -> None:
    """Have the file or folder at `path` reach the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for this; its renames are journalled
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
