"""Which files an ONNX graph reads besides itself, found without parsing the graph for real.

A graph may keep tensors in other files ("external data") and name them by any path, so a graph from a stranger could
make a run time read any file of the machine. `check_external_data` is called before a graph is handed to a run time. It
walks the protobuf wire format directly: the package `onnx` is not needed, and tensors are skipped, not read.

Source of the field numbers: onnx.proto of ONNX 1.x (they never change within a major version).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Iterator
from pathlib import Path

# For each message, the fields that can lead to a tensor: {message: {field number: message of the field}}.
_FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
_DEEPEST = 64
_KEY = b"location"


class GraphError(ValueError):
    """An ONNX file that is damaged, or that reaches for files it must not read."""


def external_files(path: Path) -> set[str]:
    """Locations of all external data of the graph at `path`, as written in it. Raises GraphError for a damaged file."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise GraphError(f"{path} is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return set(_locations(data, 0, len(data), "Model", 0))
    except _WireError as error:
        raise GraphError(f"{path} is not an ONNX file, or it is damaged: {error}") from None


def check_external_data(path: Path, allowed: Collection[str] | None = None) -> set[str]:
    """`external_files`, or GraphError unless every one lies inside the graph's own folder.

    allowed: where given, only these locations may be named; used when the files' digests were checked beforehand.
    """
    folder, locations = path.parent.resolve(), external_files(path)
    for location in sorted(locations):
        if allowed is not None and location not in allowed:
            raise GraphError(f"{path} reads {location!r}; only {', '.join(sorted(allowed))} may be read beside it")
        target = folder / location
        inside = not os.path.isabs(location) and target.resolve().is_relative_to(folder)
        if not inside or ".." in Path(location).parts:
            raise GraphError(f"{path} reads {location!r}, which lies outside its folder; the graph is refused")
        if not target.is_file():
            raise GraphError(f"{path} needs {location!r} beside it, and there is no such file")
    return locations


class _WireError(Exception):
    pass


def _locations(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise _WireError(f"nested deeper than {_DEEPEST} levels")
    for field, low, high in _fields(data, start, end):
        inner = _FIELDS[message].get(field)
        if inner == "Entry":
            entry = {number: data[a:b] for number, a, b in _fields(data, low, high)}
            if entry.get(1) == _KEY:
                yield entry.get(2, b"").decode("utf-8", "surrogateescape")
        elif inner == "Node" and data.find(_KEY, low, high) < 0:
            continue  # most nodes, and most of the time that a walk would take
        elif inner is not None:
            yield from _locations(data, low, high, inner, depth + 1)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, first byte, past last byte) of each length-delimited field; the others are stepped over."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(data, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(data, at, end)
            if size > end - at:
                raise _WireError(f"a field of {size} bytes at byte {at} runs past the end")
            yield tag >> 3, at, at + size
            at += size
        else:
            raise _WireError(f"unknown wire type {kind} before byte {at}")
    if at != end:
        raise _WireError("the last field is cut off")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _WireError("the file ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _WireError(f"a number of more than ten bytes before byte {at}")
