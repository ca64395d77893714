"""The transition to the next noise level with its noise and the scaling of the denoiser's next input, in one launch.

    x_next = x0 + carry * (x - x0) + noise * n,      n ~ N(0, I)                        (Eq. 2 of the paper, alpha = 1)
    input  = scale * x_next

with carry = sigma_next sqrt(1 - rho^2) / sigma, noise = sigma_next rho, scale = c_in(sigma_next) from the schedule's
table; rho = 1, full re-noising, needs no x. The noise is that of `philox`: counter (index // 4, step, stream, 0),
key the image's seed, so the uniforms agree bit for bit with every other implementation. The sine and cosine of 2 pi
u are taken by an exact reduction of u to an eighth of a turn, with no slow path and nothing on the stack.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import arguments, philox, schedule
from ._triton import cdiv, jit, launch, tl
from .schedule import transition_constants

QUADS = 256


@jit
def _uniform(word: tl.tensor) -> tl.tensor:
    return ((word >> 8).to(tl.float32) + 0.5) * 5.9604644775390625e-08


@jit
def _box_muller(u: tl.tensor, v: tl.tensor) -> tl.tensor:
    """sqrt(-2 ln u) (cos, sin)(2 pi v). Taylor series on an eighth of a turn: the error is under 2^-26."""
    radius = tl.sqrt_rn(-2.0 * tl.log(u))
    quarter = tl.floor(4.0 * v + 0.5)
    a = (4.0 * v - quarter) * 1.5707963267948966
    z = a * a
    sine = a + a * z * (
        -1.6666666666666666e-1 + z * (8.333333333333333e-3 + z * (-1.984126984126984e-4 + z * 2.7557319e-6))
    )
    cosine = 1.0 + z * (
        -0.5 + z * (4.1666666666666664e-2 + z * (-1.3888888888888889e-3 + z * (2.48015873e-5 - z * 2.7557319e-7)))
    )
    turn = quarter.to(tl.int32) & 3
    odd = (turn & 1) == 1
    c = tl.where(odd, sine, cosine)
    s = tl.where(odd, cosine, sine)
    c = tl.where((turn == 1) | (turn == 2), -c, c)
    s = tl.where(turn >= 2, -s, s)
    return radius * c, radius * s


@jit
def normal_quads(
    seed: tl.tensor, quad: tl.tensor, step: tl.tensor, stream: tl.tensor, QUADS: tl.constexpr
) -> tl.tensor:
    """The four normal numbers of each counter, [4 QUADS] in the order of the elements."""
    zero = quad * 0
    w0, w1, w2, w3 = tl.philox(seed, quad, zero + step, zero + stream, zero)
    n0, n1 = _box_muller(_uniform(w0), _uniform(w1))
    n2, n3 = _box_muller(_uniform(w2), _uniform(w3))
    return tl.reshape(tl.join(tl.join(n0, n2), tl.join(n1, n3)), (4 * QUADS,))


@jit
def _transition_kernel(
    x0_ptr: tl.tensor,
    x_ptr: tl.tensor,
    out_ptr: tl.tensor,
    input_ptr: tl.tensor,
    seeds_ptr: tl.tensor,
    table_ptr: tl.tensor,
    step_ptr: tl.tensor,
    count: tl.tensor,
    stream: tl.tensor,
    CARRY: tl.constexpr,
    INPUT: tl.constexpr,
    QUADS: tl.constexpr,
) -> None:
    carry, noise, scale = transition_constants(table_ptr, step_ptr)
    program = tl.program_id(0)
    blocks = tl.cdiv(count, 4 * QUADS)
    image = program // blocks
    first = (program - image * blocks) * QUADS
    n = normal_quads(
        tl.load(seeds_ptr + image), first + tl.arange(0, QUADS), tl.load(step_ptr).to(tl.int32), stream, QUADS
    )
    offsets = 4 * first.to(tl.int64) + tl.arange(0, 4 * QUADS)
    inside = offsets < count
    here = image.to(tl.int64) * count + offsets
    x_next = tl.load(x0_ptr + here, mask=inside, other=0.0)
    if CARRY:
        x_next += carry * (tl.load(x_ptr + here, mask=inside, other=0.0) - x_next)
    x_next += noise * n
    tl.store(out_ptr + here, x_next, mask=inside)
    if INPUT:
        tl.store(input_ptr + here, scale * x_next, mask=inside)


def apply(
    x0: Tensor,
    seeds: Tensor,
    table: Tensor,
    step: int | Tensor,
    *,
    x: Tensor | None = None,
    stream: int = 0,
    out: Tensor | None = None,
    scaled: Tensor | None = None,
    quads: int = QUADS,
) -> Tensor:
    """x_next, float32 [B, ...] like x0; writes scale * x_next to `scaled` if that is given.

    seeds: int64 [B], one an image, on the device. x: the current noisy state; without it carry is taken as 0 (rho = 1).
    stream: which noise (0 is the transition's). `out` may be x0 or x. The noise depends on (seed, stream, step) alone.
    """
    tensors = {"x0": x0} | ({} if x is None else {"x": x}) | ({} if scaled is None else {"scaled": scaled})
    arguments.float32(**tensors)
    arguments.same_shape(x0, **tensors)
    if x0.ndim < 2 or x0.numel() == 0:
        raise ValueError(f"x0 must be a non-empty [B, ...], got shape {tuple(x0.shape)}")
    count = x0[0].numel()
    if count > arguments.LARGEST_PLANE:
        raise ValueError(f"an image of {count} numbers is too large: at most {arguments.LARGEST_PLANE}")
    if seeds.dtype != torch.int64 or seeds.shape != x0.shape[:1]:
        raise ValueError(f"seeds must be int64 [{x0.shape[0]}], got {seeds.dtype} {tuple(seeds.shape)}")
    arguments.contiguous("seeds", seeds, x0.device)
    rows, index = schedule.checked(table, step, x0.device)
    out = arguments.output(out, x0)
    launch(
        _transition_kernel,
        x0.shape[0] * cdiv(count, 4 * quads),
        x0,
        x0 if x is None else x,
        out,
        out if scaled is None else scaled,
        seeds,
        rows,
        index,
        count,
        stream,
        CARRY=x is not None,
        INPUT=scaled is not None,
        QUADS=quads,
    )
    return out


def apply_twin(
    x0: Tensor, seeds: Tensor, table: Tensor, step: int | Tensor, *, x: Tensor | None = None, stream: int = 0
) -> tuple[Tensor, Tensor]:
    """(x_next, scale * x_next) in the dtype of x0."""
    *_, carry, noise, scale = schedule.row(table, step, x0.dtype)
    count = x0[0].numel()
    images = [philox.normal(count, int(s), int(step), stream, x0.device, x0.dtype) for s in seeds]
    kept = x0 if x is None else x0 + carry * (x - x0)
    x_next = kept + noise * torch.stack(images).reshape(x0.shape)
    return x_next, scale * x_next
