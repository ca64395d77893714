"""Counter-based noise: Philox4x32-10 and Box-Muller, the plain twin of what the compiled kernels draw.

One number is a function of (seed, stream, step, index) and of nothing else, so an image gets the same noise alone or
in a batch, on a CPU or inside a captured GPU graph, whatever order the work is done in.

    key     = (low, high 32 bits of seed)
    counter = (index // 4, step, stream, 0)                         -> four 32-bit words w0 .. w3
    u_i     = ((w_i >> 8) + 1/2) / 2^24                             in (0, 1)
    n_0, n_1 = sqrt(-2 ln u_0) (cos, sin)(2 pi u_1);                n_2, n_3 likewise from u_2, u_3

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_MASK = 0xFFFFFFFF


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int | Tensor, int | Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 on int64 tensors that hold unsigned 32-bit words, and broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = _multiply(MULTIPLIERS[0], c0)
        high1, low1 = _multiply(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + WEYL[0]) & _MASK, (k1 + WEYL[1]) & _MASK
    return c0, c1, c2, c3


def _multiply(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a * b. Split so that no partial product overflows a signed 64-bit word."""
    low_part = a * (b & 0xFFFF)
    high_part = a * (b >> 16) + (low_part >> 16)
    return high_part >> 16, ((high_part & 0xFFFF) << 16) | (low_part & 0xFFFF)


def uniforms(
    count: int, seed: int | Tensor, step: int | Tensor, stream: int, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """u_0 .. u_3 of the first `count` counters, float32 [count] each, in (0, 1]: exact, so every implementation
    agrees. seed and step as for `normal`.
    """
    blocks = torch.arange(count, dtype=torch.int64, device=device)
    constant = torch.zeros_like(blocks)
    words = philox((blocks, constant + step, constant + stream, constant), (seed & _MASK, (seed >> 32) & _MASK))
    return [((w >> 8).to(torch.float32) + 0.5) * 2.0**-24 for w in words]


def normal(
    count: int,
    seed: int | Tensor,
    step: int | Tensor,
    stream: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`count` standard normal numbers, [count] of `dtype`, for one image; [B, count] for a seed int64 [B, 1].

    seed: any integer of 64 bits; step, stream: integers in [0, 2^32). seed and step may be tensors on `device`, which are
    not read back. float64 evaluates the same uniforms more precisely.
    """
    u = [v.to(dtype) for v in uniforms((count + 3) // 4, seed, step, stream, device)]
    radius = [torch.sqrt(-2 * torch.log(u[0])), torch.sqrt(-2 * torch.log(u[2]))]
    angle = [2 * math.pi * u[1], 2 * math.pi * u[3]]
    four = [
        radius[0] * torch.cos(angle[0]),
        radius[0] * torch.sin(angle[0]),
        radius[1] * torch.cos(angle[1]),
        radius[1] * torch.sin(angle[1]),
    ]
    return torch.stack(four, dim=-1).flatten(-2)[..., :count]
