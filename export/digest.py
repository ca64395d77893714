"""SHA-256 of files, of graphs together with the files they read, and of facts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .external_data import check_external_data

# Digests of files by device, number, size and times of change. A file changed twice within the resolution of its times looks
# unchanged, so only what had rested for a while before it was read is remembered.
_known: dict[tuple[int, ...], str] = {}
_REST_S = 2.0


def of_file(path: Path) -> str:
    """SHA-256 of the file at `path`; of one that has not changed since, the digest found before in this process."""
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        key = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        if key in _known:
            return _known[key]
        rested = time.time() - max(facts.st_mtime, facts.st_ctime) > _REST_S
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if rested:
        _known[key] = found
    return found


def of_graph(path: Path) -> str:
    """SHA-256 over the graph at `path` and every file of external data it names, so that a changed weight shows.

    Raises GraphError for a damaged graph, or one that names files outside its folder.
    """
    files = {location: of_file(path.parent / location) for location in check_external_data(path)}
    return of_facts({"graph": of_file(path), "external": files})


def of_facts(facts: Mapping[str, Any]) -> str:
    """SHA-256 of `facts` as canonical JSON: keys sorted, no spaces, no NaN. TypeError for what JSON cannot hold."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
