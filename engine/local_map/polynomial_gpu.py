"""The polynomial form of K steps with its coefficients in a table on the device, for a GPU.

A recording has a fixed degree, and the degree that a step needs falls along the schedule (from 22 to 5 over the shipped
prior's 20 steps of motion deblurring). One recording with the highest degree would do half as much again there; one a degree
would make as many recordings as steps. So degrees are rounded up to at most `KINDS` values, each with a recording, and what a
step does not need has the coefficient zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .device import Index, OnDevice, gather

if TYPE_CHECKING:
    from .gpu_linear import Normal

KINDS = 4


class Recurrence:
    """p(H^T H) g = sum_j c_j V_j(2 H^T H / bound - 1) g for every step of a schedule.

    coefficients: of each step, lowest degree first (see `polynomial`); normal: x -> H^T H x.
    """

    def __init__(
        self, coefficients: Sequence[Sequence[float]], bound: float, normal: Normal, device: torch.device
    ) -> None:
        self.normal, self._scale = normal, 4.0 / bound
        self.degrees = rounded([len(c) - 1 for c in coefficients])
        highest = max(self.degrees)
        rows = [[*c, *[0.0] * (highest + 1 - len(c))] for c in coefficients]
        self._table = torch.tensor(rows, dtype=torch.float32, device=device)

    def apply(self, g: Tensor, index: Index) -> Tensor:
        """p(H^T H) g at a step; an index on the device says by its kind how many terms are taken."""
        degree = index.kind if isinstance(index, OnDevice) else self.degrees[index]
        c = gather(self._table, index).to(g.dtype).unbind()
        out = c[0] * g
        if degree == 0:
            return out
        before, now = g, torch.add(-3 * g, self.normal(g), alpha=self._scale)
        out.addcmul_(now, c[1])
        for j in range(2, degree + 1):
            before, now = now, torch.add(-2 * now - before, self.normal(now), alpha=self._scale)
            out.addcmul_(now, c[j])
        return out


def rounded(degrees: Sequence[int]) -> list[int]:
    """Each degree raised to the next of at most KINDS evenly spaced ones; the highest stays."""
    highest = max(degrees)
    stride = max(-(-highest // KINDS), 1)
    return [min(-(-d // stride) * stride, highest) for d in degrees]
