"""The prior's own module in torch: the reference in float32, and the only backend with gradients."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ..priors import Prior, norm
from . import cuda
from .base import Frame
from .cpu import fast_bfloat16
from .exact import exact_float32

PRECISIONS = ("float32", "bfloat16")
_MATRIX_LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


# Of torch.compile. Never its own CUDA graphs: the whole step is captured, the network in it.
MODES = {"torch-compile": "default", "torch-compile-max": "max-autotune-no-cudagraphs"}


class TorchDenoiser:
    """Eager torch, or torch.compile in a mode of `MODES`.

    "bfloat16": convolutions and linear layers hold bfloat16 weights, in channels-last order, and run under autocast;
    norms, softmax, the noise embedding's sines and the input and output scaling stay in float32.
    On a GPU the layout is channels-last in float32 too, which is what the fused norm kernels and cuDNN's fast
    convolutions take, and cuDNN times its algorithms once for each shape while the denoiser is opened, and again where it
    is recorded in another thread, since torch keeps cuDNN's choices for each thread. A thread that only calls it takes
    cuDNN's guess: its answers may be rounded differently. "float32" multiplies in float32, never in TF32, however torch is
    set; see `exact` for what that means to others. A gradient's backward pass follows torch's own settings.
    Compiled, each denoiser has a code object of its own: torch keeps 8 compiled shapes of a code object, and runs further
    ones eagerly without a word.
    """

    supports_gradient = True
    capturable = True

    def __init__(
        self, prior: Prior, frame: Frame, *, precision: str, device: torch.device, threads: int, backend: str = "torch"
    ) -> None:
        self.backend = backend
        self.precision = precision
        self._frame, self.device = frame, device
        # torch has one thread pool for the whole process; it is the caller's to size, so `threads` is not applied here.
        self._channels_last = precision == "bfloat16" or device.type == "cuda"
        self._norms: dict[str, int] = {}
        clock = cuda.Clock()
        with cuda.measured(device) as self._memory:
            self._module = _laid_out(prior, precision, self._channels_last, device)
            self._weights_bytes = sum(t.nbytes for t in (*self._module.parameters(), *self._module.buffers()))
            load_s = clock.lap()
            self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None
            if backend in MODES:
                self._compiled = torch.compile(_own_code(self._module), dynamic=False, mode=MODES[backend])
            if backend in MODES or device.type == "cuda":
                with cuda.tuning() if device.type == "cuda" else nullcontext():
                    self._warm_up()
        self._prepare = {"export_s": 0.0, "build_s": 0.0, "load_s": load_s, "warm_up_s": clock.lap()}

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        # Recorded only where a gradient can be asked for; torch.compile would also compile anew for the other mode.
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            return self._frame.leave(self._run(x, sigma))

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        self._frame.require_static(x, sigma, out, self.device)
        with torch.no_grad():
            self._frame.leave_into(self._run(x, sigma), out)

    def _run(self, x: Tensor, sigma: Tensor) -> Tensor:
        x, sigma = self._frame.enter(x, sigma)
        if self._channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with self._arithmetic():
            y = self._network(x, sigma)
        return y.float()

    def _network(self, x: Tensor, sigma: Tensor) -> Tensor:
        # Once called under a dispatch mode (as a step is when it is checked for recording, or by a counter of operations),
        # a compiled function runs eagerly for good, without a word.
        if self._compiled is None or torch._C._len_torch_dispatch_stack() > 0:
            return self._module(x, sigma)
        return self._compiled(x, sigma)

    def describe(self) -> dict[str, Any]:
        """And: weights_bytes, prepare (seconds), on a GPU the bytes that preparing took, and norms: how many of the
        network's ran as fused kernels, and how many in plain torch, which is slower."""
        facts: dict[str, Any] = {
            "backend": self.backend,
            "backend_version": torch.__version__,
            "precision": self.precision,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            **self._frame.describe(),
            "weights_bytes": self._weights_bytes,
            "prepare": dict(self._prepare),
            **self._memory,
        }
        if self.backend in MODES:
            facts["compile_mode"] = MODES[self.backend]
        if self.device.type == "cuda" and self.precision == "float32":
            facts["tf32"] = False
        if any(self._norms.values()):
            facts["norms"] = dict(self._norms)
        return facts

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)
        return exact_float32() if self.device.type == "cuda" else nullcontext()

    def _warm_up(self) -> None:
        """Compile and try algorithms now, when the user expects to wait, and not in the first step."""
        with torch.no_grad(), _never_silently_eager(self.backend), norm.counts() as self._norms:
            self(*self._frame.example(self.device))
        if self.device.type == "cuda":
            cuda.wait(self.device)


def _own_code(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The module's call as a function whose code object is not shared with any other."""

    def call(x: Tensor, sigma: Tensor) -> Tensor:
        return module(x, sigma)

    return types.FunctionType(call.__code__.replace(), globals(), call.__name__, None, call.__closure__)


def _never_silently_eager(backend: str) -> AbstractContextManager[Any]:
    """Where a network breaks into several graphs, their code is shared after all: an error once torch keeps no more."""
    if backend not in MODES:
        return nullcontext()
    from torch._dynamo import config

    return config.patch(fail_on_recompile_limit_hit=True)


def missing(device: torch.device, *, compiled: bool = False) -> str | None:
    """Why this backend cannot run on `device`, or None."""
    if device.type == "cuda" and (reason := cuda.missing(device, "torch")):
        return reason
    if compiled and device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        return "torch.compile needs a C++ compiler; install g++"
    if compiled and device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return 'torch.compile needs triton; pip install "lmaps-engine[gpu]"'
    return None


def best_precision(device: torch.device) -> str:
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else fast_bfloat16()
    return "bfloat16" if fast else "float32"


def _laid_out(prior: Prior, precision: str, channels_last: bool, device: torch.device) -> nn.Module:
    """The prior's own module, or a copy with narrow weights or another layout, of which the device holds nothing else."""
    if not channels_last:
        return prior.module(device)
    module = copy.deepcopy(prior.module("cpu"))
    for layer in module.modules():
        if precision == "bfloat16" and isinstance(layer, _MATRIX_LAYERS):
            layer.to(torch.bfloat16)
    # The annotations of Module.to leave out memory_format, which its documentation has.
    return module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
