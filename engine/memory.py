"""How much memory was used at most."""

from __future__ import annotations

import sys

import torch


def peak_bytes(device: torch.device) -> int | None:
    """The most so far: on a GPU what torch had allocated there, on a CPU the resident memory of the whole process.

    None where the system does not say (no getrusage).
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
