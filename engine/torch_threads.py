"""Torch's own threads, kept off the cores where others work.

After each operation that torch has shared out, OpenMP's idle threads poll for milliseconds. On a CPU they then hold the cores
that the network's run time and the compiled steps need: 3 to 8 % of a restoration, 17 % of a motion deblurring on two cores.
So where torch has little to do, it does that on the thread that called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import torch

from .denoisers import Denoiser
from .solvers import Solver

# With more numbers a picture, torch's threads save more than they cost (measured on two cores, between 256x256 and 512x512).
MOST = 2**18


def one_is_enough(denoiser: Denoiser, solver: Solver, shape: Sequence[int], device: torch.device) -> bool:
    """Between calls of the network, which does not run in torch, there are only a few passes over a small picture."""
    elsewhere = device.type == "cpu" and not denoiser.backend.startswith("torch")
    return elsewhere and solver.few_passes and prod(shape) <= MOST


@contextmanager
def held(hold: bool) -> Iterator[None]:
    """Torch's operations in this Python thread stay on it, where `hold`; other threads keep their settings."""
    if not hold:
        yield
        return
    with _libraries().limit(limits=1, user_api="openmp"):
        yield


@cache
def _libraries() -> Any:
    """The OpenMP run times of this process. Torch has brought its own by now; finding it takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
