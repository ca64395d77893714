"""What lies beyond the border of a picture, and the exact adjoint of extending it.

Along one axis of length n, extended by `before` and `after` entries, for the signal a b c d:

    reflect     d c b | a b c d | c b a     the edge is not repeated (scipy "mirror"); bounces as often as it must
    circular    b c d | a b c d | a b c     (scipy "wrap")
    replicate   a a a | a b c d | d d d     (scipy "nearest")
    zero        0 0 0 | a b c d | 0 0 0     (scipy "constant")
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """Extends [..., H, W] by (top, bottom, left, right), and folds back: `fold` is the exact adjoint of `extend`."""

    def __init__(self, size: tuple[int, int], margins: tuple[int, int, int, int], padding: str) -> None:
        (height, width), (top, bottom, left, right) = size, margins
        self.size, self.margins, self.padding = size, margins, padding
        on_cpu = (sources(height, top, bottom, padding), sources(width, left, right, padding))
        self._sources = {torch.device("cpu"): on_cpu}
        bounces = padding == "reflect" and (max(top, bottom) >= height or max(left, right) >= width)
        self._gathers = bounces or padding == "circular"

    def extend(self, x: Tensor) -> Tensor:
        top, bottom, left, right = self.margins
        if self._gathers:
            rows, columns = self._sources_on(x.device)
            return x.index_select(-2, rows).index_select(-1, columns)
        mode = "constant" if self.padding == "zero" else self.padding
        return F.pad(x, (left, right, top, bottom), mode=mode)

    def fold(self, z: Tensor) -> Tensor:
        """[..., >= H + top + bottom, >= W + left + right] -> [..., H, W]; what lies beyond the extension is ignored."""
        top, bottom, left, right = self.margins
        rows, columns = self._sources_on(z.device)
        z = _fold_axis(z, -2, rows, top, bottom, self.size[0], self.padding)
        return _fold_axis(z, -1, columns, left, right, self.size[1], self.padding)

    def _sources_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._sources:
            rows, columns = self._sources[torch.device("cpu")]
            self._sources[device] = (rows.to(device), columns.to(device))
        return self._sources[device]


def _fold_axis(z: Tensor, axis: int, copied: Tensor, before: int, after: int, length: int, padding: str) -> Tensor:
    middle = z.narrow(axis, before, length)
    if padding == "zero" or before + after == 0:
        return middle
    out = middle.clone()
    end = before + length
    out.index_add_(axis, copied[:before], z.narrow(axis, 0, before))
    return out.index_add_(axis, copied[end : end + after], z.narrow(axis, end, after))
