"""One problem a kernel, at a size that is used: what `check` verifies, times and tunes, and what the tests compile.

Each holds the kernel's call, its plain twin on float64 copies, and the plain float32 sequence that it competes with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import schedule

TOLERANCE = 2e-6
Tile = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """kernel(out, **tile) writes out, which looks like `like`.

    tile: what it runs with; tiles: what tuning tries beside the kernel's own choice.
    bytes: what must cross device memory at least (inputs read once, outputs written once, every launch);
    flops: additions and multiplications of the mathematics. smooth is False where a rounding error may
    tip a value over a step of H.
    """

    name: str
    kernel: Callable[..., Tensor]
    twin: Callable[[], Tensor]
    plain: Callable[[], Tensor]
    like: Tensor
    bytes: int
    flops: int
    tile: Tile
    tiles: tuple[Tile, ...]
    tolerance: float = TOLERANCE
    smooth: bool = True


class Setting:
    """Where and how large. `small` is for the interpreter: tiny pictures, few steps, large tiles."""

    def __init__(self, device: torch.device | str, batch: int, small: bool) -> None:
        self.device, self.batch, self.small = torch.device(device), batch, small
        self.generator = torch.Generator().manual_seed(0)
        self.side = 32 if small else 256
        self.table = schedule.table(
            r=[0.9, 0.5], k2=1.0, eta=0.5, sigma=2.0, sigma_next=1.0, rho=1.0, scale=0.7, device=device
        )
        self.step = torch.ones(1, dtype=torch.int32, device=device)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=dtype).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator).to(self.device)

    def pictures(self, channels: int = 3, side: int | None = None) -> Tensor:
        side = side or self.side
        return 2 * self.uniform(self.batch, channels, side, side) - 1

    def inner(self, full: int) -> int:
        return 3 if self.small else full

    def tile(self, **large: Any) -> Tile:
        """The kernel's own choice, or a large tile for the interpreter."""
        return large if self.small else {}


def all_cases(device: torch.device | str, batch: int, small: bool) -> list[Case]:
    """Every kernel's problem on a device."""
    from . import cases_pixels, cases_spatial

    setting = Setting(device, batch, small)
    return [case for module in (cases_pixels, cases_spatial) for build in module.BUILDERS for case in build(setting)]
