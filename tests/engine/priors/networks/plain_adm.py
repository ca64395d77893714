"""guided-diffusion's U-Net, read straight off a dictionary of weights: what to do follows from their names alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plain import Weights, attention, conv, doubled, group_norm, halved, linear, silu


def adm(
    weights: Weights, x: Tensor, t: Tensor, *, heads: int | None, new_order: bool = False, label: int = -1
) -> Tensor:
    """heads: of every attention block; None for one per 64 channels."""
    half = weights["time_embed.0.weight"].shape[1] // 2
    angle = torch.stack([t * math.exp(-math.log(10000) * i / half) for i in range(half)], dim=1)
    emb = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
    emb = linear(silu(linear(emb, weights, "time_embed.0")), weights, "time_embed.2")
    if label >= 0:
        emb = emb + weights["label_emb.weight"][label]
    skips = []
    for i in range(_entries(weights, "input_blocks")):
        x = _stage(weights, f"input_blocks.{i}", x, emb, heads, new_order, down=_is_down(weights, i))
        skips.append(x)
    x = _stage(weights, "middle_block", x, emb, heads, new_order)
    for i in range(len(skips)):
        x = torch.cat([x, skips.pop()], dim=1)
        x = _stage(weights, f"output_blocks.{i}", x, emb, heads, new_order)
        if i not in _with_weights_up(weights) and skips and skips[-1].shape[2] == 2 * x.shape[2]:
            x = doubled(x)
    return conv(silu(group_norm(x, weights, "out.0", 32, 1e-5)), weights, "out.2")


def res_block(weights: Weights, name: str, x: Tensor, emb: Tensor, change: str = "") -> Tensor:
    h = silu(group_norm(x, weights, f"{name}.in_layers.0", 32, 1e-5))
    if change:
        h, x = (halved(h), halved(x)) if change == "down" else (doubled(h), doubled(x))
    h = conv(h, weights, f"{name}.in_layers.2")
    modulation = linear(silu(emb), weights, f"{name}.emb_layers.1")[:, :, None, None]
    channels = h.shape[1]
    if modulation.shape[1] == channels:
        h = group_norm(h + modulation, weights, f"{name}.out_layers.0", 32, 1e-5)
    else:
        h = group_norm(h, weights, f"{name}.out_layers.0", 32, 1e-5)
        h = h * (1 + modulation[:, :channels]) + modulation[:, channels:]
    h = conv(silu(h), weights, f"{name}.out_layers.3")
    return h + (conv(x, weights, f"{name}.skip_connection") if f"{name}.skip_connection.weight" in weights else x)


def attention_block(weights: Weights, name: str, x: Tensor, heads: int | None, new_order: bool) -> Tensor:
    b, c, h, w = x.shape
    heads = c // 64 if heads is None else heads
    d = c // heads
    flat = group_norm(x, weights, f"{name}.norm", 32, 1e-5).reshape(b, c, h * w)
    qkv = weights[f"{name}.qkv.weight"][:, :, 0] @ flat + weights[f"{name}.qkv.bias"][:, None]
    mixed = []
    for head in range(heads):
        starts = (
            [head * d + part * c for part in range(3)] if new_order else [(3 * head + part) * d for part in range(3)]
        )
        mixed.append(attention(*(qkv[:, start : start + d] for start in starts)))
    out = (
        weights[f"{name}.proj_out.weight"][:, :, 0] @ torch.cat(mixed, dim=1)
        + weights[f"{name}.proj_out.bias"][:, None]
    )
    return x + out.reshape(b, c, h, w)


def _stage(
    weights: Weights, name: str, x: Tensor, emb: Tensor, heads: int | None, new_order: bool, down: bool = False
) -> Tensor:
    if f"{name}.weight" in weights:
        return conv(x, weights, name)
    if f"{name}.0.weight" in weights:
        return conv(x, weights, f"{name}.0")
    k = 0
    while any(key.startswith(f"{name}.{k}.") for key in weights):
        layer = f"{name}.{k}"
        if f"{layer}.qkv.weight" in weights:
            x = attention_block(weights, layer, x, heads, new_order)
        elif f"{layer}.op.weight" in weights:
            x = conv(x, weights, f"{layer}.op", stride=2)
        elif f"{layer}.conv.weight" in weights:
            x = conv(doubled(x), weights, f"{layer}.conv")
        else:
            up = name.startswith("output") and k > 0
            x = res_block(weights, layer, x, emb, "up" if up else "down" if down else "")
        k += 1
    return halved(x) if k == 0 else x


def _entries(weights: Weights, group: str) -> int:
    return 1 + max(int(key.split(".")[1]) for key in weights if key.startswith(f"{group}."))


def _with_weights_up(weights: Weights) -> list[int]:
    """Output blocks that end in something with weights that doubles the picture."""
    found = set()
    for key in weights:
        part = key.split(".")
        if part[0] == "output_blocks" and part[2] != "0" and part[3] in ("in_layers", "conv"):
            found.add(int(part[1]))
    return sorted(found)


def _is_down(weights: Weights, index: int) -> bool:
    """A residual input block that halves: every (blocks + 1)-th, where the residual ups stand blocks + 1 apart."""
    ups = _with_weights_up(weights)
    return bool(ups) and index > 0 and index % (ups[0] + 1) == 0
