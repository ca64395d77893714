"""How much memory was used at most."""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def peak_bytes(device: torch.device) -> int | None:
    """The most so far: on a GPU what torch had allocated there, on a CPU the resident memory of the whole process.

    None where the system does not say (no getrusage).
    """
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident_peak()


def resident_peak() -> int | None:
    """Bytes that this program had in memory at most, pages of mapped files among them.

    Linux is asked for VmHWM: its ru_maxrss still holds the peak of whoever started the program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        if "VmHWM" in lines:
            return 1024 * int(lines["VmHWM"].split()[0])
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
