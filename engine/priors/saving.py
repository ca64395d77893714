"""Writing a prior's folder: made and checked aside, then moved in, config.json last.

A reader that comes in between sees digests that do not match, never a wrong network. Other files of the folder are left
alone.

The weights are stored once. model.onnx, where there is one, holds only the graph: its weights are external data that
point into weights.safetensors by offset, so torch, ONNX Runtime and OpenVINO all read the same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from ...export.digest import of_file
from ...export.onnx import export_onnx
from .architectures import edm_unet_settings, unet_config
from .config import CONFIG, GRAPH, WEIGHTS, PriorConfig, read_config
from .edm import EDMDenoiser
from .meta import fill
from .store import as_denoiser, skeleton, verify, weight_names
from .weights_file import load_weights, slices, write_weights


def save_prior(
    folder: Path,
    denoiser: EDMDenoiser,
    *,
    name: str,
    licence: str,
    notes: dict[str, str],
    preset: str | None = None,
) -> None:
    """Write `denoiser` (float32, trained) as a prior into `folder`, which may exist: float16 weights, and the graph.

    preset: the settings that fit it (see `PriorConfig`).
    The graph is checked against the network with the rounded weights. Raises PriorError for weights that are not finite
    or too large for float16, ExportError where the graph disagrees with the network, ImportError without the extra
    "onnx".
    """
    shape = unet_config(denoiser)
    config = PriorConfig(
        name=name,
        architecture="edm-unet",
        settings=edm_unet_settings(denoiser),
        channels=shape.image_channels,
        multiple=shape.multiple,
        licence=licence,
        notes=notes,
        files={},
        preset=preset,
    )
    save_weights(folder, config, denoiser.state_dict(), half=True, graph=True)


def save_weights(
    folder: Path, config: PriorConfig, weights: Mapping[str, Tensor], *, half: bool = False, graph: bool = False
) -> PriorConfig:
    """Write a prior of `weights`, named and shaped as the network of `config` wants them; `files` is filled in here.

    half: store float16.  graph: make model.onnx too, which needs the network in memory.
    """
    with staged(folder) as staging:
        facts = {"name": config.name, "architecture": config.architecture, "licence": config.licence}
        files = {WEIGHTS: write_weights(staging / WEIGHTS, weights, metadata=facts, half=half)}
        if graph:
            export_graph(staging, config)
            files[GRAPH] = of_file(staging / GRAPH)
        return finish(staging, folder, replace(config, files=files))


def export_graph(folder: Path, config: PriorConfig, weights: Path | None = None) -> None:
    """Make model.onnx in `folder`, its weights in the file weights.safetensors that lies there already."""
    network = fill(skeleton(folder / CONFIG, config), load_weights(weights or folder / WEIGHTS))
    denoiser: nn.Module = as_denoiser(network, config)
    names = weight_names(network, denoiser)
    places = {names[key]: place for key, place in slices(folder / WEIGHTS).items()}
    export_onnx(denoiser, folder / GRAPH, channels=config.channels, multiple=config.multiple, external=places)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder beside the files of `folder`, gone in the end; `folder`, too, where it was made and is still empty."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as name:
            yield Path(name)
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def finish(staging: Path, folder: Path, config: PriorConfig) -> PriorConfig:
    """Write config.json, check the whole prior in `staging` as a reader would, and move it into `folder`."""
    (staging / CONFIG).write_text(config.to_json(), encoding="utf-8")
    verify(staging, read_config(staging / CONFIG))
    for file in (*config.files, CONFIG):
        os.chmod(staging / file, 0o644)
        os.replace(staging / file, folder / file)
    for file in {WEIGHTS, GRAPH} - config.files.keys():  # of a prior that was here before
        (folder / file).unlink(missing_ok=True)
    return config
