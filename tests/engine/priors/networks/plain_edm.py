"""EDM's U-Nets, read straight off a dictionary of weights: what to do follows from their names alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .plain import (
    Weights,
    attention,
    conv,
    doubled,
    filtered_double,
    filtered_half,
    group_norm,
    halved,
    linear,
    silu,
)


def dhariwal(weights: Weights, x: Tensor, c_noise: Tensor, label: int = -1) -> Tensor:
    half = weights["map_layer0.weight"].shape[1] // 2
    angle = torch.stack([c_noise * 10000 ** (-i / half) for i in range(half)], dim=1)
    emb = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
    emb = linear(silu(linear(emb, weights, "map_layer0")), weights, "map_layer1")
    if label >= 0:
        one_hot = torch.eye(weights["map_label.weight"].shape[1], dtype=x.dtype)[label]
        emb = emb + linear(one_hot, weights, "map_label")
    x = _body(weights, x, silu(emb), song=False)
    return conv(silu(_norm(x, weights, "out_norm", 1e-5)), weights, "out_conv")


def song(weights: Weights, x: Tensor, c_noise: Tensor, label: int = -1) -> Tensor:
    half = weights["map_layer0.weight"].shape[1] // 2
    if "map_noise.freqs" in weights:
        angle = 2 * math.pi * torch.outer(c_noise, weights["map_noise.freqs"])
    else:
        angle = torch.stack([c_noise * 10000 ** (-i / (half - 1)) for i in range(half)], dim=1)
    emb = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
    if label >= 0:
        classes = weights["map_label.weight"].shape[1]
        emb = emb + linear(torch.eye(classes, dtype=x.dtype)[label] * math.sqrt(classes), weights, "map_label")
    emb = silu(linear(silu(linear(emb, weights, "map_layer0")), weights, "map_layer1"))
    x = _body(weights, x, emb, song=True)
    size = max(_sizes(weights))
    h = silu(_norm(x, weights, f"dec.{size}x{size}_aux_norm", 1e-6))
    return conv(h, weights, f"dec.{size}x{size}_aux_conv")


def block(weights: Weights, name: str, x: Tensor, emb: Tensor, *, song: bool, change: str = "") -> Tensor:
    eps, scale = (1e-6, math.sqrt(0.5)) if song else (1e-5, 1.0)
    h = _resampled(silu(_norm(x, weights, f"{name}.norm0", eps)), weights, f"{name}.conv0", change)
    h = conv(h, weights, f"{name}.conv0")
    modulation = linear(emb, weights, f"{name}.affine")[:, :, None, None]
    channels = h.shape[1]
    if song:
        h = _norm(h + modulation, weights, f"{name}.norm1", eps)
    else:
        h = _norm(h, weights, f"{name}.norm1", eps) * (1 + modulation[:, :channels]) + modulation[:, channels:]
    h = conv(silu(h), weights, f"{name}.conv1")
    x = _resampled(x, weights, f"{name}.skip", change)
    if f"{name}.skip.weight" in weights:
        x = conv(x, weights, f"{name}.skip")
    x = (h + x) * scale
    if f"{name}.qkv.weight" not in weights:
        return x
    b, c, high, wide = x.shape
    heads = 1 if song else c // 64
    d = c // heads
    qkv = conv(_norm(x, weights, f"{name}.norm2", eps), weights, f"{name}.qkv").reshape(b, 3 * c, high * wide)
    mixed = [attention(*(qkv[:, 3 * d * i + part : 3 * d * (i + 1) : 3] for part in range(3))) for i in range(heads)]
    return (x + conv(torch.cat(mixed, dim=1).reshape(x.shape), weights, f"{name}.proj")) * scale


def residual_picture(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Convolve over a border that is wide enough for the filter, then filter and take every second pixel."""
    taps, kernel = _taps(weights, name), weights[f"{name}.weight"]
    border = kernel.shape[-1] // 2 + (len(taps) - 1) // 2
    h = torch.nn.functional.conv2d(x, kernel, padding=border)
    return filtered_half(h, taps, 0) + weights[f"{name}.bias"].view(1, -1, 1, 1)


def _body(weights: Weights, x: Tensor, emb: Tensor, *, song: bool) -> Tensor:
    sizes, skips, picture = _sizes(weights), [], x
    for size in sizes:
        at = f"enc.{size}x{size}"
        if size == sizes[0]:
            x = conv(x, weights, f"{at}_conv")
            skips.append(x)
        else:
            x = block(weights, f"{at}_down", x, emb, song=song, change="down")
            if f"{at}_aux_residual.weight" in weights:
                x = picture = (x + residual_picture(weights, f"{at}_aux_residual", picture)) / math.sqrt(2)
            skips.append(x)
        for i in range(_blocks(weights, at)):
            x = block(weights, f"{at}_block{i}", x, emb, song=song)
            skips.append(x)
    for size in reversed(sizes):
        at = f"dec.{size}x{size}"
        if size == sizes[-1]:
            x = block(weights, f"{at}_in0", x, emb, song=song)
            x = block(weights, f"{at}_in1", x, emb, song=song)
        else:
            x = block(weights, f"{at}_up", x, emb, song=song, change="up")
        for i in range(_blocks(weights, at)):
            x = block(weights, f"{at}_block{i}", torch.cat([x, skips.pop()], dim=1), emb, song=song)
    assert not skips
    return x


def _norm(x: Tensor, weights: Weights, name: str, eps: float) -> Tensor:
    return group_norm(x, weights, name, min(32, x.shape[1] // 4), eps)


def _taps(weights: Weights, name: str) -> list[float]:
    return {2: [1.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[weights[f"{name}.resample_filter"].shape[-1]]


def _resampled(x: Tensor, weights: Weights, name: str, change: str) -> Tensor:
    if not change:
        return x
    taps = _taps(weights, name)
    if len(taps) == 2:
        return halved(x) if change == "down" else doubled(x)
    return filtered_half(x, taps, 1) if change == "down" else filtered_double(x, taps)


def _sizes(weights: Weights) -> list[int]:
    return sorted({int(key.split("x")[0].split(".")[1]) for key in weights if key.startswith("enc.")}, reverse=True)


def _blocks(weights: Weights, at: str) -> int:
    return len({key.split(".")[1] for key in weights if key.startswith(f"{at}_block")})
