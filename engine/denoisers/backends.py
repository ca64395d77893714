"""Every backend by its name: how it is opened, why it may be missing, which precisions it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from . import (
    onnxruntime_backend,
    onnxruntime_gpu_backend,
    openvino_backend,
    tensorrt_backend,
    torch_backend,
)
from .base import Denoiser


class Backend(NamedTuple):
    """open(prior, frame, precision=, device=, threads=) -> Denoiser;  missing(device) -> why it cannot run, or None;
    best(device) -> the precision for "auto";  precisions: the ones that can be asked for.
    """

    open: Callable[..., Denoiser]
    missing: Callable[[torch.device], str | None]
    best: Callable[[torch.device], str]
    precisions: tuple[str, ...]


def _torch(name: str) -> Backend:
    return Backend(
        partial(torch_backend.TorchDenoiser, backend=name),
        partial(torch_backend.missing, compiled=name in torch_backend.MODES),
        torch_backend.best_precision,
        torch_backend.PRECISIONS,
    )


def _onnxruntime_gpu(name: str) -> Backend:
    return Backend(
        partial(onnxruntime_gpu_backend.OnnxRuntimeGPUDenoiser, backend=name),
        partial(onnxruntime_gpu_backend.missing, backend=name),
        partial(onnxruntime_gpu_backend.best_precision, backend=name),
        onnxruntime_gpu_backend.PRECISIONS[onnxruntime_gpu_backend.BACKENDS[name]],
    )


BACKENDS: dict[str, Backend] = {
    "openvino": Backend(
        openvino_backend.OpenVINODenoiser,
        openvino_backend.missing,
        openvino_backend.best_precision,
        openvino_backend.PRECISIONS,
    ),
    "onnxruntime": Backend(
        onnxruntime_backend.OnnxRuntimeDenoiser,
        onnxruntime_backend.missing,
        onnxruntime_backend.best_precision,
        onnxruntime_backend.PRECISIONS,
    ),
    "torch": _torch("torch"),
    **{name: _torch(name) for name in torch_backend.MODES},
    "tensorrt": Backend(
        tensorrt_backend.TensorRTDenoiser,
        tensorrt_backend.missing,
        tensorrt_backend.best_precision,
        tensorrt_backend.PRECISIONS,
    ),
    **{name: _onnxruntime_gpu(name) for name in onnxruntime_gpu_backend.BACKENDS},
}
