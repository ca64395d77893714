"""Checks that every operator makes on what it is given. Each error names the thing, its value and the mend."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)


def picture(x: Tensor, operator: str) -> tuple[int, int]:
    """Height and width of x, after checking that it is a [B, C, H, W] tensor of float32 or float64."""
    four_axes(x, operator, "pictures")
    return x.shape[-2], x.shape[-1]


def measurement(u: Tensor, operator: str, size: Sequence[int]) -> None:
    """Check that u is a measurement [B, C, *size]."""
    four_axes(u, operator, "measurements")
    if tuple(u.shape[-2:]) != tuple(size):
        raise ValueError(f"{operator}: a measurement of {size[0]}x{size[1]} was expected, got {tuple(u.shape)}")


def four_axes(x: Tensor, operator: str, what: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{operator} takes tensors, got {type(x).__name__}: use torch.from_numpy or torch.as_tensor")
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"{operator} takes {what} [B, C, H, W] with no empty axis, got shape {tuple(x.shape)}")
    if x.dtype not in FLOATS:
        raise TypeError(f"{operator} works in float32 or float64, got {x.dtype}: convert the tensor first")


def whole(value: Any, name: str, low: int, high: int | None = None) -> int:
    """A whole number in [low, high]; bool and 3.5 are refused, 3.0 and NumPy integers are not."""
    limit = f"a whole number >= {low}" if high is None else f"a whole number from {low} to {high}"
    if (
        not _is_number(value)
        or not float(value).is_integer()
        or int(value) < low
        or (high is not None and int(value) > high)
    ):
        raise ValueError(f"{name} must be {limit}, got {value!r}")
    return int(value)


def real(value: Any, name: str, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """A finite number in [low, high], or in (low, high] where `open_low`."""
    good = _is_number(value) and math.isfinite(float(value))
    if not good or not low <= float(value) <= high or (open_low and float(value) == low):
        sign = ">" if open_low else ">="
        top = "" if math.isinf(high) else f" and <= {high:g}"
        raise ValueError(f"{name} must be a finite number {sign} {low:g}{top}, got {value!r}")
    return float(value)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real)


def seed(value: Any) -> int:
    """A seed that NumPy's RandomState takes."""
    return whole(value, "seed", 0, 2**32 - 1)


def one_of(value: Any, name: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return str(value)


def finite(value: Any, name: str) -> Tensor:
    """`value` (tensor, NumPy array or nested lists) as a float64 CPU tensor of finite numbers."""
    try:
        tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        tensor = tensor.to(torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {type(value).__name__}: {error}") from None
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ValueError(f"{name} holds {bad} values that are not finite: remove NaN and infinity")
    return tensor
