"""Weights on disk: safetensors files, read by the safetensors package and written one tensor at a time.

The layout is 8 bytes with the header's length, the header (JSON: type, shape and place of every tensor), then the
tensors' bytes. The package's own writer makes a second copy of all weights in memory before it writes the first byte,
which a network of half a billion weights cannot afford; this one holds a tensor at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...export.onnx import Slice
from .error import PriorError

STORED = {torch.float32: "F32", torch.float16: "F16"}
_ONNX_TYPES = {"F32": 1, "F16": 10}
_LISTED = 8


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, mapped into memory. Raises PriorError where it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise PriorError(f"{path} is not a safetensors file, or it is damaged: {error}") from None


def load_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file as float32 in memory of their own, which no change of the file can reach.

    Never more than the weights and one tensor in memory. Raises PriorError for a damaged file.
    """
    return {key: value.to(torch.float32) for key, value in one_by_one(path)}


def one_by_one(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each tensor of a safetensors file, as stored, read and not mapped: mapped pages count as memory."""
    shapes = {key: (value.shape, value.dtype) for key, value in read_weights(path).items()}
    with path.open("rb") as file:
        for key, place in slices(path).items():
            shape, kind = shapes[key]
            value = torch.empty(shape, dtype=kind)
            file.seek(place.offset)
            if value.numel() and file.readinto(value.view(-1).numpy().view(np.uint8).data) != place.length:
                raise PriorError(f"{path} ends inside {key}; get it anew")
            yield key, value


def write_weights(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str], half: bool = False) -> str:
    """Write `tensors` to `path` and return the file's SHA-256. A tensor is read once and let go again.

    Float16 stays float16, everything else becomes float32. With `half`, matrices and kernels become float16; vectors
    (biases, scales of norms) stay: they are a thousandth of the size, and their rounding adds the same to every pixel.
    Raises PriorError naming the first tensor with a value that is not finite, or that float16 cannot hold.
    """
    kinds = {key: torch.float16 if half and value.ndim > 1 else stored_type(value) for key, value in tensors.items()}
    # Wider elements first: each tensor then starts at a multiple of its element size.
    order = sorted(tensors, key=lambda key: (-kinds[key].itemsize, key))
    header = _header({key: (kinds[key], tuple(tensors[key].shape)) for key in order}, metadata)
    digest = hashlib.sha256(header)
    with path.open("wb") as file:
        file.write(header)
        for key in order:
            data = _finite(key, tensors[key], kinds[key]).view(np.uint8).data
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def stored_type(value: Tensor) -> torch.dtype:
    """The type a weight is kept in: float16 as it is, bfloat16 and float64 as float32. Whole numbers are no weights."""
    wide = value.is_floating_point() and value.dtype != torch.float16
    return torch.float32 if wide else value.dtype


def slices(path: Path) -> dict[str, Slice]:
    """Where each tensor lies in a safetensors file, for ONNX graphs that read their weights from it."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    places = {}
    for key, entry in header.items():
        if key != "__metadata__":
            low, high = entry["data_offsets"]
            places[key] = Slice(path.name, 8 + size + low, high - low, _ONNX_TYPES[entry["dtype"]])
    return places


def check_tensors(origin: str, weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise PriorError unless `weights` has just the names and shapes of `expected`, stored as numbers a network takes.

    Values are not looked at.
    """
    faults = [f"missing {key}" for key in sorted(expected.keys() - weights.keys())]
    faults += [f"unexpected {key}" for key in sorted(weights.keys() - expected.keys())]
    for key in sorted(expected.keys() & weights.keys()):
        if tuple(weights[key].shape) != tuple(expected[key]):
            faults.append(f"{key} has shape {tuple(weights[key].shape)}, expected {tuple(expected[key])}")
        elif weights[key].dtype not in STORED:
            faults.append(f"{key} is stored as {weights[key].dtype}; float16 and float32 can be read")
    if faults:
        raise PriorError(f"{origin} does not hold this network's weights: {listed(faults)}")


def check_finite(path: Path) -> None:
    """Raise PriorError naming the tensors of a safetensors file with NaN or infinite values."""
    bad = [key for key, value in one_by_one(path) if not np.isfinite(value.numpy()).all()]
    if bad:
        raise PriorError(f"{path}: {listed(f'{key} has NaN or infinite values' for key in bad)}")


def listed(faults: Iterable[str]) -> str:
    """The first few, and how many more."""
    faults = list(faults)
    more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return "; ".join(faults[:_LISTED]) + more


def _header(entries: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    facts: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for key, (kind, shape) in entries.items():
        size = kind.itemsize * int(np.prod(shape, dtype=np.int64))
        facts[key] = {"dtype": STORED[kind], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(facts, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _finite(key: str, value: Tensor, kind: torch.dtype) -> np.ndarray:
    array: np.ndarray = value.detach().cpu().to(kind).contiguous().reshape(-1).numpy()
    if not np.isfinite(array).all():
        cause = "that are not finite" if not bool(torch.isfinite(value).all()) else "that float16 cannot hold"
        raise PriorError(f"{key} has values {cause}; nothing was written")
    return array
