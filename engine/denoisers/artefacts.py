"""The cache of compiled graphs, opened for a backend."""

from __future__ import annotations

import os
import warnings

from ...export.cache import ArtefactCache, CacheUnusable
from ...export.cache_folder import FOLDER

_warned: set[str] = set()


def open_cache() -> tuple[ArtefactCache | None, str]:
    """The artefact cache and "", or None and the reason. Raises CacheError for a folder that is not safe to use."""
    try:
        return ArtefactCache(), ""
    except CacheUnusable as reason:
        tell_uncached(str(reason))
        return None, str(reason)


def tell_uncached(reason: str) -> None:
    """Warn, once, that nothing is kept; not where the user asked for just that."""
    if os.environ.get(FOLDER) != "off" and reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"compiled graphs are not kept: {reason}", RuntimeWarning, stacklevel=3)
