"""Which network a checkpoint holds, from the names and shapes of its tensors alone; and the builders of those networks.

    found  = recognise({name: tuple(tensor.shape) for name, tensor in checkpoint.items()})
    module = ARCHITECTURES[found.architecture](found.settings)             # may be under torch.device("meta")
    module.load_state_dict({found.module_key(k): v for k, v in ...}, assign=True)

The module is the complete denoiser (x [B, C, H, W], sigma [B]) -> [B, C, H, W] in the alpha = 1 convention. Its
state_dict holds exactly the checkpoint's tensors: "network." in place of `key_prefix`, the names after it unchanged.
Tables that follow from the settings (frequencies, noise levels) are buffers outside the state_dict, made on the CPU
even under torch.device("meta"). `module.channels` is C, `module.multiple` what H and W must be divisible by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from .adm import ADM
from .adm_config import ADMConfig, Shapes, adm_config_from_weights
from .preconditioning import (
    LinearTimestep,
    NoiseEstimateDenoiser,
    TableTimestep,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What `recognise` found.

    architecture: a key of ARCHITECTURES.  settings: JSON-able; what its builder takes.
    key_prefix:   what stands before the network's own names in the checkpoint ("module.", "model._orig_mod.", "").
    ignored:      names of the checkpoint that the network computes itself.
    assumed:      what the weights do not say and `settings` takes for granted, in plain sentences for the user.
    """

    architecture: str
    settings: dict[str, Any]
    key_prefix: str
    ignored: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def module_key(self, key: str) -> str | None:
        """The name in the built module's state_dict of a tensor of the checkpoint; None where it is not needed.

        A name without the prefix is returned as it is, and the comparison of the two state_dicts will list it.
        """
        if key in self.ignored:
            return None
        return f"network.{key.removeprefix(self.key_prefix)}" if key.startswith(self.key_prefix) else key


def recognise(shapes: Shapes, *, class_label: int | None = None) -> Recognised:
    """The network whose checkpoint has these tensors (name -> shape).

    class_label: the class of all pictures, for a class-conditional network. Prefixes such as "module.", "model.",
    "_orig_mod." are found by themselves. Raises ValueError, which says what was looked for, where nothing is recognised
    and where the tensors of a recognised family do not fit together.
    """
    for anchor, family in _FAMILIES.items():
        prefixes = sorted({key[: -len(anchor)] for key in shapes if key == anchor or key.endswith(f".{anchor}")})
        if len(prefixes) > 1:
            raise ValueError(f"the checkpoint holds several networks, under {prefixes}; hand in one of them")
        if prefixes:
            prefix = prefixes[0]
            inner = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
            return family(inner, prefix, class_label)
    looked_for = " or ".join(f"{anchor!r} ({_NAMES[anchor]})" for anchor in _FAMILIES)
    raise ValueError(f"no known network: no tensor is named {looked_for}; there are {_some(shapes)}")


def _some(keys: Iterable[str]) -> str:
    names = sorted(keys)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "no tensors"


def build_adm(settings: Mapping[str, Any]) -> nn.Module:
    """{"network": fields of ADMConfig, "betas": ..., "timestep": "continuous" | "table", "class_label": n or None}.

    betas: {"kind": "linear" | "scaled_linear", "start": b, "end": b, "steps": T}, {"kind": "cosine", "steps": T}, or a
    list of T numbers. timestep: "table" is the exact inverse of the betas (`TableTimestep`), "continuous", for linear
    betas, the formula of DAPS and EDM (`LinearTimestep`).
    """
    config = ADMConfig(**_tuples(settings["network"]))
    network = ADM(config, settings.get("class_label"))
    denoiser = NoiseEstimateDenoiser(network, _timestep(settings["betas"], settings["timestep"]))
    return _described(denoiser, config.in_channels, config.multiple)


ARCHITECTURES: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {"adm": build_adm}


def _recognise_adm(shapes: Shapes, prefix: str, class_label: int | None) -> Recognised:
    published_64 = shapes.get("label_emb.weight", ()) == (1000, 768) and shapes["time_embed.0.weight"][1] == 192
    config = adm_config_from_weights(shapes, use_new_attention_order=published_64)
    betas: dict[str, Any] = {"kind": "linear", "start": 1e-4, "end": 0.02, "steps": 1000}
    if published_64:
        betas = {"kind": "cosine", "steps": 1000}
    settings = {
        "network": _lists(asdict(config)),
        "betas": betas,
        "timestep": "table" if published_64 else "continuous",
        "class_label": class_label,
    }
    assumed = (
        f"attention heads are {config.num_head_channels} channels wide",
        f"trained on {betas['steps']} steps with {betas['kind']} betas, to estimate the noise, timesteps not rescaled",
    )
    return Recognised("adm", settings, prefix, assumed=assumed)


_FAMILIES: dict[str, Callable[[Shapes, str, int | None], Recognised]] = {"time_embed.0.weight": _recognise_adm}
_NAMES = {"time_embed.0.weight": "guided-diffusion / ADM"}


def _timestep(betas: Any, kind: str) -> nn.Module:
    if kind == "continuous":
        if not isinstance(betas, Mapping) or betas["kind"] != "linear":
            raise ValueError(f"timestep 'continuous' is for linear betas; use 'table' for {betas!r}")
        steps = betas["steps"]
        return LinearTimestep(steps * betas["start"], steps * (betas["end"] - betas["start"]), steps)
    if kind != "table":
        raise ValueError(f"timestep must be 'continuous' or 'table', got {kind!r}")
    return TableTimestep(betas if not isinstance(betas, Mapping) else _betas(**betas))


def _betas(kind: str, **numbers: Any) -> list[float]:
    makers: dict[str, Callable[..., list[float]]] = {
        "linear": linear_betas,
        "scaled_linear": scaled_linear_betas,
        "cosine": cosine_betas,
    }
    if kind not in makers:
        raise ValueError(f"betas of kind {kind!r} are unknown; known are {', '.join(makers)}, or give the numbers")
    return makers[kind](**numbers)


def _described(denoiser: nn.Module, channels: int, multiple: int) -> nn.Module:
    denoiser.channels, denoiser.multiple = channels, multiple  # type: ignore[assignment]
    return denoiser


def _lists(facts: dict[str, Any]) -> dict[str, Any]:
    """As JSON would give it back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
