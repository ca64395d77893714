"""SHA-256 of files, of graphs together with the files they read, and of facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .external_data import check_external_data


def of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
