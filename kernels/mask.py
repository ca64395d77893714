"""All K steps of the local MAP problem for a mask, in one launch.

    x <- x - eta * [(1 - r)(x - xhat) + r k2 w (w x - y)],      x_0 = xhat                      (Eq. 13)

for H(x) = w x. `steps` takes the K steps one by one in registers; `closed_form` takes them at once:

    x_K = xhat + q(m) r k2 w (y - w xhat),      m = (1 - r) + r k2 w^2

Both keep the difference x - xhat, so that rounding is relative to the correction, not to the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import arguments, schedule
from ._triton import cdiv, jit, launch, tl
from .filter import filter_gain
from .planes import plane_block, shared_plane
from .schedule import inner_constants

BLOCK = 1024


@jit
def _mask_kernel(
    xhat_ptr: tl.tensor,
    y_ptr: tl.tensor,
    mask_ptr: tl.tensor,
    out_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    size: tl.tensor,
    channels: tl.tensor,
    mask_batch: tl.tensor,
    mask_channel: tl.tensor,
    STEPS: tl.constexpr,
    CLOSED: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    keep, gain, eta = inner_constants(table_ptr, step_ptr)
    plane, offsets, inside = plane_block(size, BLOCK)
    here = plane * size + offsets
    mask_start = shared_plane(plane, channels, mask_batch, mask_channel)
    w = tl.load(mask_ptr + mask_start + offsets, mask=inside, other=0.0)
    xhat = tl.load(xhat_ptr + here, mask=inside, other=0.0)
    pull = gain * w * (w * xhat - tl.load(y_ptr + here, mask=inside, other=0.0))
    m = keep + gain * w * w
    if CLOSED:
        difference = -filter_gain(m, eta, STEPS) * pull
    else:
        difference = xhat * 0.0
        for _ in range(STEPS):
            difference -= eta * (m * difference + pull)
    tl.store(out_ptr + here, xhat + difference, mask=inside)


def _run(
    xhat: Tensor,
    y: Tensor,
    mask: Tensor,
    table: Tensor,
    step: int | Tensor,
    steps: int,
    closed: bool,
    out: Tensor | None,
    block: int,
) -> Tensor:
    arguments.float32(xhat=xhat, y=y, mask=mask)
    b, c, h, w = arguments.pictures("xhat", xhat)
    arguments.same_shape(xhat, y=y)
    strides = arguments.plane_strides("mask", mask, xhat.shape)
    rows, index = schedule.checked(table, step, xhat.device)
    out = arguments.output(out, xhat)
    programs = b * c * cdiv(h * w, block)
    launch(
        _mask_kernel,
        programs,
        xhat,
        y,
        mask,
        out,
        rows,
        index,
        h * w,
        c,
        *strides,
        STEPS=steps,
        CLOSED=closed,
        BLOCK=block,
    )
    return out


def steps(
    xhat: Tensor,
    y: Tensor,
    mask: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int,
    *,
    out: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """`inner` literal steps. xhat, y: float32 [B, C, H, W] in [-1, 1] units; mask: [1 or B, 1 or C, H, W], any real
    weights.

    table, step: see `schedule`. Returns x_K, written to `out` if given (which may be xhat).
    """
    return _run(xhat, y, mask, table, step, arguments.at_least_one(inner), False, out, block)


def closed_form(
    xhat: Tensor,
    y: Tensor,
    mask: Tensor,
    table: Tensor,
    step: int | Tensor,
    inner: int | None,
    *,
    out: Tensor | None = None,
    block: int = BLOCK,
) -> Tensor:
    """The same point in closed form; inner=None gives the exact minimiser (Eq. 15). Arguments as for `steps`."""
    return _run(xhat, y, mask, table, step, arguments.inner_steps(inner), True, out, block)


def steps_twin(xhat: Tensor, y: Tensor, mask: Tensor, table: Tensor, step: int | Tensor, inner: int | None) -> Tensor:
    """The plain loop, in the dtype of xhat; inner=None solves for the minimiser directly."""
    keep, gain, eta, *_ = schedule.row(table, step, xhat.dtype)
    if inner is None:
        m = keep + gain * mask * mask
        return torch.where(m > 0, (keep * xhat + gain * mask * y) / m, xhat)
    x = xhat
    for _ in range(inner):
        x = x - eta * (keep * (x - xhat) + gain * mask * (mask * x - y))
    return x
