"""config.json of a prior: what the network is, what it takes and returns, its licence, and its files' digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .error import PriorError
from .noise_schedule import NoiseSchedule
from .prediction import TIMESTEPS, check_prediction, check_range

CONFIG, WEIGHTS, GRAPH = "config.json", "weights.safetensors", "model.onnx"
# The architecture of priors without a torch network.
ONNX = "onnx"
UNKNOWN_LICENCE = "unknown: ask the authors"
_FORMAT, _LARGEST = 1, 4096


@dataclass(frozen=True, slots=True)
class PriorConfig:
    """What config.json says.

    name:         short name, shown in statistics.
    architecture: a key of `architectures.ARCHITECTURES`, whose builder is given `settings`; or "onnx", for a prior that
                  is a graph and nothing else.
    channels:     C of the pictures.  multiple: what the network's H and W must be divisible by.
    licence:      SPDX identifier of the weights' licence, or words.
    notes:        free text about data, training and limits.
    files:        SHA-256 of every other file of the prior, by name.
    prediction:   what the network answers: "denoised" (the clean picture at (x, sigma): nothing is put around it),
                  "epsilon", "v" or "sample", with the `schedule` it was trained on (see `NoiseSchedule.to_settings`).
    timestep:     "interpolated" or "nearest": how the schedule's step for a sigma is found.
    value_range:  lowest and highest value of the network's own pictures.
    size, batch:  the only H, W and B that a graph with fixed shapes takes; None where any will do.
    source:       where a converted prior comes from: file, SHA-256, kind.
    preset:       the preset that was tuned for it, which `preset="auto"` then takes; None for the paper's settings.

    Whatever the network was trained for, a prior speaks one language: pictures in [-1, 1], sigma in the same units,
    x = clean + sigma * noise, and the answer is the clean picture.
    """

    name: str
    architecture: str
    settings: Mapping[str, Any]
    channels: int
    multiple: int
    licence: str
    notes: Mapping[str, str]
    files: Mapping[str, str]
    prediction: str = "denoised"
    schedule: Mapping[str, Any] | None = None
    timestep: str = "interpolated"
    value_range: tuple[float, float] = (-1.0, 1.0)
    size: tuple[int, int] | None = None
    batch: int | None = None
    source: Mapping[str, str] = field(default_factory=dict)
    preset: str | None = None

    def __post_init__(self) -> None:
        for key in ("channels", "multiple"):
            if not 1 <= getattr(self, key) <= _LARGEST:
                raise ValueError(f"{key!r} must lie in 1 .. {_LARGEST}, got {getattr(self, key)}")
        check_prediction(self.prediction)
        check_range(self.value_range)
        if (self.schedule is None) != (self.prediction == "denoised"):
            raise ValueError(f"'prediction' {self.prediction!r} goes {_with(self.prediction)} a schedule")
        if self.schedule is not None:
            NoiseSchedule.from_settings(self.schedule)
        if self.timestep not in TIMESTEPS:
            raise ValueError(f"'timestep' must be {' or '.join(TIMESTEPS)}, got {self.timestep!r}")

    def to_json(self) -> str:
        facts: dict[str, Any] = {
            "format": _FORMAT,
            "name": self.name,
            "architecture": self.architecture,
            "settings": dict(self.settings),
            "channels": self.channels,
            "multiple": self.multiple,
            "prediction": self.prediction,
            "value_range": [int(v) if v == int(v) else v for v in self.value_range],
            "licence": self.licence,
            "notes": dict(self.notes),
            "files": dict(self.files),
        }
        if self.schedule is not None:
            facts |= {"schedule": dict(self.schedule), "timestep": self.timestep}
        if self.size is not None:
            facts["size"] = list(self.size)
        if self.batch is not None:
            facts["batch"] = self.batch
        if self.source:
            facts["source"] = dict(self.source)
        if self.preset is not None:
            facts["preset"] = self.preset
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def read_config(path: Path) -> PriorConfig:
    """Parse and check config.json. Raises PriorError naming the field and its value."""
    facts = _Facts(path, _read_json(path))
    if facts.get("format", int) != _FORMAT:
        raise PriorError(f"{path}: 'format' is {facts.get('format', int)}; this version of lmaps reads only {_FORMAT}")
    architecture, files = facts.get("architecture", str), facts.texts("files")
    if missing := ({GRAPH} if architecture == ONNX else {WEIGHTS}) - files.keys():
        raise PriorError(f"{path}: 'files' has no digest of {', '.join(sorted(missing))}")
    try:
        return PriorConfig(
            name=facts.get("name", str),
            architecture=architecture,
            settings=facts.get("settings", dict),
            channels=facts.get("channels", int),
            multiple=facts.get("multiple", int),
            licence=facts.get("licence", str),
            notes=facts.texts("notes"),
            files=files,
            prediction=facts.get("prediction", str),
            schedule=facts.get("schedule", dict, None),
            timestep=facts.get("timestep", str, "interpolated"),
            value_range=facts.pair("value_range", (int, float), (-1.0, 1.0)),
            size=facts.pair("size", (int,), None),
            batch=facts.get("batch", int, None),
            source=facts.texts("source", {}),
            preset=facts.get("preset", str, None),
        )
    except PriorError:
        raise
    except (ValueError, TypeError) as error:
        raise PriorError(f"{path}: {error}") from None


_MISSING: Any = object()


class _Facts:
    """Fields of the JSON object, by type."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path, self.facts = path, facts

    def get(self, key: str, kind: type, default: Any = _MISSING) -> Any:
        if default is not _MISSING and key not in self.facts:
            return default
        value = self.facts.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise PriorError(f"{self.path}: {key!r} must be of type {kind.__name__}, got {value!r}")
        return value

    def texts(self, key: str, default: Any = _MISSING) -> dict[str, str]:
        found: dict[str, str] = self.get(key, dict, default)
        if bad := [k for k, v in found.items() if not isinstance(v, str)]:
            raise PriorError(f"{self.path}: {key!r} must map names to text; {bad} do not")
        return found

    def pair(self, key: str, kinds: tuple[type, ...], default: Any) -> Any:
        value = self.get(key, list, None)
        if value is None:
            return default
        if len(value) != 2 or not all(isinstance(v, kinds) and not isinstance(v, bool) for v in value):
            raise PriorError(f"{self.path}: {key!r} must be two numbers, got {value!r}")
        return tuple(value)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PriorError(f"{path} does not exist; a prior is a folder with {CONFIG} and {WEIGHTS}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PriorError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(facts, dict):
        raise PriorError(f"{path} must hold a JSON object, got {type(facts).__name__}")
    return facts


def _with(prediction: str) -> str:
    return "without" if prediction == "denoised" else "with"
