"""What a classical method is given, and what it is: a function of a measurement, with a grid of settings to tune."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lmaps.engine.operators import Operator

Pixels = NDArray[np.float64]
Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Measurement:
    """One photograph as measured, in units of [0, 1] as image libraries use them.

    y:     [h, w, 3], (H(x) + noise + 1) / 2, not clipped.
    noise: standard deviation of the noise in these units, half of sigma_y.
    size:  (H, W) of the picture behind it.
    """

    y: Pixels
    operator: Operator
    noise: float
    size: tuple[int, int]

    @classmethod
    def of(cls, y: Tensor, operator: Operator, sigma_y: float) -> Measurement:
        """From a measurement [1, 3, h, w] in the [-1, 1] range, with noise of standard deviation sigma_y."""
        if y.ndim != 4 or y.shape[0] != 1:
            raise ValueError(f"y must be one measurement [1, C, h, w], got shape {tuple(y.shape)}")
        height, width = operator.picture_shape(y)[-2:]
        pixels = (y[0].permute(1, 2, 0).double().numpy() + 1) / 2
        return cls(pixels, operator, sigma_y / 2, (height, width))


@dataclass(frozen=True)
class Method:
    """`run(measurement, **settings)` -> picture [H, W, 3] in [0, 1], not clipped.

    grid: for every setting the values that tuning may choose from, weakest first.
    needs: the packages beyond scikit-image that it imports.
    """

    name: str
    run: Callable[..., Pixels]
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
