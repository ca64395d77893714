"""A prior on disk: a folder with config.json, weights.safetensors and model.onnx.

The weights are stored once, as float16. model.onnx holds only the graph: its weights are external data that point into
weights.safetensors by offset, so torch, ONNX Runtime and OpenVINO all read the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...export.external_data import GraphError, check_external_data
from ...export.onnx import Slice, export_onnx
from .architectures import ARCHITECTURES, edm_unet_settings, unet_config
from .config import CONFIG, GRAPH, WEIGHTS, PriorConfig, PriorError, read_config
from .edm import EDMDenoiser

_ONNX_FLOAT16 = 10


def save_prior(folder: Path, denoiser: EDMDenoiser, *, name: str, licence: str, notes: dict[str, str]) -> None:
    """Write `denoiser` (float32, trained) as a prior into `folder`, which may exist.

    Everything is made and checked aside first, the graph against the network with the rounded weights; then the files
    are moved in, config.json last. A reader that comes in between sees digests that do not match, never a wrong
    network. Other files of the folder are left alone. Raises PriorError for weights that are not finite or too large
    for float16, ExportError where the graph disagrees with the network, ImportError without the extra "onnx".
    """
    weights = _half_weights(denoiser)
    settings, shape = edm_unet_settings(denoiser), unet_config(denoiser)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as name_of_staging:
        staging = Path(name_of_staging)
        save_file(weights, staging / WEIGHTS, metadata={"name": name, "architecture": "edm-unet", "licence": licence})
        export_onnx(
            _with_weights("edm-unet", settings, weights),
            staging / GRAPH,
            channels=shape.image_channels,
            multiple=shape.multiple,
            external=_slices(staging / WEIGHTS),
        )
        config = PriorConfig(
            name=name,
            architecture="edm-unet",
            settings=settings,
            channels=shape.image_channels,
            multiple=shape.multiple,
            licence=licence,
            notes=notes,
            files={file: _sha256(staging / file) for file in (WEIGHTS, GRAPH)},
        )
        (staging / CONFIG).write_text(config.to_json(), encoding="utf-8")
        verify(staging, read_config(staging / CONFIG))
        for file in (WEIGHTS, GRAPH, CONFIG):
            os.chmod(staging / file, 0o644)
            os.replace(staging / file, folder / file)


def verify(folder: Path, config: PriorConfig) -> None:
    """Check every file of a prior without building the network: digests, tensor names and shapes, finite values.

    Raises PriorError naming the file, what is wrong and what to do.
    """
    check_digests(folder, config)
    expected = {key: tuple(value.shape) for key, value in _skeleton(folder, config).state_dict().items()}
    _check_tensors(folder / WEIGHTS, read_weights(folder / WEIGHTS), expected)
    try:
        check_external_data(folder / GRAPH, allowed={WEIGHTS})
    except GraphError as error:
        raise PriorError(str(error)) from None


def check_digests(folder: Path, config: PriorConfig) -> None:
    """Raise PriorError unless every file still is the one config.json was written for. About 15 ms for the photo prior."""
    for file, digest in config.files.items():
        path = folder / file
        if Path(file).name != file or not path.is_file():
            raise PriorError(f"{path} is missing; get the prior's folder anew")
        if (found := _sha256(path)) != digest:
            raise PriorError(
                f"{path} is not the file that {CONFIG} describes (SHA-256 {found[:12]}..., expected {digest[:12]}...): "
                "damaged, cut off, edited, or a Git LFS pointer; get the prior's folder anew"
            )


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises PriorError where it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise PriorError(f"{path} is not a safetensors file, or it is damaged: {error}") from None


def build_module(folder: Path, config: PriorConfig) -> nn.Module:
    """The prior's network in float32 on the CPU, in evaluation mode, its parameters frozen."""
    check_digests(folder, config)
    return _with_weights(config.architecture, config.settings, read_weights(folder / WEIGHTS))


def _skeleton(folder: Path, config: PriorConfig) -> nn.Module:
    """The network with the values it is born with, for the names and shapes of its parameters."""
    builder = ARCHITECTURES.get(config.architecture)
    if builder is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise PriorError(f"{folder / CONFIG}: unknown architecture {config.architecture!r}; known are {known}")
    try:
        return builder(config.settings)
    except (TypeError, ValueError, KeyError) as error:
        raise PriorError(f"{folder / CONFIG}: the settings do not fit {config.architecture!r}: {error}") from None


def _with_weights(architecture: str, settings: Any, weights: dict[str, Tensor]) -> nn.Module:
    module = ARCHITECTURES[architecture](settings)
    module.load_state_dict({key: value.float() for key, value in weights.items()})
    return module.eval().requires_grad_(False)


def _check_tensors(path: Path, weights: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> None:
    faults = [f"missing {key}" for key in sorted(expected.keys() - weights.keys())]
    faults += [f"unexpected {key}" for key in sorted(weights.keys() - expected.keys())]
    for key in sorted(expected.keys() & weights.keys()):
        if tuple(weights[key].shape) != expected[key]:
            faults.append(f"{key} has shape {tuple(weights[key].shape)}, expected {expected[key]}")
        elif weights[key].dtype not in (torch.float16, torch.float32):
            faults.append(f"{key} is stored as {weights[key].dtype}; float16 and float32 can be read")
        elif not np.isfinite(weights[key].numpy()).all():
            faults.append(f"{key} has NaN or infinite values")
    if faults:
        more = f" and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise PriorError(f"{path} does not hold this network's weights: {'; '.join(faults[:8])}{more}")


def _half_weights(denoiser: nn.Module) -> dict[str, Tensor]:
    weights = {}
    for key, value in denoiser.state_dict().items():
        weights[key] = value.detach().cpu().to(torch.float16).contiguous()
        if not np.isfinite(weights[key].numpy()).all():
            raise PriorError(f"{key} has values that are not finite or that float16 cannot hold; nothing was written")
    return weights


def _slices(path: Path) -> dict[str, Slice]:
    """Where each float16 tensor lies in a safetensors file: an 8-byte header size, a JSON header, then raw tensors."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    slices = {}
    for key, entry in header.items():
        if key != "__metadata__":
            low, high = entry["data_offsets"]
            slices[key] = Slice(path.name, 8 + size + low, high - low, _ONNX_FLOAT16)
    return slices


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
