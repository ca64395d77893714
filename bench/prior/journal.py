"""What was measured so far, one JSON object a line, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Key = Mapping[str, Any]
Values = dict[str, float]


class Journal:
    """Values by key. A key names everything the values depend on, so a changed prior or setting is measured anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Values] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            self._read(line, number)
        # A run that was killed in the middle of writing a line leaves it without an end.
        self._before = "\n" if text and not text.endswith("\n") else ""

    def __contains__(self, key: Key) -> bool:
        return _text(key) in self._known

    def __getitem__(self, key: Key) -> Values:
        return self._known[_text(key)]

    def get(self, key: Key) -> Values | None:
        """The values, or None where they were not measured yet."""
        return self._known.get(_text(key))

    def put(self, key: Key, values: Values) -> None:
        """Remember, and append to the file at once."""
        self._known[_text(key)] = values
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._before + json.dumps({"key": dict(key), "values": values}, ensure_ascii=False) + "\n")
        self._before = ""

    def _read(self, line: str, number: int) -> None:
        try:
            entry = json.loads(line)
            self._known[_text(entry["key"])] = entry["values"]
        except (ValueError, KeyError, TypeError):
            print(f"{self._path}:{number}: not a journal entry, measured again")


def _text(key: Key) -> str:
    return json.dumps(dict(key), sort_keys=True, ensure_ascii=False)
