"""config.json of a prior: what the network is, what it takes and returns, its licence, and its files' digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS, GRAPH = "config.json", "weights.safetensors", "model.onnx"
_FORMAT = 1


class PriorError(ValueError):
    """A prior that cannot be used, with the file, what is wrong with it, and what to do."""


@dataclass(frozen=True, slots=True)
class PriorConfig:
    """What config.json says.

    name:         short name, shown in statistics.
    architecture: a key of `architectures.ARCHITECTURES`; settings: what its builder is given.
    channels:     C of the pictures.  multiple: what the network's H and W must be divisible by.
    licence:      SPDX identifier of the weights' licence.
    notes:        free text about data, training and limits.
    files:        SHA-256 of every other file of the prior, by name.

    Always so, and written out for other readers: pictures in [-1, 1], sigma in the same units, x = clean + sigma *
    noise, and the network's answer is the clean picture ("prediction": "denoised").
    """

    name: str
    architecture: str
    settings: Mapping[str, Any]
    channels: int
    multiple: int
    licence: str
    notes: Mapping[str, str]
    files: Mapping[str, str]

    def to_json(self) -> str:
        facts = {
            "format": _FORMAT,
            "name": self.name,
            "architecture": self.architecture,
            "settings": dict(self.settings),
            "channels": self.channels,
            "multiple": self.multiple,
            "prediction": "denoised",
            "value_range": [-1, 1],
            "licence": self.licence,
            "notes": dict(self.notes),
            "files": dict(self.files),
        }
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def read_config(path: Path) -> PriorConfig:
    """Parse and check config.json. Raises PriorError naming the field and its value."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PriorError(f"{path} does not exist; a prior is a folder with {CONFIG}, {WEIGHTS} and {GRAPH}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PriorError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(facts, dict):
        raise PriorError(f"{path} must hold a JSON object, got {type(facts).__name__}")

    def field(key: str, kind: type) -> Any:
        value = facts.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise PriorError(f"{path}: {key!r} must be of type {kind.__name__}, got {value!r}")
        return value

    for key, known in (("format", _FORMAT), ("prediction", "denoised"), ("value_range", [-1, 1])):
        if facts.get(key) != known:
            raise PriorError(f"{path}: {key!r} is {facts.get(key)!r}; this version of lmaps reads only {known!r}")
    for key in ("channels", "multiple"):
        if not 1 <= field(key, int) <= 4096:
            raise PriorError(f"{path}: {key!r} must lie in 1 .. 4096, got {facts[key]}")
    for key in ("notes", "files"):
        if bad := [k for k, v in field(key, dict).items() if not isinstance(v, str)]:
            raise PriorError(f"{path}: {key!r} must map names to text; {bad} do not")
    if missing := {WEIGHTS, GRAPH} - facts["files"].keys():
        raise PriorError(f"{path}: 'files' has no digest of {', '.join(sorted(missing))}")
    return PriorConfig(
        name=field("name", str),
        architecture=field("architecture", str),
        settings=field("settings", dict),
        channels=facts["channels"],
        multiple=facts["multiple"],
        licence=field("licence", str),
        notes=facts["notes"],
        files=facts["files"],
    )
