"""What the artefact cache holds, for `lmaps info`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .amounts import age_text, bytes_text
from .errors import FAILED, Stop, for_people

_DAY = 86400


def kept() -> dict[str, Any]:
    """The cache's folder, limit and artefacts as plain values; where there is none, why. Sizes in bytes, ages in seconds."""
    from ...export.cache import ArtefactCache, CacheError

    try:
        cache = ArtefactCache()
        entries = cache.entries()
    except CacheError as error:
        return {"folder": None, "why": str(error)}
    now = time.time()
    artefacts = [
        {
            "kind": entry.kind,
            "prior": str(entry.facts.get("name") or str(entry.facts.get("prior", "?"))[:12]),
            "device": _device(entry.facts),
            "precision": str(entry.facts.get("precision") or "float32"),
            "shapes": _shapes(entry.facts),
            "size": entry.size,
            "unused_s": max(0.0, now - entry.used),
            "age_s": max(0.0, now - entry.made),
        }
        for entry in entries
    ]
    size = sum(entry.size for entry in entries)
    return {"folder": str(cache.folder), "limit": cache.limit, "size": size, "artefacts": artefacts}


def print_kept(facts: Mapping[str, Any]) -> None:
    if facts["folder"] is None:
        print(f"cache: none: {facts['why']}")
        return
    limit = f"of {bytes_text(facts['limit'])}" if facts["limit"] else "with no limit"
    print(f"cache: {facts['folder']}, {bytes_text(facts['size'])} {limit}")
    rows = [
        (a["kind"], a["prior"], a["precision"], a["shapes"], bytes_text(a["size"]), age_text(a["age_s"]), a["device"])
        for a in facts["artefacts"]
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(6)]
    for row in rows:
        print("  " + "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]))


def clear(older_than_days: float) -> None:
    """Empty the cache, or remove what was not used for so many days, and say what is gone."""
    from ...export.cache import ArtefactCache

    with for_people():
        cache = ArtefactCache()
        try:
            count, size = cache.clear(older_than_s=older_than_days * _DAY)
        except OSError as error:
            raise Stop(f"{cache.folder} could not be cleared: {error}", FAILED) from error
    print(f"{cache.folder}: removed {count} artefact{'' if count == 1 else 's'}, {bytes_text(size)}")


def _device(facts: Mapping[str, Any]) -> str:
    device = facts.get("device") or facts.get("gpu") or {}
    return str(device.get("name", "?")) if isinstance(device, Mapping) else str(device)


def _shapes(facts: Mapping[str, Any]) -> str:
    """The shape of x, which says the most."""
    x = (facts.get("shapes") or {}).get("x")
    if x:
        return "x".join(map(str, x))
    return str((facts.get("profile") or {}).get("opt") or "any shape")
