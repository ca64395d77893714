"""Leaving torch's inference mode, whose tensors autograd can never use again.

A caller may hold it around everything here. Solvers and operators differentiate all the same, and what is kept between
calls (operators' constants, networks) has to serve callers outside it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def left() -> Iterator[None]:
    """no_grad in place of the caller's inference mode; nothing where the caller is in none. Also a decorator."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    # To leave the mode is to enable gradients, which the caller has not asked for.
    with torch.inference_mode(False), torch.no_grad():
        yield


def usable(x: Tensor) -> Tensor:
    """x itself, or a copy that autograd can use where x was made in inference mode. To be called outside it."""
    return x.clone() if x.is_inference() else x
