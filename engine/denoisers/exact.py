"""float32 that is float32 on a GPU: TF32, which torch allows in convolutions, is off while a call runs.

torch's switches are the process's. So they are set when the first such call begins and set back to what the user chose when
the last one ends: convolutions of other threads in between are exact too, which costs them time and nothing else. A CUDA
graph keeps what was set when it was recorded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_running = 0
_restore: list[Callable[[], None]] = []


@contextmanager
def exact_float32() -> Iterator[None]:
    """Convolutions and matrix products of float32 on a GPU are not rounded to TF32 inside. Any threads, nested or not."""
    global _running
    with _lock:
        if _running == 0:
            _restore[:] = [_exact_convolutions(), _exact_products()]
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                for restore in _restore:
                    restore()


def _exact_convolutions() -> Callable[[], None]:
    cudnn: Any = torch.backends.cudnn
    try:
        before = cudnn.allow_tf32
    except RuntimeError:  # whoever chose by torch's newer names cannot ask by the older one, nor should it be set
        return _exact(cudnn.conv)
    if not before:
        return _nothing
    cudnn.allow_tf32 = False
    return lambda: setattr(cudnn, "allow_tf32", True)


def _exact_products() -> Callable[[], None]:
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        return _exact(torch.backends.cuda.matmul)
    if before == "highest":
        return _nothing
    torch.set_float32_matmul_precision("highest")
    return lambda: torch.set_float32_matmul_precision(before)


def _exact(operation: Any) -> Callable[[], None]:
    """By torch's newer names, which hold where the older ones say nothing of TF32."""
    before = operation.fp32_precision
    if before != "tf32":
        return _nothing
    operation.fp32_precision = "ieee"
    return lambda: setattr(operation, "fp32_precision", before)


def _nothing() -> None:
    """There was nothing to change."""
