"""The CPU as the key of a compiled graph needs it: its name, and the instructions that a compiler chooses by."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Of an x86's hundred flags, those that decide which kernels can run.
_DECIDING = ("sse", "ssse", "avx", "amx", "fma", "f16c", "bmi", "vaes", "vpclmul", "gfni")


@cache
def cpu_name() -> str:
    """As the system calls it."""
    return _field("model name") or platform.processor() or platform.machine()


@cache
def cpu_facts() -> dict[str, str]:
    """Name, architecture and instruction sets. Two CPUs with the same facts run the same machine code."""
    flags = _field("flags") or _field("Features")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    chosen = sorted(flag for flag in flags.split() if not x86 or flag.startswith(_DECIDING))
    return {"name": cpu_name(), "machine": platform.machine(), "instructions": " ".join(chosen)}


def _field(name: str) -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")
