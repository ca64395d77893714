"""The operations of the reference implementations, written out: no module of lmaps, no fused call of torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]


def group_norm(x: Tensor, weights: Weights, name: str, groups: int, eps: float) -> Tensor:
    b, c, h, w = x.shape
    parts = x.reshape(b, groups, c // groups * h * w)
    centred = parts - parts.mean(dim=2, keepdim=True)
    normal = (centred / torch.sqrt((centred**2).mean(dim=2, keepdim=True) + eps)).reshape(b, c, h, w)
    return normal * weights[f"{name}.weight"].view(1, c, 1, 1) + weights[f"{name}.bias"].view(1, c, 1, 1)


def conv(x: Tensor, weights: Weights, name: str, stride: int = 1) -> Tensor:
    kernel = weights[f"{name}.weight"]
    return functional.conv2d(x, kernel, weights[f"{name}.bias"], stride=stride, padding=kernel.shape[-1] // 2)


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def halved(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head: [B, D, T] each."""
    scores = torch.einsum("bdt,bds->bts", q, k) / math.sqrt(q.shape[1])
    scores = torch.exp(scores - scores.amax(dim=2, keepdim=True))
    return torch.einsum("bts,bds->bdt", scores / scores.sum(dim=2, keepdim=True), v)


def filtered_half(x: Tensor, taps: list[float], border: int) -> Tensor:
    """Pad with zeros, correlate with the outer product of taps (sum one), keep every second pixel."""
    n, total = len(taps), sum(taps)
    x = functional.pad(x, [border] * 4)
    high, wide = (x.shape[2] - n) // 2 + 1, (x.shape[3] - n) // 2 + 1
    out = torch.zeros(*x.shape[:2], high, wide, dtype=x.dtype)
    for i in range(n):
        for j in range(n):
            piece = x[:, :, i : i + 2 * high : 2, j : j + 2 * wide : 2][:, :, :high, :wide]
            out += piece * (taps[i] * taps[j] / total**2)
    return out


def filtered_double(x: Tensor, taps: list[float]) -> Tensor:
    """Zeros between the pixels, then the same filter times 4: every pixel spreads over n x n places."""
    n, total, border = len(taps), sum(taps), (len(taps) - 1) // 2
    b, c, h, w = x.shape
    spread = torch.zeros(b, c, 2 * h + n, 2 * w + n, dtype=x.dtype)
    for i in range(n):
        for j in range(n):
            spread[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2] += x * (4 * taps[i] * taps[j] / total**2)
    return spread[:, :, border : border + 2 * h, border : border + 2 * w]
