"""Packages that a rented machine may lack, replaced as far as this bench uses them: safetensors, to read weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

_TYPES = {"F32": "float32", "F16": "float16"}


def install() -> list[str]:
    """Put in what is missing; returns the names of what was."""
    try:
        import safetensors  # noqa: F401
    except ImportError:
        module = ModuleType("safetensors")
        module.__dict__.update(SafetensorError=SafetensorError, safe_open=SafeOpen)
        sys.modules["safetensors"] = module
        return ["safetensors"]
    return []


class SafetensorError(ValueError):
    """The file is not what it should be."""


class SafeOpen:
    """Reads a safetensors file: 8 bytes with the header's length, the header in JSON, the tensors' bytes."""

    def __init__(self, path: str | Path, framework: str = "pt") -> None:
        data = Path(path).read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        try:
            header = json.loads(data[8:start])
        except ValueError as error:
            raise SafetensorError(f"the header is no JSON: {error}") from None
        self._entries = {key: entry for key, entry in header.items() if key != "__metadata__"}
        self._bytes = memoryview(data)[start:]

    def __enter__(self) -> SafeOpen:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def keys(self) -> Iterable[str]:
        return self._entries.keys()

    def get_tensor(self, key: str) -> Any:
        import torch

        entry = self._entries[key]
        if entry["dtype"] not in _TYPES:
            raise SafetensorError(f"{key} has the type {entry['dtype']}, which is not read here")
        first, last = entry["data_offsets"]
        kind = getattr(torch, _TYPES[entry["dtype"]])
        flat = torch.frombuffer(bytearray(self._bytes[first:last]), dtype=kind) if last > first else torch.empty(0)
        return flat.reshape(entry["shape"])
