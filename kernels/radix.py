"""One-dimensional Fourier transforms of whole lines on chip, in two radix stages, at float32 accuracy.

With N = N1 N2, n = N2 n1 + n2 and k = k1 + N1 k2,

    X[k1 + N1 k2] = sum_n2 w_N2^(n2 k2) w_N^(n2 k1) sum_n1 w_N1^(n1 k1) x[N2 n1 + n2],      w_M = exp(-2 pi i / M)

so a line costs N1 + N2 complex multiplications a sample, each stage a small matrix product. N1 is 16 or 32, and N2,
at most 16, is filled up with zeros to 16. A line in space is a tile [n2, n1], in frequency a tile [k1, k2]: the
inverse ends where the forward transform begins, so that a gradient step fits between them without moving a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ._triton import jit, tl

FAST = 16


@dataclass(frozen=True)
class Axis:
    """The transform of lines of `length` = n1 * n2. tables: float32 on the device, see `axis`."""

    length: int
    n1: int
    n2: int
    tables: Tensor


def factors(length: int) -> tuple[int, int]:
    """(N1, N2) for a length the kernels can take. Raises ValueError naming the lengths that they can."""
    for n1 in (16, 32):
        if length >= 32 and length % n1 == 0 and length // n1 <= FAST:
            return n1, length // n1
    raise ValueError(
        f"the Fourier kernels take lengths that are multiples of 16 from 32 to 256, or of 32 up to 512; got {length}"
    )


def axis(length: int, device: torch.device | str = "cpu") -> Axis:
    """Tables one after another: F1 [N1, N1], twiddles [16 n2, N1 k1], F2 / sqrt(N) [16, 16], each as real then
    imaginary, and after them the same again with the sign of the inverse.
    """
    n1, n2 = factors(length)
    first = _roots(torch.outer(torch.arange(n1), torch.arange(n1)), n1)
    twiddle = _roots(torch.outer(torch.arange(FAST), torch.arange(n1)), length)
    second = torch.zeros(FAST, FAST, dtype=torch.complex128)
    second[:n2, :n2] = _roots(torch.outer(torch.arange(n2), torch.arange(n2)), n2) / math.sqrt(length)
    tables = (first, twiddle, second, first.conj(), twiddle.conj(), second.conj())
    parts = [part.reshape(-1) for table in tables for part in (table.real, table.imag)]
    return Axis(length, n1, n2, torch.cat(parts).to(torch.float32).to(device))


def _roots(power: Tensor, order: int) -> Tensor:
    angle = (power % order).to(torch.float64) * (-2 * math.pi / order)
    return torch.complex(torch.cos(angle), torch.sin(angle))


@jit
def _load_tables(start_ptr: tl.tensor, N1: tl.constexpr, INVERSE: tl.constexpr) -> tl.tensor:
    """(F1 re, im, twiddle re, im, F2 re, im). Each transform loads its own, lest they occupy registers from one to
    the next.
    """
    tables_ptr = start_ptr + INVERSE * (2 * N1 * N1 + 32 * N1 + 512)
    n1, n2 = tl.arange(0, N1), tl.arange(0, 16)
    first = tables_ptr + n1[:, None] * N1 + n1[None, :]
    twiddle = tables_ptr + 2 * N1 * N1 + n2[:, None] * N1 + n1[None, :]
    second = tables_ptr + 2 * N1 * N1 + 32 * N1 + n2[:, None] * 16 + n2[None, :]
    return (
        tl.load(first),
        tl.load(first + N1 * N1),
        tl.load(twiddle),
        tl.load(twiddle + 16 * N1),
        tl.load(second),
        tl.load(second + 256),
    )


@jit
def _product(a_re: tl.tensor, a_im: tl.tensor, b_re: tl.tensor, b_im: tl.tensor, PRECISION: tl.constexpr) -> tl.tensor:
    """(a_re + i a_im) @ (b_re + i b_im)."""
    re = tl.dot(-a_im, b_im, tl.dot(a_re, b_re, input_precision=PRECISION), input_precision=PRECISION)
    im = tl.dot(a_im, b_re, tl.dot(a_re, b_im, input_precision=PRECISION), input_precision=PRECISION)
    return re, im


@jit
def forward(
    re: tl.tensor,
    im: tl.tensor,
    tables_ptr: tl.tensor,
    LINES: tl.constexpr,
    N1: tl.constexpr,
    REAL: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Lines [LINES, 16 n2, N1 n1] -> spectra [LINES, N1 k1, 16 k2]. With REAL, `im` is not looked at."""
    f1_re, f1_im, t_re, t_im, f2_re, f2_im = _load_tables(tables_ptr, N1, 0)
    a = tl.reshape(re, (LINES * 16, N1))
    if REAL:
        b_re = tl.dot(a, f1_re, input_precision=PRECISION)
        b_im = tl.dot(a, f1_im, input_precision=PRECISION)
    else:
        b_re, b_im = _product(a, tl.reshape(im, (LINES * 16, N1)), f1_re, f1_im, PRECISION)
    b_re, b_im = tl.reshape(b_re, (LINES, 16, N1)), tl.reshape(b_im, (LINES, 16, N1))
    c_re = b_re * t_re[None, :, :] - b_im * t_im[None, :, :]
    c_im = b_re * t_im[None, :, :] + b_im * t_re[None, :, :]
    c_re = tl.reshape(tl.permute(c_re, (0, 2, 1)), (LINES * N1, 16))
    c_im = tl.reshape(tl.permute(c_im, (0, 2, 1)), (LINES * N1, 16))
    d_re, d_im = _product(c_re, c_im, f2_re, f2_im, PRECISION)
    return tl.reshape(d_re, (LINES, N1, 16)), tl.reshape(d_im, (LINES, N1, 16))


@jit
def inverse(
    re: tl.tensor,
    im: tl.tensor,
    tables_ptr: tl.tensor,
    LINES: tl.constexpr,
    N1: tl.constexpr,
    REAL: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Spectra [LINES, N1 k1, 16 k2] -> lines [LINES, 16 n2, N1 n1]. With REAL, only the real part is worked out."""
    f1_re, f1_im, t_re, t_im, f2_re, f2_im = _load_tables(tables_ptr, N1, 1)
    c_re, c_im = tl.reshape(re, (LINES * N1, 16)), tl.reshape(im, (LINES * N1, 16))
    c_re, c_im = _product(c_re, c_im, f2_re, f2_im, PRECISION)
    c_re = tl.permute(tl.reshape(c_re, (LINES, N1, 16)), (0, 2, 1))
    c_im = tl.permute(tl.reshape(c_im, (LINES, N1, 16)), (0, 2, 1))
    b_re = c_re * t_re[None, :, :] - c_im * t_im[None, :, :]
    b_im = c_im * t_re[None, :, :] + c_re * t_im[None, :, :]
    b_re, b_im = tl.reshape(b_re, (LINES * 16, N1)), tl.reshape(b_im, (LINES * 16, N1))
    if REAL:
        a_re = tl.dot(-b_im, f1_im, tl.dot(b_re, f1_re, input_precision=PRECISION), input_precision=PRECISION)
        a_im = a_re
    else:
        a_re, a_im = _product(b_re, b_im, f1_re, f1_im, PRECISION)
    return tl.reshape(a_re, (LINES, 16, N1)), tl.reshape(a_im, (LINES, 16, N1))
