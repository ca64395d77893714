"""Gaussian noise drawn for each image from its own seed, so that an image in a batch equals the image alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from .. import _native

Stream = Literal["transition", "measurement", "solver"]
_STREAMS: dict[Stream, int] = {"transition": 0, "measurement": 1, "solver": 2}


def standard_normal(
    shape: Iterable[int],
    seeds: Iterable[int],
    *,
    step: int = 0,
    stream: Stream = "transition",
    device: torch.device | str = "cpu",
) -> Tensor:
    """n ~ N(0, I): one image of `shape` a seed, [B, *shape] float32.

    The numbers depend on (seed, stream, step) alone. `stream` keeps the noise of the transition, of the measurement and of a
    solver's own chain apart; `step` counts within a stream.
    """
    size = tuple(shape)
    count = math.prod(size)
    where = torch.device(device)
    if where.type != "cpu":
        from ..kernels import philox  # brings Triton, which a CPU has no use for

        return philox.normal(count, as_tensor(seeds, where)[:, None], step, _STREAMS[stream], where).reshape(-1, *size)
    images = [_normal(count, seed, step, _STREAMS[stream]) for seed in seeds]
    return torch.stack(images).reshape(-1, *size)


def as_tensor(seeds: Iterable[int], device: torch.device) -> Tensor:
    """Seeds of up to 64 bits as int64 [B] on a device: the same bits, so those from 2^63 turn negative."""
    return torch.tensor([s - 2**64 if s >= 2**63 else s for s in seeds], dtype=torch.int64).to(device)


def _normal(count: int, seed: int, step: int, stream: int) -> Tensor:
    out = torch.empty(count, dtype=torch.float32)
    _native.normal(count, seed, step, stream, out=out)
    return out
