"""What lies beyond the border of a picture, and the exact adjoint of extending it.

Along one axis of length n, extended by `before` and `after` entries, for the signal a b c d:

    reflect     d c b | a b c d | c b a     the edge is not repeated (scipy "mirror"); bounces as often as it must
    circular    b c d | a b c d | a b c     (scipy "wrap")
    replicate   a a a | a b c d | d d d     (scipy "nearest")
    zero        0 0 0 | a b c d | 0 0 0     (scipy "constant")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import inference

PADDINGS = ("reflect", "circular", "replicate", "zero")


def sources(length: int, before: int, after: int, padding: str) -> Tensor:
    """For each entry of the extended axis, the index of the entry it copies; -1 where it is zero. int64."""
    at = torch.arange(-before, length + after)
    if padding == "circular":
        return at % length
    if padding == "replicate":
        return at.clamp(0, length - 1)
    if padding == "reflect":
        period = max(2 * (length - 1), 1)
        at = at % period
        return torch.minimum(at, period - at) if length > 1 else torch.zeros_like(at)
    return torch.where((at >= 0) & (at < length), at, -1)


def correlation_matrix(kernel: Tensor, length: int, padding: str) -> Tensor:
    """A [length, length] with (A x)_i = sum_j kernel_j x~_(i + j - k//2), x~ the extended signal. float64."""
    k = kernel.numel()
    before = k // 2
    copied = sources(length, before, k - 1 - before, padding)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    row = torch.arange(length)
    for j in range(k):
        column = copied[j : j + length]
        inside = column >= 0
        matrix.index_put_(
            (row[inside], column[inside]), kernel[j].to(torch.float64).expand(length)[inside], accumulate=True
        )
    return matrix


class Extension:
    """Extends [..., H, W] by (top, bottom, left, right), and folds back: `fold` is the exact adjoint of `extend`.

    Autograd sees them so too: torch's own gradients of padding and of indexing add with atomics on a GPU, in another order
    every time, whereas `fold` adds in one order everywhere.
    """

    def __init__(self, size: tuple[int, int], margins: tuple[int, int, int, int], padding: str) -> None:
        (height, width), (top, bottom, left, right) = size, margins
        self.size, self.margins, self.padding = size, margins, padding
        rows, columns = sources(height, top, bottom, padding), sources(width, left, right, padding)
        self._sources = {torch.device("cpu"): (rows, columns)}
        self._runs = _runs(rows, top, height), _runs(columns, left, width)
        bounces = padding == "reflect" and (max(top, bottom) >= height or max(left, right) >= width)
        self._gathers = bounces or padding == "circular"

    def extend(self, x: Tensor) -> Tensor:
        extended: Tensor = _Extended.apply(x, self)
        return extended

    def fold(self, z: Tensor) -> Tensor:
        """[..., >= H + top + bottom, >= W + left + right] -> [..., H, W]; what lies beyond the extension is ignored."""
        top, _, left, _ = self.margins
        down, across = self._runs
        return _fold_axis(_fold_axis(z, -2, down, top, self.size[0]), -1, across, left, self.size[1])

    def copied(self, x: Tensor) -> Tensor:
        """`extend`, of which autograd is not told."""
        top, bottom, left, right = self.margins
        if self._gathers:
            rows, columns = self._sources_on(x.device)
            return x.index_select(-2, rows).index_select(-1, columns)
        mode = "constant" if self.padding == "zero" else self.padding
        return F.pad(x, (left, right, top, bottom), mode=mode)

    def _sources_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._sources:
            rows, columns = self._sources[torch.device("cpu")]
            with inference.left():
                self._sources[device] = (rows.to(device), columns.to(device))
        return self._sources[device]


class _Extended(torch.autograd.Function):
    """dL/dx = fold(dL/dz),  z = extend(x)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, extension: Extension) -> Tensor:
        return extension.copied(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Extension], output: Tensor) -> None:
        _, ctx.extension = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.extension.fold(gradients[0]), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        extended: Tensor = ctx.extension.extend(tangents[0])
        return extended


@dataclass(frozen=True, slots=True)
class _Run:
    """`count` entries of an extended axis from `at` on, which copy entries of the axis from `source` on.

    step: of what they copy from one to the next, 1 or -1 (`source` is the lowest), or 0 where all copy one entry.
    """

    at: int
    count: int
    source: int
    step: int


def _runs(copied: Tensor, before: int, length: int) -> tuple[_Run, ...]:
    """The margins of an extended axis, cut up so that within a run no entry is copied twice, or only one is."""
    found: list[_Run] = []
    entries = copied.tolist()
    for start, end in ((0, before), (before + length, len(entries))):
        while start < end:
            count, step = _run_length(entries[start:end])
            if entries[start] >= 0:
                found.append(_Run(start, count, min(entries[start], entries[start + count - 1]), step))
            start += count
    return tuple(found)


def _run_length(entries: Sequence[int]) -> tuple[int, int]:
    """How many entries, from the first on, follow one another by one step of 1, 0 or -1; and that step."""
    step = entries[1] - entries[0] if len(entries) > 1 else 0
    if abs(step) > 1:
        return 1, 0
    even = (entries[i] == entries[0] + i * step for i in range(len(entries)))
    return sum(takewhile(bool, even)), step


def _fold_axis(z: Tensor, axis: int, runs: Sequence[_Run], before: int, length: int) -> Tensor:
    middle = z.narrow(axis, before, length)
    if not runs:
        return middle
    out = middle.clone()
    for run in runs:
        part = z.narrow(axis, run.at, run.count)
        if run.step == 0:
            out.narrow(axis, run.source, 1).add_(part.sum(axis, keepdim=True))
        else:
            out.narrow(axis, run.source, run.count).add_(part.flip(axis) if run.step < 0 else part)
    return out
