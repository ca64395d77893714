"""A checkpoint of someone else's as a prior: recognised, checked tensor by tensor, written as safetensors and config.json.

Nothing is guessed in silence and nothing is left to chance: a missing, unexpected or misshapen tensor ends it, and what
the weights cannot say (the noise schedule, the widths of attention heads) is written into the prior's notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .checkpoint_file import Checkpoint, read_checkpoint, sha256
from .config import CONFIG, UNKNOWN_LICENCE, PriorConfig
from .error import PriorError
from .file_kind import kind_of
from .from_diffusers import download, is_hub_name, is_pipeline, read_pipeline, today_name
from .from_onnx import save_graph
from .networks.recognise import recognise
from .noise_schedule import NoiseSchedule, as_schedule
from .saving import save_weights
from .store import network_of
from .weights_file import check_tensors, stored_type

# Those whose numbers follow from the weights or are always the same.
PRECONDITIONINGS = ("edm", "vp", "ve", "iddpm")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the user says about a checkpoint; None where the checkpoint is to tell.

    prediction, schedule, timestep, value_range, channels, multiple: as in `PriorConfig`.
    key:         the entry of the file that holds the weights.
    class_label: the class of all pictures, for a class-conditional network.
    preconditioning: "edm", "vp", "ve" or "iddpm", for networks of guided-diffusion and EDM, whose weights do not tell.
    heads:       attention heads of every block of a guided-diffusion network, whose weights do not tell either.
    """

    name: str | None = None
    licence: str = UNKNOWN_LICENCE
    prediction: str | None = None
    schedule: NoiseSchedule | str | Mapping[str, Any] | None = None
    timestep: str | None = None
    value_range: tuple[float, float] = (-1.0, 1.0)
    channels: int | None = None
    multiple: int | None = None
    key: str | None = None
    class_label: int | None = None
    preconditioning: str | None = None
    heads: int | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """folder, config: the prior.  parameters: their number.  assumed, left_out: what the user should know."""

    folder: Path
    config: PriorConfig
    parameters: int
    assumed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def convert(
    source: str | Path,
    folder: Path,
    facts: Facts | None = None,
    *,
    half: bool = False,
    graph: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Write `source` as a prior into `folder`.

    source: a .pt, .pth, .ckpt or .safetensors file, an .onnx file, a folder of a diffusers pipeline, or its name on the hub.
    half:   store weights as float16.  graph: make the ONNX graph now, not when it is first needed.
    overwrite: replace a prior that is in `folder`.
    Raises PriorError naming the file, what is wrong with it and what to do; ImportError where an extra is missing.
    """
    facts = facts or Facts()
    if (folder / CONFIG).exists() and not overwrite:
        raise PriorError(f"{folder} holds a prior already; choose another folder, or replace it (--overwrite)")
    if folder.exists() and not folder.is_dir():
        raise PriorError(f"{folder} is a file; a prior is written into a folder")
    path = Path(source)
    if isinstance(source, str) and is_hub_name(source):
        path = download(source)
    try:
        if is_pipeline(path):
            return _from_pipeline(path, str(source), folder, facts, half, graph)
        if kind_of(path) == "onnx":
            return _from_graph(path, folder, facts, half)
        return _from_checkpoint(path, folder, facts, half, graph)
    except OSError as error:
        raise PriorError(f"the prior could not be written to {folder}: {error.strerror or error}") from error


def _from_checkpoint(path: Path, folder: Path, facts: Facts, half: bool, graph: bool) -> Converted:
    _refuse(path, "a checkpoint of a known network", facts, "channels", "multiple")
    if facts.prediction is None and facts.schedule is None:
        _refuse(path, "a checkpoint with its usual preconditioning", facts, "timestep")
    checkpoint = read_checkpoint(path, key=facts.key)
    shapes = {key: tuple(value.shape) for key, value in checkpoint.weights.items()}
    try:
        stated = {"kind": _known(facts.preconditioning)} if facts.preconditioning else None
        found = recognise(shapes, class_label=facts.class_label, preconditioning=stated, heads=facts.heads)
    except ValueError as error:
        raise PriorError(f"{path}: {error}") from None
    architecture, prefix, prediction, schedule = found.architecture, "", "denoised", None
    if facts.prediction is not None or facts.schedule is not None:
        architecture, prefix = _bare(path, found.architecture, facts), "network."
        prediction, schedule = facts.prediction or "epsilon", as_schedule(facts.schedule or "linear").to_settings()
    assumed = tuple(words for words in found.assumed if schedule is None or not words.startswith("preconditioning"))
    network = network_of(path, architecture, found.settings)
    config = PriorConfig(
        name=facts.name or path.stem,
        architecture=architecture,
        settings=found.settings,
        channels=_number(network, "channels"),
        multiple=_number(network, "multiple"),
        licence=facts.licence,
        notes={"assumed": "; ".join(assumed)} if assumed else {},
        files={},
        prediction=prediction,
        schedule=schedule,
        timestep=facts.timestep or "interpolated",
        value_range=facts.value_range,
        source=_source(path, checkpoint),
    )
    names = {key: found.module_key(key) for key in shapes}
    weights = {name.removeprefix(prefix): checkpoint.weights[key] for key, name in names.items() if name is not None}
    left_out = (*checkpoint.left_out, *(key for key, name in names.items() if name is None))
    return _save(path, folder, config, weights, network, half, graph, assumed, left_out)


def _from_pipeline(path: Path, source: str, folder: Path, facts: Facts, half: bool, graph: bool) -> Converted:
    _refuse(
        path, "a diffusers pipeline", facts, "channels", "multiple", "key", "class_label", "preconditioning", "heads"
    )
    pipeline = read_pipeline(path)
    checkpoint = read_checkpoint(pipeline.weights)
    config = PriorConfig(
        name=facts.name or Path(source).name,
        architecture="diffusers-unet2d",
        settings=pipeline.settings,
        channels=pipeline.channels,
        multiple=pipeline.multiple,
        licence=facts.licence,
        notes={},
        files={},
        prediction=facts.prediction or pipeline.prediction,
        schedule=(as_schedule(facts.schedule) if facts.schedule else pipeline.schedule).to_settings(),
        timestep=facts.timestep or "interpolated",
        value_range=facts.value_range,
        source=_source(pipeline.weights, checkpoint),
    )
    weights = {today_name(key): value for key, value in checkpoint.weights.items()}
    network = network_of(path / "unet" / CONFIG, config.architecture, config.settings)
    return _save(pipeline.weights, folder, config, weights, network, half, graph, (), checkpoint.left_out)


def _from_graph(path: Path, folder: Path, facts: Facts, half: bool) -> Converted:
    if half:
        raise PriorError("an ONNX graph keeps its weights as they are; leave out --half")
    _refuse(path, "an ONNX graph", facts, "key", "class_label", "preconditioning", "heads")
    if facts.prediction is None:
        raise PriorError(
            f"{path}: say what the graph answers: prediction epsilon, v, sample or denoised (--prediction)"
        )
    source = {"file": path.name, "sha256": sha256(path), "kind": "onnx"}
    config = save_graph(
        path,
        folder,
        name=facts.name or path.stem,
        licence=facts.licence,
        prediction=facts.prediction,
        schedule=facts.schedule,
        timestep=facts.timestep,
        value_range=facts.value_range,
        channels=facts.channels,
        multiple=facts.multiple,
        source=source,
    )
    return Converted(folder, config, 0)


def _refuse(path: Path, kind: str, facts: Facts, *names: str) -> None:
    """Raise PriorError where one of these was given: what would be ignored is a misunderstanding."""
    given = {name: value for name in names if (value := getattr(facts, name)) is not None}
    if given:
        told = ", ".join(f"{name}={value!r} (--{name.replace('_', '-')})" for name, value in given.items())
        raise PriorError(f"{path} is {kind}, which tells that itself or has no use for it; leave out {told}")


def _known(preconditioning: str) -> str:
    if preconditioning not in PRECONDITIONINGS:
        raise ValueError(
            f"preconditioning must be one of {', '.join(PRECONDITIONINGS)}, got {preconditioning!r}; a network that was "
            "trained otherwise is described by its prediction and schedule"
        )
    return preconditioning


def _bare(path: Path, architecture: str, facts: Facts) -> str:
    """The architecture of the network without the preconditioning that is taken for granted."""
    if facts.prediction == "denoised" or facts.preconditioning is not None:
        raise PriorError(
            f"{path} holds a network of the kind {architecture!r}: state its preconditioning, or its prediction (epsilon, "
            "v, sample) with a schedule, not both"
        )
    return f"{architecture}-network"


def _save(
    path: Path,
    folder: Path,
    config: PriorConfig,
    weights: Mapping[str, Tensor],
    network: nn.Module,
    half: bool,
    graph: bool,
    assumed: tuple[str, ...],
    left_out: tuple[str, ...],
) -> Converted:
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    check_tensors(str(path), {key: value.to("meta", stored_type(value)) for key, value in weights.items()}, expected)
    written = save_weights(folder, config, weights, half=half, graph=graph)
    return Converted(folder, written, sum(value.numel() for value in weights.values()), assumed, left_out)


def _number(network: nn.Module, fact: str) -> int:
    value = getattr(network, fact)
    if not isinstance(value, int):
        raise TypeError(f"{type(network).__name__}.{fact} must be a whole number, got {value!r}")
    return value


def _source(path: Path, checkpoint: Checkpoint) -> dict[str, str]:
    entry = {"entry": checkpoint.taken} if checkpoint.taken else {}
    return {"file": path.name, "sha256": checkpoint.sha256, "kind": checkpoint.kind, **entry}
