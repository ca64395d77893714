"""Checks shared by the launchers. Every message names the argument, says what it is and what it should be."""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_PLANE = 2**31 - 1


def float32(**tensors: Tensor) -> None:
    """Each tensor must be float32, contiguous, and on the device of the first."""
    device = next(iter(tensors.values())).device
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise TypeError(f"{name} must be float32, got {tensor.dtype}")
        contiguous(name, tensor, device)


def contiguous(name: str, tensor: Tensor, device: torch.device) -> None:
    if not tensor.is_contiguous():
        raise ValueError(f"{name} must be contiguous, got strides {tensor.stride()} for shape {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{name} is on {tensor.device}, the first argument on {device}: they must share a device")


def pictures(name: str, x: Tensor) -> tuple[int, int, int, int]:
    """The sizes (B, C, H, W) of a batch of pictures."""
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"{name} must be a non-empty [B, C, H, W], got shape {tuple(x.shape)}")
    if x.shape[2] * x.shape[3] > LARGEST_PLANE:
        raise ValueError(
            f"{name} has planes of {x.shape[2] * x.shape[3]} pixels; the kernels take up to {LARGEST_PLANE}"
        )
    b, c, h, w = x.shape
    return b, c, h, w


def same_shape(x: Tensor, /, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if tensor.shape != x.shape:
            raise ValueError(f"{name} must have shape {tuple(x.shape)}, got {tuple(tensor.shape)}")


def plane_strides(name: str, tensor: Tensor, shape: torch.Size) -> tuple[int, int]:
    """Elements from one image to the next and from one channel to the next, 0 where `tensor` is shared.

    `tensor` must be [1 or B, 1 or C, ...] for a `shape` [B, C, ...].
    """
    b, c = shape[0], shape[1]
    if tensor.ndim != len(shape) or tensor.shape[0] not in (1, b) or tensor.shape[1] not in (1, c):
        raise ValueError(f"{name} must be [1 or {b}, 1 or {c}, ...] like {tuple(shape)}, got {tuple(tensor.shape)}")
    if tensor.shape[2:] != shape[2:]:
        raise ValueError(f"{name} must end in {tuple(shape[2:])}, got {tuple(tensor.shape)}")
    channel = tensor[0, 0].numel()
    batch = channel * tensor.shape[1]
    return batch if tensor.shape[0] > 1 else 0, channel if tensor.shape[1] > 1 else 0


def output(out: Tensor | None, like: Tensor, name: str = "out") -> Tensor:
    """`out` checked against `like`, or a new tensor."""
    if out is None:
        return torch.empty_like(like)
    same_shape(like, **{name: out})
    if out.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype}, got {out.dtype}")
    contiguous(name, out, like.device)
    return out


def inner_steps(inner: int | None) -> int:
    """K as the kernels take it: 0 stands for the limit of infinitely many steps."""
    if inner is None:
        return 0
    if not 1 <= inner < 2**31:
        raise ValueError(f"the number of inner steps must be at least 1 (or None for the limit), got {inner}")
    return inner


def at_least_one(inner: int) -> int:
    if inner < 1:
        raise ValueError(f"the number of inner steps must be at least 1, got {inner}")
    return inner
