"""Other people's checkpoints: what a file is, and the weights in it. Nothing in a file is ever run.

A .pt or .pth file is a Python pickle, and a pickle is a program. It is read by torch's restricted reader
(torch.load with weights_only=True), which knows tensors, numbers, text and containers and refuses the rest; there is no
way around it here. Tensors stay mapped to the file, so that reading costs no memory until a weight is used.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .error import PriorError
from .file_kind import code_in, kind_of
from .weights_file import listed, read_weights

# Entries under which training code keeps weights, best first: an average over the training run beats its last step.
CONTAINERS = ("ema", "params_ema", "ema_state_dict", "net", "state_dict", "model", "model_state_dict", "params")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """weights: by name, as stored, mapped to the file.  kind: "torch" or "safetensors".
    taken: the entry they were in, "" for the file itself.  left_out: other entries.  sha256: of the file.
    """

    path: Path
    weights: dict[str, Tensor]
    kind: str
    sha256: str
    taken: str = ""
    left_out: tuple[str, ...] = field(default=())


def read_checkpoint(path: Path, *, key: str | None = None) -> Checkpoint:
    """The weights in a .pt, .pth, .ckpt or .safetensors file.

    key: the entry that holds them, where the file has several; by default the first of `CONTAINERS` that is there.
    Raises PriorError saying what the file is, what is wrong with it and what to do.
    """
    kind = kind_of(path)
    digest = sha256(path)
    if kind == "safetensors":
        if key is not None:
            raise PriorError(f"{path} is a safetensors file, which has no entries to choose from; leave out the key")
        weights = read_weights(path)
        return Checkpoint(path, _checked(path, weights), "safetensors", digest)
    if kind != "torch":
        raise PriorError(f"{path} is {kind}, not a checkpoint of torch or a safetensors file")
    content = _load(path)
    weights, taken, left_out = _find_weights(path, content, key)
    return Checkpoint(path, _checked(path, weights), "torch", digest, taken, left_out)


def sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PriorError(f"{path} cannot be read: {error.strerror}") from None


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        # Files of torch before 1.6 are one long pickle, which cannot be mapped.
        mapped = file.read(2) == b"PK"
    try:
        with warnings.catch_warnings():  # of what torch thinks odd; the answer is in the result
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a stranger's bytes: the reader may stumble anywhere
        if wanted := code_in(path):
            raise PriorError(_needs_code(path, wanted)) from None
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise PriorError(
            f"{path} cannot be read as weights; it is cut off or damaged, get it anew ({reason})"
        ) from None


def _needs_code(path: Path, wanted: list[str]) -> str:
    edm = " NVIDIA's EDM pickles are of this kind." if any("persistence" in name for name in wanted) else ""
    return (
        f"{path} is a pickle that runs code when it is read: it asks for {listed(wanted)}. lmaps reads weights and "
        f"nothing else, for such a file can do anything to your machine.{edm} Where you trust the file and have the "
        "code it belongs to, write the weights alone: torch.save(network.state_dict(), 'weights.pt')"
    )


def _find_weights(path: Path, content: Any, key: str | None) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    if not isinstance(content, Mapping):
        raise PriorError(f"{path} holds a {type(content).__name__}, not weights by name (a state_dict)")
    if key is not None and key in content:
        return _named(path, content[key], key), key, _others(content, key)
    if key is not None:
        return _under(path, content, key)
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return _named(path, content, ""), "", ()
    for name in CONTAINERS:
        if isinstance(content.get(name), Mapping):
            return _named(path, content[name], name), name, _others(content, name)
    raise PriorError(
        f"{path} has no weights under any of {', '.join(CONTAINERS)}; it has {listed(map(repr, content)) or 'nothing'}. "
        "Name the entry that holds them with key (--key)"
    )


def _under(path: Path, content: Mapping[Any, Any], key: str) -> tuple[dict[str, Tensor], str, tuple[str, ...]]:
    """The weights whose names begin with `key` and a dot, where a file holds several networks side by side."""
    weights, taken, left_out = _find_weights(path, content, None)
    found = {name: value for name, value in weights.items() if name.startswith(f"{key}.")}
    if not found:
        entries = listed(map(repr, content)) or "nothing"
        raise PriorError(f"{path} has neither an entry {key!r} nor weights under that name; it has {entries}")
    return found, f"{taken}.{key}" if taken else key, (*left_out, *(name for name in weights if name not in found))


def _named(path: Path, weights: Any, key: str) -> dict[str, Tensor]:
    where = f"{path}, entry {key!r}," if key else str(path)
    if not isinstance(weights, Mapping) or not weights:
        raise PriorError(f"{where} does not hold weights by name (a state_dict) but a {type(weights).__name__}")
    strange = [
        repr(name) for name, value in weights.items() if not isinstance(name, str) or not isinstance(value, Tensor)
    ]
    if strange:
        raise PriorError(f"{where} holds things that are not weights: {listed(strange)}")
    return dict(weights)


def _others(content: Mapping[Any, Any], taken: str) -> tuple[str, ...]:
    return tuple(str(name) for name in content if name != taken)


def _checked(path: Path, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Refuse tensors that are no plain arrays, or that claim more bytes than the file has."""
    faults = []
    for key, value in weights.items():
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu" or value.is_complex():
            faults.append(f"{key} is not a plain array of numbers ({value.dtype}, {value.layout}, {value.device})")
    if faults:
        raise PriorError(f"{path}: {listed(faults)}")
    claimed, there = sum(value.numel() * value.element_size() for value in weights.values()), path.stat().st_size
    if claimed > there:
        raise PriorError(f"{path} claims {claimed} bytes of weights and has {there}: it is damaged, or made to do harm")
    return weights
