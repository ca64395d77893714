"""The one door to Triton: importing the kernels works without it, launching says plainly what is missing.

A kernel file does `from ._triton import jit, launch, tl`. Without Triton `tl` is a placeholder, `jit` leaves
functions as they are, and the plain twins in the same file still work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # the twins remain usable
    triton = None
    tl = None

__all__ = [
    "Launch",
    "available",
    "cdiv",
    "interpreted",
    "jit",
    "launch",
    "next_power_of_2",
    "recording",
    "tl",
    "triton",
]

NOT_INSTALLED = "Triton is not installed: pip install 'lmaps-engine[gpu]' (Linux), or use the plain twin of this kernel"


@dataclass(frozen=True)
class Launch:
    """A launch that was recorded instead of run."""

    kernel: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)


_recording: list[Launch] | None = None


def available() -> tuple[bool, str]:
    """(can the kernels run here?, why or why not)."""
    if triton is None:
        return False, NOT_INSTALLED
    if interpreted():
        return True, f"Triton {triton.__version__}, interpreted on the CPU (TRITON_INTERPRET=1): right, but very slow"
    if not torch.cuda.is_available():
        return False, f"Triton {triton.__version__} is installed, but PyTorch sees no GPU"
    return True, f"Triton {triton.__version__} on {torch.cuda.get_device_name()}"


def interpreted() -> bool:
    """True where kernels run in Triton's interpreter: TRITON_INTERPRET was set when Triton was imported."""
    return triton is not None and bool(triton.knobs.runtime.interpret)


def jit(function: Callable[..., Any]) -> Any:
    """triton.jit where Triton is installed."""
    return function if triton is None else triton.jit(function)


def cdiv(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << max(n - 1, 0).bit_length()


def launch(kernel: Any, programs: int, *arguments: Any, **options: Any) -> None:
    """Run `programs` programs of a kernel on the device of its tensor arguments.

    Raises RuntimeError where Triton is missing, or where the tensors are not on a GPU and the interpreter is off.
    """
    if triton is None:
        raise RuntimeError(NOT_INSTALLED)
    if _recording is not None:
        _recording.append(Launch(kernel, arguments, options))
        return
    device = next(a.device for a in arguments if isinstance(a, Tensor))
    if device.type != "cuda" and not interpreted():
        raise RuntimeError(
            f"the Triton kernels run on a GPU, and these tensors are on {device}: move them, use the plain twin, "
            "or set TRITON_INTERPRET=1 before the first import to interpret the kernels (slowly)"
        )
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[(programs,)](*arguments, **options)


@contextmanager
def recording() -> Iterator[list[Launch]]:
    """Within this context launches are recorded, not run: what to compile for a GPU that is not here."""
    global _recording
    outer, _recording = _recording, []
    try:
        yield _recording
    finally:
        _recording = outer
