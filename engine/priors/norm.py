"""What a diffusion U-Net does between two convolutions: norm, scale and shift by the noise level, SiLU.

    h = GroupNorm(x) or x;    h = h * (1 + scale) + shift;    h = h * sigmoid(h)

One fused kernel on a GPU, in inference and in channels-last memory; plain torch wherever a gradient is wanted, while a
graph is exported or compiled (its compiler fuses by itself), and on a CPU. The fused kernel computes in float32 and
rounds once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

_HALVES = (torch.float16, torch.bfloat16)
_DTYPES = (torch.float32, *_HALVES)
_counting = threading.local()


def norm_scale_shift_silu(
    x: Tensor, norm: nn.GroupNorm, scale: Tensor | None = None, shift: Tensor | None = None, *, silu: bool = True
) -> Tensor:
    """x [B, C, H, W]; scale and shift [B, C], both or neither. The result has x's shape.

    Computed in float32 throughout, or float64; its dtype is x's where the kernel runs, else what it was computed in.
    """
    if (scale is None) != (shift is None):
        raise ValueError("scale and shift go together: give both or neither")
    parameters = [t for t in (norm.weight, norm.bias, scale, shift) if t is not None]
    if _counted(norm.affine and fused_runs(x, *parameters)):
        from ...kernels import group_norm

        scale, shift = (None if t is None else t.contiguous() for t in (scale, shift))
        weight, bias, eps = norm.weight, norm.bias, norm.eps
        return group_norm.apply(x, norm.num_groups, weight, bias, scale=scale, shift=shift, eps=eps, silu=silu)
    wide = x.float() if x.dtype in _HALVES else x
    h = functional.group_norm(wide, norm.num_groups, norm.weight, norm.bias, norm.eps)
    if scale is not None and shift is not None:
        h = _modulated(h, scale, shift)
    return functional.silu(h) if silu else h


def scale_shift_silu(x: Tensor, scale: Tensor, shift: Tensor, *, silu: bool = True) -> Tensor:
    """The same without the norm, for networks that have none."""
    if _counted(fused_runs(x, scale, shift)):
        from ...kernels import modulate

        return modulate.apply(x, scale, shift, silu=silu)
    h = _modulated(x, scale, shift)
    return functional.silu(h) if silu else h


def fused_runs(x: Tensor, *others: Tensor) -> bool:
    """The fused kernels can stand in for torch here: see the module's text for when they cannot."""
    if not _on_gpu(x) or torch.compiler.is_compiling():
        return False
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *others)):
        return False
    return x.dtype in _DTYPES and x.is_contiguous(memory_format=torch.channels_last) and _triton_is_installed()


@contextmanager
def counts() -> Iterator[dict[str, int]]:
    """Fills the dict it yields with how many of the above ran inside as a fused kernel, and how many in plain torch.

    Of this thread alone. Compiled networks are not counted: their compiler decides.
    """
    found = {"fused": 0, "plain": 0}
    outer, _counting.found = getattr(_counting, "found", None), found
    try:
        yield found
    finally:
        _counting.found = outer


def _counted(fused: bool) -> bool:
    if not torch.compiler.is_compiling():
        found: dict[str, int] | None = getattr(_counting, "found", None)
        if found is not None:
            found["fused" if fused else "plain"] += 1
    return fused


def _modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return x * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _triton_is_installed() -> bool:
    from ...kernels._triton import triton

    return triton is not None
