"""Packages that a rented machine may lack, replaced as far as this bench needs them.

safetensors: the weights are read here. Pillow: imports succeed, and using it raises, so that the tasks which draw with it
(motion blur, JPEG) fail alone and the pictures are drawn instead of read.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

_TYPES = {"F32": "float32", "F16": "float16"}
_PILLOW = ("Image", "ImageDraw", "ImageFilter", "ImageFont", "JpegImagePlugin")


def install() -> list[str]:
    """Put in what is missing; returns the names of what was."""
    return [name for name, put in (("safetensors", _safetensors), ("PIL", _pillow)) if _missing(name) and put()]


def _missing(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return True
    return False


def _safetensors() -> bool:
    module = ModuleType("safetensors")
    module.__dict__.update(SafetensorError=SafetensorError, safe_open=SafeOpen)
    sys.modules["safetensors"] = module
    return True


def _pillow() -> bool:
    package = ModuleType("PIL")
    package.__path__ = []
    sys.modules["PIL"] = package
    for name in _PILLOW:
        part = _Absent(f"PIL.{name}")
        sys.modules[part.__name__] = part
        setattr(package, name, part)
    return True


class _Absent(ModuleType):
    """A module that is not there: looking for anything in it raises ImportError."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"{self.__name__}.{name} is needed, and Pillow is not installed")


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
        kind = getattr(torch, _TYPES[entry["dtype"]])
        first, last = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(self._bytes[first:last]), dtype=kind) if last > first else torch.empty(0)
        return flat.reshape(entry["shape"])
