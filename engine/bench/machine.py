"""The machine, the versions and the code that a measurement was made with, and timings that take turns."""

from __future__ import annotations

import hashlib
import platform
import statistics
import time
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

_PACKAGES = ("lmaps-engine", "torch", "openvino", "onnxruntime", "numpy")
# What does not change a result: how it is asked for, read, written and told.
_OUTSIDE = ("bench", "cli", "files")


@cache
def machine() -> str:
    """Processor, cores, and the extensions that matter, in one line."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    flags = text.partition("flags")[2].partition("\n")[0].split()
    extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    name = models[0] if models else platform.processor()
    return f"{name}, {len(models) or 1} cores, {' '.join(extensions)}{gpu}, torch {torch.__version__}"


def versions() -> dict[str, str]:
    """What is installed, by package."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code() -> str:
    """A digest of the engine's own files, so that records of two states of the code do not mix."""
    engine = Path(__file__).parent.parent
    whole = hashlib.sha256()
    for path in sorted(engine.rglob("*")):
        inside = path.relative_to(engine)
        if path.suffix in (".py", ".toml") and inside.parts[0] not in _OUTSIDE:
            whole.update(str(inside).encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def alternated(functions: dict[str, Callable[[], object]], rounds: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds of each function; they take turns, so that a slow spell of the machine hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_up + rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
