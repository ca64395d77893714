"""What every backend answers to, and the checks and the padding they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ..priors.padding import pad_to_multiple, padded

EXTRA_ONNX = 'pip install "lmaps-engine[onnx]"'


class BackendUnavailable(RuntimeError):
    """A backend that was asked for by name cannot run here; the message says what is missing and what brings it."""


@runtime_checkable
class Denoiser(Protocol):
    """(x, sigma) -> clean estimate, prepared for one batch, one size and one device by `open_denoiser`.

    x [B, C, H, W] float32 in units of [-1, 1], sigma [B] > 0. Calls from several threads at once are safe. Whatever has
    to be built, compiled or tuned is done when the denoiser is opened, not in the first call. The same call gives the same
    bits again in the same thread; on a GPU another thread's may be rounded differently (see `torch_backend`).

    backend:   a name of `available()`: "torch", "openvino", "tensorrt" ...
    precision: "float32" or "bfloat16", of the convolutions and matrix products; the arithmetic around the network
               (EDM's c_skip, c_in, c_out) runs in float32 always.
    device:    where x and the result live.
    supports_gradient: a call's result can be differentiated with respect to x.
    capturable: on a GPU, `into` may be recorded in a CUDA graph of torch's current stream, once it has run outside of one
               in the same thread: it waits for nothing, takes scratch memory only from torch's allocator (so the graph's
               own pool holds it), and reads and writes nothing but x, sigma and out.
    """

    backend: str
    precision: str
    device: torch.device
    supports_gradient: bool
    capturable: bool

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """float32 on `device`, a fresh tensor that belongs to the caller: no later call writes to it.

        sigma may be on the CPU or on `device`. ValueError for another shape than the denoiser was opened for.
        """
        ...

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        """The same, written into `out`: contiguous float32 of x's shape, all three on `device`, out apart from x.

        Never differentiated. ValueError naming the argument that does not fit.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What runs: backend, version, precision, device, threads, batch, size, padded size, weights_bytes (of the
        weights as the backend was given them). For people and logs."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """The one shape a denoiser is opened for: checks what comes in, pads it to the network's multiple, crops it."""

    batch: int
    channels: int
    height: int
    width: int
    multiple: int

    def __post_init__(self) -> None:
        if self.batch < 1 or self.height < 1 or self.width < 1:
            raise ValueError(
                f"batch and size must be at least 1, got batch={self.batch}, size=({self.height}, {self.width})"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.batch, self.channels, self.height, self.width

    @property
    def padded_shape(self) -> tuple[int, int, int, int]:
        """What the network sees."""
        return self.batch, self.channels, padded(self.height, self.multiple), padded(self.width, self.multiple)

    def example(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """x and sigma to open, warm up or time a denoiser with: zeros and ones, float32 whatever torch's default is."""
        x = torch.zeros(self.shape, device=device, dtype=torch.float32)
        return x, x.new_ones(self.batch)

    def room(self, out: Tensor) -> Tensor:
        """Where the network's answer goes: `out` itself, or a buffer of what the network sees, for `leave_into`."""
        return out.detach() if self.fits else out.new_empty(self.padded_shape)

    def enter(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """x padded, sigma as float32 on x's device. Raises ValueError naming the argument and its value."""
        if tuple(x.shape) != self.shape or x.dtype != torch.float32:
            raise ValueError(
                f"x must be float32 of shape {self.shape}, which this denoiser was opened for; "
                f"got {x.dtype} of shape {tuple(x.shape)}"
            )
        if tuple(sigma.shape) != (self.batch,):
            raise ValueError(f"sigma must have shape ({self.batch},), got {tuple(sigma.shape)}")
        # Looking at values on a GPU would stall its queue; there the solver's schedule is trusted.
        if sigma.device.type == "cpu" and not bool((sigma > 0).all()):
            raise ValueError(f"sigma must be positive, got {sigma.tolist()}")
        return pad_to_multiple(x, self.multiple), sigma.to(device=x.device, dtype=torch.float32)

    def require_static(self, x: Tensor, sigma: Tensor, out: Tensor, device: torch.device) -> None:
        """Raise ValueError unless `into` can work on these, by address, without moving anything to `device`."""
        if tuple(out.shape) != self.shape or out.dtype != torch.float32 or not out.is_contiguous():
            raise ValueError(
                f"out must be contiguous float32 of shape {self.shape}, got {out.dtype} of shape {tuple(out.shape)} "
                f"with strides {out.stride()}"
            )
        if not x.device == sigma.device == out.device:
            raise ValueError(f"x, sigma and out must share a device, got {x.device}, {sigma.device} and {out.device}")
        if x.device != device:
            raise ValueError(f"this denoiser was opened on {device}; x, sigma and out are on {x.device}")

    def leave(self, y: Tensor) -> Tensor:
        """Crop the network's answer to the picture's size; contiguous."""
        return y[..., : self.height, : self.width].contiguous()

    @property
    def fits(self) -> bool:
        """The picture's size is the network's: nothing to pad, nothing to crop."""
        return self.padded_shape == self.shape

    def leave_into(self, y: Tensor, out: Tensor) -> None:
        """Crop the network's answer into `out`."""
        out.copy_(y[..., : self.height, : self.width])

    def describe(self) -> dict[str, Any]:
        _, _, high, wide = self.padded_shape
        return {"batch": self.batch, "size": (self.height, self.width), "padded_size": (high, wide)}


def refuse_gradient(x: Tensor, backend: str) -> None:
    """Raise rather than return a result that looks constant in x."""
    if x.requires_grad and torch.is_grad_enabled():
        raise ValueError(f"backend {backend!r} has no gradient; open the denoiser with backend='torch', or detach x")
