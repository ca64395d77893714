"""The prior's own module in torch: the reference in float32, and the only backend with gradients."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..priors import Prior
from .base import Frame
from .cpu import fast_bfloat16

PRECISIONS = ("float32", "bfloat16")
_MATRIX_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


class TorchDenoiser:
    """Eager torch, or torch.compile with `compiled`.

    "bfloat16": convolutions and linear layers hold bfloat16 weights, in channels-last order, and run under autocast;
    norms, softmax, the noise embedding's sines and the input and output scaling stay in float32.
    """

    supports_gradient = True
    capturable = True

    def __init__(
        self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int, compiled: bool = False
    ) -> None:
        self.backend = "torch-compile" if compiled else "torch"
        self.precision = precision
        self._frame, self.device = frame, device
        # torch has one thread pool for the whole process; it is the caller's to size, so `threads` is not applied here.
        self._module = prior.module(device)
        if precision == "bfloat16":
            self._module = _narrow(self._module)
        if compiled:
            self._module = torch.compile(self._module, dynamic=False)  # type: ignore[assignment]
            self._warm_up()

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._frame.leave(self._run(x, sigma))

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        self._frame.require_static(x, sigma, out)
        with torch.no_grad():
            self._frame.leave_into(self._run(x, sigma), out)

    def _run(self, x: Tensor, sigma: Tensor) -> Tensor:
        x, sigma = self._frame.enter(x, sigma)
        if self.precision == "bfloat16":
            x = x.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            y: Tensor = self._module(x, sigma)
        return y.float()

    def describe(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "backend_version": torch.__version__,
            "precision": self.precision,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            **self._frame.describe(),
        }

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def _warm_up(self) -> None:
        """Compile now, when the user expects to wait, and not in the first step."""
        with torch.no_grad():
            self(torch.zeros(self._frame.shape, device=self.device), torch.ones(self._frame.batch))


def missing(device: torch.device, *, compiled: bool = False) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return "this torch sees no CUDA device"
    if compiled and device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        return "torch.compile needs a C++ compiler; install g++"
    if compiled and device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return 'torch.compile needs triton; pip install "lmaps-engine[gpu]"'
    return None


def best_precision(device: torch.device) -> str:
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else fast_bfloat16()
    return "bfloat16" if fast else "float32"


def _narrow(module: nn.Module) -> nn.Module:
    module = copy.deepcopy(module)
    for layer in module.modules():
        if isinstance(layer, _MATRIX_LAYERS):
            layer.to(torch.bfloat16)
    # The annotations of Module.to leave out memory_format, which its documentation has.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
