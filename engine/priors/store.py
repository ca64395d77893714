"""Reading a prior's folder: config.json, weights.safetensors and, where it was made beforehand, model.onnx.

Every file is checked against the digest in config.json before it is used, and every tensor against the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...export.digest import of_file
from ...export.external_data import GraphError, check_external_data
from .architectures import ARCHITECTURES, BARE
from .config import CONFIG, GRAPH, ONNX, WEIGHTS, PriorConfig
from .error import PriorError
from .meta import fill, without_weights
from .noise_schedule import NoiseSchedule
from .prediction import FromPrediction, FromRange
from .weights_file import check_finite, check_tensors, load_weights, read_weights


def verify(folder: Path, config: PriorConfig) -> None:
    """Check every file of a prior without building the network: digests, tensor names and shapes, finite values.

    Raises PriorError naming the file, what is wrong and what to do.
    """
    check_digests(folder, config)
    if config.architecture != ONNX:
        expected = {key: tuple(value.shape) for key, value in skeleton(folder / CONFIG, config).state_dict().items()}
        check_tensors(str(folder / WEIGHTS), read_weights(folder / WEIGHTS), expected)
        check_finite(folder / WEIGHTS)
    if GRAPH in config.files:
        try:
            check_external_data(folder / GRAPH, allowed=config.files.keys() - {GRAPH})
        except GraphError as error:
            raise PriorError(str(error)) from None


def check_digests(folder: Path, config: PriorConfig) -> None:
    """Raise PriorError unless every file still is the one config.json was written for. About 1 s a gigabyte."""
    for file, digest in config.files.items():
        path = folder / file
        if Path(file).name != file or not path.is_file():
            raise PriorError(f"{path} is missing; get the prior's folder anew")
        if (found := of_file(path)) != digest:
            raise PriorError(
                f"{path} is not the file that {CONFIG} describes (SHA-256 {found[:12]}..., expected {digest[:12]}...): "
                "damaged, cut off, edited, or a Git LFS pointer; get the prior's folder anew"
            )


def build_module(folder: Path, config: PriorConfig) -> nn.Module:
    """The prior as one module (x, sigma) -> denoised: float32, on the CPU, in evaluation mode, its parameters frozen.

    The weights are in memory once.
    """
    check_digests(folder, config)
    return assemble(config, load_weights(folder / WEIGHTS))


def assemble(config: PriorConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    """`build_module` from weights at hand, which become the module's own: float32, finite, with the right names."""
    network = fill(skeleton(Path(CONFIG), config), weights)
    return as_denoiser(network, config).eval().requires_grad_(False)


def as_denoiser(network: nn.Module, config: PriorConfig, *, whole_steps: bool = False) -> nn.Module:
    """What `config` says has to stand around a network to make it (x, sigma) -> denoised in [-1, 1]."""
    if config.schedule is not None:
        network = FromPrediction(
            network,
            config.prediction,
            NoiseSchedule.from_settings(config.schedule),
            channels=config.channels,
            timestep=config.timestep,
            whole_steps=whole_steps,
        )
    return network if config.value_range == (-1, 1) else FromRange(network, config.value_range)


def skeleton(origin: Path, config: PriorConfig) -> nn.Module:
    """The network without weights, for the names and shapes of its parameters. `origin` is named in errors."""
    network = network_of(origin, config.architecture, config.settings)
    if (config.architecture in BARE) != (config.prediction != "denoised"):
        raise PriorError(f"{origin}: prediction {config.prediction!r} cannot be that of {config.architecture!r}")
    for fact in ("channels", "multiple"):
        if (built := getattr(network, fact, None)) not in (None, getattr(config, fact)):
            raise PriorError(f"{origin}: {fact!r} is {getattr(config, fact)}, and the network's is {built}")
    return network


def network_of(origin: Path, architecture: str, settings: Mapping[str, Any]) -> nn.Module:
    """`skeleton` before there is a whole config."""
    builder = ARCHITECTURES.get(architecture)
    if builder is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise PriorError(f"{origin}: unknown architecture {architecture!r}; known are {known}")
    try:
        return without_weights(lambda: builder(settings))
    except PriorError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RuntimeError) as error:
        raise PriorError(f"{origin}: the settings do not fit {architecture!r}: {error}") from None


def weight_names(network: nn.Module, denoiser: nn.Module) -> dict[str, str]:
    """Names in `denoiser.state_dict()` by names in `network.state_dict()`, for a denoiser made around the network."""
    prefix = next(name for name, module in denoiser.named_modules() if module is network)
    return {key: f"{prefix}.{key}" if prefix else key for key in network.state_dict()}
