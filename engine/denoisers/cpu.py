"""What this CPU offers to a process: cores it may really use, and whether bfloat16 is fast on it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Physical cores this process may use: torch's own thread count, a container's CPU quota, and the affinity mask.

    torch's count is the physical cores unless the user lowered it (OMP_NUM_THREADS, torch.set_num_threads), and every
    backend honours that choice.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(torch.get_num_threads(), affinity, _quota()))


def fast_bfloat16() -> bool:
    """The CPU multiplies bfloat16 in hardware (AMX, AVX512-BF16, ARM's bf16).

    Elsewhere run times accept the hint and emulate it, which is slower than float32.
    """
    facts: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(facts.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _quota() -> int:
    """Whole CPUs granted by cgroup v2 ("<microseconds> <period>" or "max <period>"), rounded up; unlimited if none."""
    try:
        share, period = _QUOTA.read_text().split()
        return -(-int(share) // int(period))
    except (OSError, ValueError):
        return 1 << 30
