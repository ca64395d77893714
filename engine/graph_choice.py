"""Whether a restoration is recorded as a CUDA graph: what was asked for, what can be had, and why not."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch

from .denoisers import Denoiser
from .local_map.device import on_gpu
from .operators import Operator
from .solvers import Solver

Asked = Literal["auto", "loop"] | bool


@dataclass(frozen=True, slots=True)
class GraphChoice:
    """record: steps are recorded; loop: all of them as one launch; reason: why nothing is recorded, for stats."""

    record: bool
    loop: bool = False
    reason: str = ""


def check(graph: object) -> None:
    """Raise ValueError unless graph is "auto", True, False or "loop"."""
    if graph not in ("auto", "loop") and not isinstance(graph, bool):
        raise ValueError(f'graph must be "auto", True, False or "loop", got {graph!r}')


def choose(graph: Asked, device: torch.device, solver: Solver, denoiser: Denoiser) -> GraphChoice:
    """What `graph` comes to here. Raises ValueError with the reason where True or "loop" was asked for and cannot be had."""
    reason = obstacle(device, solver, denoiser)
    if graph is False:
        return GraphChoice(False, reason="not asked for")
    if reason is None:
        return GraphChoice(True, loop=graph == "loop")
    if graph == "auto":
        return GraphChoice(False, reason=reason)
    raise ValueError(f'graph={graph!r} cannot be had: {reason}. Use graph="auto" or False')


def obstacle(device: torch.device, solver: Solver, denoiser: Denoiser) -> str | None:
    """Why these cannot be recorded, or None."""
    if not on_gpu(device):
        return "the device is the CPU, where nothing is launched"
    if (reason := solver.obstacle()) is not None:
        return reason
    if not denoiser.capturable:
        return f"backend {denoiser.backend!r} does more than enqueue work on torch's stream"
    return None


def own_copy(operator: Operator) -> Operator:
    """An operator whose derived tensors nobody else makes or evicts: a recorded graph holds their addresses.

    Raises ValueError for an operator that cannot be copied.
    """
    try:
        return copy.deepcopy(operator)
    except Exception as error:
        raise ValueError(
            f"{type(operator).__name__} cannot be copied ({error}), and a restorer on a GPU keeps a copy of its own: give it "
            "a __deepcopy__"
        ) from error
