"""A file that a long measurement grows by a line a finished record, so that nothing measured is lost."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def key(config: Record) -> str:
    """A digest of everything a record depends on."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:24]


class Journal:
    """Records by key, in a JSON-lines file. A line that an interrupt cut short is skipped.

    Records of other configurations in the same file have other keys: they are kept, and never looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: dict[str, Record] = {}
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        self._cut = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict) and "key" in record:
                self._records[record["key"]] = record

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def add(self, record: Record) -> None:
        """Append and put on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if self._cut else "") + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._cut = False
        self._records[record["key"]] = record
