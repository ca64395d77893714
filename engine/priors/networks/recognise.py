"""Which network a checkpoint holds, from the names and shapes of its tensors alone.

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
from dataclasses import asdict, dataclass, replace
from typing import Any

from .adm_config import ADMConfig, Shapes, adm_config_from_weights
from .edm_config import DhariwalConfig, SongConfig, dhariwal_config_from_weights, song_config_from_weights

Config = ADMConfig | DhariwalConfig | SongConfig


@dataclass(frozen=True, slots=True)
class Recognised:
    """What `recognise` found.

    architecture: a key of ARCHITECTURES.  settings: JSON-able; what its builder takes.
    key_prefix:   what stands before the network's own names in the checkpoint ("module.", "model._orig_mod.", "").
    ignored:      names in the checkpoint of tables that the denoiser computes itself.
    assumed:      what the weights do not say and `settings` takes for granted, in plain sentences for the user.
    """

    architecture: str
    settings: dict[str, Any]
    key_prefix: str
    ignored: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def module_key(self, key: str) -> str | None:
        """The name in the built module's state_dict of a tensor of the checkpoint; None where it is not needed.

        A name without the prefix is returned as it is: the comparison of the two state_dicts will list it.
        """
        if key in self.ignored:
            return None
        return f"network.{key.removeprefix(self.key_prefix)}" if key.startswith(self.key_prefix) else key


@dataclass(frozen=True, slots=True)
class _Family:
    """anchor: a tensor that every such network has, and no family before it.

    find: from the shapes, and the number of attention heads if it was given, to the config, the usual preconditioning,
    and what had to be assumed.
    """

    architecture: str
    title: str
    anchor: str
    find: Callable[[Shapes, int | None], tuple[Config, dict[str, Any], list[str]]]


def recognise(
    shapes: Shapes,
    *,
    class_label: int | None = None,
    preconditioning: Mapping[str, Any] | None = None,
    heads: int | None = None,
) -> Recognised:
    """The network whose checkpoint has these tensors (name -> shape).

    class_label:     the class of all pictures. A class-conditional network cannot be built without it.
    preconditioning: as `ARCHITECTURES` takes it, where the assumed one is wrong; the weights do not tell.
    heads:           of every attention block of an ADM network, where the assumed number is wrong; the same.
    Prefixes such as "module.", "model.", "_orig_mod." are found by themselves. Raises ValueError, which says what was
    looked for, where nothing is recognised and where the tensors of a recognised family do not fit together.
    """
    for family in _FAMILIES:
        prefixes = sorted({key.removesuffix(family.anchor) for key in shapes if _ends_with(key, family.anchor)})
        if len(prefixes) > 1:
            raise ValueError(f"the checkpoint holds several networks, under {prefixes}; hand in one of them")
        if prefixes:
            prefix = prefixes[0]
            inner = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
            config, usual, assumed = family.find(inner, heads)
            return _filled(family, shapes, prefix, config, (usual, preconditioning), assumed, class_label)
    looked_for = ", ".join(f"{family.anchor!r} ({family.title})" for family in _FAMILIES)
    raise ValueError(f"no known network: looked for a tensor named {looked_for}; there are {_some(shapes)}")


def _ends_with(key: str, anchor: str) -> bool:
    return key == anchor or key.endswith(f".{anchor}")


def _some(keys: Iterable[str]) -> str:
    names = sorted(keys)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "no tensors at all"


def _filled(
    family: _Family,
    shapes: Shapes,
    prefix: str,
    config: Config,
    preconditioning: tuple[dict[str, Any], Mapping[str, Any] | None],
    assumed: list[str],
    class_label: int | None,
) -> Recognised:
    """preconditioning: the usual one, and the one that was given. The table of iDDPM, where there is one, tells."""
    usual, given = preconditioning
    table = f"{prefix.removesuffix('model.')}u"
    ignored = (table,) if table in shapes and len(shapes[table]) == 1 else ()
    if ignored:
        usual = {"kind": "iddpm", "steps": shapes[table][0] - 1}
    elif given is None:
        numbers = ", ".join(f"{key} = {value}" for key, value in usual.items() if key != "kind")
        assumed = [*assumed, f"preconditioning: {usual['kind']}" + (f" with {numbers}" if numbers else "")]
    settings = {
        "network": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(config).items()},
        "preconditioning": dict(usual if given is None else given),
        "class_label": class_label,
    }
    return Recognised(family.architecture, settings, prefix, ignored, tuple(assumed))


def _find_adm(shapes: Shapes, heads: int | None) -> tuple[Config, dict[str, Any], list[str]]:
    """Heads, their order and the betas as the published checkpoint of the same shape has them."""
    config = adm_config_from_weights(shapes)
    shape = (config.model_channels, config.num_res_blocks, config.channel_mult)
    usual: dict[str, Any] = {"kind": "vp"}
    if shape == (192, 3, (1, 2, 3, 4)):  # 64x64_diffusion.pt
        config = replace(config, use_new_attention_order=True)
        usual = {"kind": "ddpm", "betas": {"kind": "cosine", "steps": 1000}}
    elif shape == (256, 2, (1, 1, 2, 3, 4)) or not config.resblock_updown:  # 128x128_diffusion.pt; improved-diffusion
        config = replace(config, num_head_channels=None, num_heads=4)
    order = f"laid out by {'q, k, v' if config.use_new_attention_order else 'head'} first"
    if heads is not None:
        return replace(config, num_head_channels=None, num_heads=heads), usual, [f"attention heads: {order}"]
    number = "4 to a block" if config.num_head_channels is None else "64 channels each"
    return config, usual, [f"attention heads: {number}, {order}"]


def _find_dhariwal(shapes: Shapes, heads: int | None) -> tuple[Config, dict[str, Any], list[str]]:
    _refuse_heads(heads, "64 channels each")
    config = dhariwal_config_from_weights(shapes)
    learnt_variance = config.out_channels == 2 * config.in_channels
    return config, {"kind": "iddpm"} if learnt_variance else {"kind": "edm", "sigma_data": 0.5}, []


def _find_song(shapes: Shapes, heads: int | None) -> tuple[Config, dict[str, Any], list[str]]:
    """EDM's own checkpoints were trained with augmentation; those it re-keyed, and InverseBench's, without.

    The latter are VP for DDPM++ and VE for NCSN++.
    """
    _refuse_heads(heads, "one to a block")
    config = song_config_from_weights(shapes)
    if config.augment_dim:
        return config, {"kind": "edm", "sigma_data": 0.5}, []
    return config, {"kind": "ve"} if config.embedding_type == "fourier" else {"kind": "vp"}, []


def _refuse_heads(heads: int | None, known: str) -> None:
    if heads is not None:
        raise ValueError(f"heads = {heads} was given, but this family's attention heads are known: {known}")


_FAMILIES = (
    _Family("adm", "guided-diffusion / ADM", "time_embed.0.weight", _find_adm),
    _Family("dhariwal", "EDM's DhariwalUNet", "out_norm.weight", _find_dhariwal),
    _Family("song", "EDM's SongUNet", "map_layer0.weight", _find_song),
)
