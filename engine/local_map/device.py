"""Where a step of the schedule is known: as a number on the host, or as an index on the device that nobody reads back.

A CUDA graph is recorded once and replayed for every step, so on a GPU nothing of a step may be baked into a launch: its
constants lie in tables on the device and are gathered at an index that lies there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .settings import LocalMAP


@dataclass(frozen=True, slots=True)
class OnDevice:
    """A step whose number is on the device alone: index int32 [1]. kind: which launches it takes (`Strategy.kind`)."""

    index: Tensor
    kind: int = 0


Index = int | OnDevice
# Kinds of device where constants are gathered, and where Triton kernels run if they can.
GPU = frozenset({"cuda"})
# (xhat, what `observe` made of y, step as a number or int32 [1] on the device) -> x_K
Solve = Callable[[Tensor, Tensor, int | Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Launched:
    """K launched steps: `observe` is done once a measurement; kernel names what runs, for stats, and passed_over what does
    not, with the reason. whole: one call takes all of them, and nothing is left to torch."""

    observe: Callable[[Tensor], Tensor]
    solve: Solve
    kernel: str
    passed_over: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False


def kernel_facts(kernel: str, passed_over: Mapping[str, str]) -> dict[str, object]:
    """What runs, and where some kernel does not for another reason than being slower, why; for stats."""
    return {"kernel": kernel, **({"kernels_passed_over": dict(passed_over)} if passed_over else {})}


def on_gpu(device: torch.device) -> bool:
    """Constants are gathered on this device, and Triton kernels run on it where they can."""
    return device.type in GPU


def on_host(solve: Callable[[Tensor, Tensor, int], Tensor]) -> Solve:
    """Steps that take their constants as numbers: an index on the CPU is simply read."""
    return lambda xhat, y, index: solve(xhat, y, int(index))


def settle(index: Index, device: torch.device) -> Index:
    """An index on the CPU is simply read; one on a GPU is left there, since reading it would stall the queue."""
    if isinstance(index, OnDevice) and not on_gpu(device):
        return number(index)
    return index


def number(index: Index) -> int:
    """The step as a number, for what runs on the host."""
    return int(index.index) if isinstance(index, OnDevice) else index


def place(index: Index) -> int | Tensor:
    """The step as the launchers of `lmaps.kernels` take it."""
    return index.index if isinstance(index, OnDevice) else index


def gather(table: Tensor, index: Index) -> Tensor:
    """Row `index` of a table on the device."""
    return table.index_select(0, index.index)[0] if isinstance(index, OnDevice) else table[index]


def table(settings: LocalMAP, sigmas: Sequence[float], device: torch.device) -> Tensor:
    """The constants of every step as the kernels read them, [N, 6] on the device."""
    from ...kernels import schedule  # brings Triton, which a CPU has no use for

    levels = [s for s in sigmas if s > 0]
    r = [settings.r(s) for s in levels]
    k2 = [settings.weight(s) / settings.r(s) for s in levels]
    return schedule.table(r=r, k2=k2, eta=settings.eta, device=device)


def weights(settings: LocalMAP, sigmas: Sequence[float], device: torch.device) -> Tensor:
    """(1 - r, r k2) of every step in float64, [N, 2] on the device."""
    rows = [(1 - settings.r(s), settings.weight(s)) for s in sigmas if s > 0]
    return torch.tensor(rows, dtype=torch.float64, device=device)
