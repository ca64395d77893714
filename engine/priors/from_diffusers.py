"""Pipelines of the diffusers library: a folder, or a name on its hub, with an unconditional `UNet2DModel`.

Only JSON files and tensors are read; no pipeline is built and no code comes from the folder. The network itself is
diffusers' own class, so that package is needed to run such a prior in torch (a graph made from it needs nothing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from .error import PriorError
from .noise_schedule import NoiseSchedule, as_schedule

EXTRA = 'pip install "lmaps-engine[diffusers]"'
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors", ".onnx")
_WEIGHTS = ("diffusion_pytorch_model", "diffusion_pytorch_model.fp16", "model")
_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v", "sample": "sample"}
_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled-linear", "squaredcos_cap_v2": "cosine"}
# Schedulers that describe the same discrete noise levels; others (flow matching, VE, EDM) mean something else by a step.
_SCHEDULERS = (
    *("DDPMScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDIMParallelScheduler", "PNDMScheduler"),
    *(
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "UniPCMultistepScheduler",
        "DEISMultistepScheduler",
    ),
)
# Names of the attention weights before diffusers 0.14.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(r"(.*attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """settings: of `build_unet2d`.  weights: the file.  prediction, schedule: as config.json names them."""

    settings: dict[str, Any]
    weights: Path
    prediction: str
    schedule: NoiseSchedule
    channels: int
    multiple: int


def build_unet2d(settings: Mapping[str, Any]) -> nn.Module:
    """The fields of a UNet2DModel's config.json. PriorError where diffusers is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise PriorError(
            f"this prior's network is a class of diffusers, which cannot be imported ({error}); {EXTRA}"
        ) from None
    network: nn.Module = diffusers.UNet2DModel(**settings)
    return network


def is_pipeline(path: Path) -> bool:
    """A folder as diffusers writes it: of a pipeline, or of a network alone with its scheduler."""
    return any((path / name).is_file() for name in ("model_index.json", "unet/config.json"))


def is_hub_name(name: str) -> bool:
    """ "owner/name", and nothing that could be a path here; a name that was mistyped is not looked up on the net."""
    path = Path(name)
    local = path.exists() or path.suffix in _FILES or path.parent.is_dir()
    return bool(_HUB_NAME.fullmatch(name)) and not local


def download(name: str) -> Path:
    """The folder of a pipeline on the hub, in the hub's own cache: its JSON files and tensors, nothing else."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise PriorError(
            f"{name!r} is fetched from the hub by diffusers, not installed here ({error}); {EXTRA}"
        ) from None
    try:
        folder = Path(
            snapshot_download(name, allow_patterns=["*.json", "unet/*.json", "scheduler/*.json", "*.safetensors"])
        )
        if _weights_in(_part(folder, "unet")) is None:
            folder = Path(snapshot_download(name, allow_patterns=["*.json", "*/*.json", "*.bin"]))
    except Exception as error:  # the network may fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PriorError(f"{name!r} is no file or folder here and cannot be fetched from the hub: {reason}") from None
    return folder


def read_pipeline(folder: Path) -> Pipeline:
    """What a pipeline's folder says. Raises PriorError naming the file, what does not fit, and what would."""
    index = _read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    if others := sorted({"vae", "vqvae", "text_encoder", "prior", "movq", "bert"} & index.keys()):
        raise PriorError(f"{folder} restores no pictures: its network works on the output of {', '.join(others)}")
    unet = _part(folder, "unet")
    facts = _read_json(unet / "config.json")
    _check_network(unet / "config.json", facts)
    rules = _read_json(_scheduler_file(folder))
    weights = _weights_in(unet)
    if weights is None:
        raise PriorError(f"{unet} has no weights: diffusion_pytorch_model.safetensors or .bin is expected")
    settings = {key: value for key, value in facts.items() if not key.startswith("_")}
    prediction = rules.get("prediction_type", "epsilon")
    if prediction not in _PREDICTIONS:
        raise PriorError(
            f"{_scheduler_file(folder)}: prediction_type {prediction!r}; known are {', '.join(_PREDICTIONS)}"
        )
    return Pipeline(
        settings=settings,
        weights=weights,
        prediction=_PREDICTIONS[prediction],
        schedule=_schedule(_scheduler_file(folder), rules),
        channels=facts.get("in_channels", 3),
        multiple=2 ** (len(facts.get("block_out_channels", range(4))) - 1),
    )


def today_name(key: str) -> str:
    """The name diffusers gives a weight now."""
    match = _OLD_NAME.fullmatch(key)
    return f"{match[1]}.{_OLD_ATTENTION[match[2]]}.{match[3]}" if match else key


def _check_network(path: Path, facts: Mapping[str, Any]) -> None:
    if (kind := facts.get("_class_name")) != "UNet2DModel":
        raise PriorError(f"{path} describes a {kind}; only the unconditional UNet2DModel restores pictures")
    if facts.get("class_embed_type") is not None or facts.get("num_class_embeds") is not None:
        raise PriorError(f"{path}: the network wants a class with each picture; only unconditional ones can be used")
    if (embedding := facts.get("time_embedding_type", "positional")) != "positional":
        raise PriorError(f"{path}: time_embedding_type {embedding!r} is not that of a DDPM (positional)")
    channels, out = facts.get("in_channels", 3), facts.get("out_channels", 3)
    if not isinstance(channels, int) or out not in (channels, 2 * channels):
        raise PriorError(f"{path}: out_channels {out!r} must be in_channels {channels!r}, or twice that (a variance)")


def _schedule(path: Path, rules: Mapping[str, Any]) -> NoiseSchedule:
    if (kind := rules.get("_class_name")) not in _SCHEDULERS:
        raise PriorError(f"{path} describes a {kind}; known are {', '.join(_SCHEDULERS[:2])} and others of that family")
    try:
        found = _betas(rules)
        if rules.get("rescale_betas_zero_snr"):
            root = np.sqrt(found.table())
            found = as_schedule(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2)
    except (ValueError, TypeError) as error:
        raise PriorError(f"{path}: {error}") from None
    return found


def _betas(rules: Mapping[str, Any]) -> NoiseSchedule:
    start, end = float(rules.get("beta_start", 1e-4)), float(rules.get("beta_end", 0.02))
    steps, kind = rules.get("num_train_timesteps", 1000), rules.get("beta_schedule", "linear")
    if (trained := rules.get("trained_betas")) is not None:
        return NoiseSchedule.from_betas(trained)
    if kind == "sigmoid":
        rise = 1 / (1 + np.exp(-np.linspace(-6, 6, steps)))
        return NoiseSchedule.from_betas((rise * (end - start) + start).tolist())
    if kind not in _SCHEDULES:
        raise ValueError(f"beta_schedule {kind!r}; known are {', '.join(_SCHEDULES)} and sigmoid")
    return NoiseSchedule(_SCHEDULES[kind], steps, start, end)


def _part(folder: Path, name: str) -> Path:
    """unet/ or scheduler/; early pipelines have everything in one folder."""
    return folder / name if (folder / name).is_dir() else folder


def _scheduler_file(folder: Path) -> Path:
    return _part(folder, "scheduler") / "scheduler_config.json"


def _weights_in(folder: Path) -> Path | None:
    names = [f"{stem}{suffix}" for suffix in (".safetensors", ".bin") for stem in _WEIGHTS]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PriorError(
            f"{path} does not exist; a pipeline has unet/config.json, scheduler/scheduler_config.json"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise PriorError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(facts, dict):
        raise PriorError(f"{path} must hold a JSON object, got {type(facts).__name__}")
    return facts
