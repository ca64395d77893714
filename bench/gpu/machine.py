"""What the measurements were made on, and what it can do at most: copies and matrix products at their best."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import partial
from importlib import metadata
from pathlib import Path

import torch

import lmaps
from lmaps.engine.bench.machine import code, machine
from lmaps.engine.denoisers import available
from lmaps.kernels import available as kernels_available

from .bench import Bench, NotHere
from .clock import captured, per_call

PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "safetensors",
    "pillow",
    "cuda-bindings",
    "pybind11",
)


def run(bench: Bench) -> None:
    n = 256 if bench.tiny else 8192
    bench.attempt("GPU", lambda: _gpu(bench))
    for name, dtype, tf32 in (
        ("bfloat16 matmul", torch.bfloat16, False),
        ("float32 matmul", torch.float32, False),
        ("TF32 matmul", torch.float32, True),
    ):
        bench.attempt(name, partial(_matmul, bench, name, n, dtype, tf32))
    bench.attempt("device copy", lambda: _copy(bench))
    bench.attempt("launch", lambda: _launch(bench))
    bench.attempt("versions", lambda: _versions(bench))
    bench.attempt("driver", lambda: _driver(bench))
    bench.attempt("backends", lambda: _backends(bench))


def _gpu(bench: Bench) -> None:
    if not bench.on_gpu:
        raise NotHere("this is a rehearsal on a CPU")
    properties = torch.cuda.get_device_properties(bench.device)
    facts = {
        "GPU": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "GPU memory": f"{properties.total_memory / 2**30:.0f} GiB",
        "compute capability": f"{properties.major}.{properties.minor}",
        "CUDA of torch": torch.version.cuda,
        "cuDNN": torch.backends.cudnn.version(),
    }
    for key, value in facts.items():
        bench.row("machine", what=key, value=str(value))


def _versions(bench: Bench) -> None:
    facts = {"machine": machine(), "python": platform.python_version(), "code": code()}
    for package in PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "not installed"
    facts["kernels"] = kernels_available()[1]
    facts["CPU cores"] = str(os.cpu_count())
    for key, value in facts.items():
        bench.row("machine", what=key, value=value)


def _driver(bench: Bench) -> None:
    if shutil.which("nvidia-smi") is None:
        raise NotHere("there is no nvidia-smi")
    query = "driver_version,clocks.sm,clocks.mem,temperature.gpu,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=15, check=True).stdout
    bench.row("machine", what=f"nvidia-smi ({query})", value=answer.strip())


def _backends(bench: Bench) -> None:
    for name, runs, reason in available(bench.device):
        bench.row("backends", backend=name, runs="yes" if runs else "no", why=reason)
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    bench.row("machine", what="C++ compiler", value=compiler or "none")
    bench.row("machine", what="package from", value=str(Path(lmaps.__path__[0])))


def _matmul(bench: Bench, name: str, n: int, dtype: torch.dtype, tf32: bool) -> None:
    if tf32 and not bench.on_gpu:
        raise NotHere("TF32 is a GPU's")
    a, b = (torch.randn(n, n, device=bench.device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    seconds = per_call(captured(lambda: torch.mm(a, b, out=out), bench), bench)
    torch.backends.cuda.matmul.allow_tf32 = False
    bench.row(
        "ceilings", what=name, value=2 * n**3 / seconds / 1e12, unit="TFLOP/s", how=f"{n} x {n} x {n}, random numbers"
    )


def _copy(bench: Bench) -> None:
    source = torch.randn(2**18 if bench.tiny else 2**28, device=bench.device)
    target = torch.empty_like(source)
    seconds = per_call(captured(lambda: target.copy_(source), bench), bench)
    moved = 2 * source.numel() * source.element_size()
    bench.row(
        "ceilings",
        what="device copy",
        value=moved / seconds / 1e9,
        unit="GB/s",
        how=f"{moved / 2e9:.2f} GB, read and written",
    )


def _launch(bench: Bench) -> None:
    few = torch.zeros(1, device=bench.device)
    count = 100

    def work() -> None:
        for _ in range(count):
            few.add_(1)

    seconds = per_call(captured(work, bench), bench) / count
    bench.row("ceilings", what="launch", value=1e6 * seconds, unit="us", how="a kernel on one number, in a CUDA graph")
