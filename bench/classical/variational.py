"""Total variation for any linear measurement: FISTA, with scikit-image's TV denoiser as its proximal step."""

from __future__ import annotations

import numpy as np
import torch
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from lmaps.engine.operators import LinearOperator
from lmaps.engine.settings import largest_eigenvalue

from .measurement import Measurement, Pixels

INNER = 20


def tv_inverse(m: Measurement, weight: float, iterations: int = 60) -> Pixels:
    """argmin_x ||H x - y||^2 / 2 + weight TV(x) in units of [0, 1], by `iterations` steps of FISTA from H^T y.

    Source: Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation image denoising and
    deblurring problems", 2009. H 1 is subtracted where H is no average (masks), so that the shift to [0, 1] is exact.
    """
    if not isinstance(m.operator, LinearOperator):
        raise TypeError(f"TV inversion needs a linear operator, got {type(m.operator).__name__}")
    operator = m.operator
    shape = (1, m.y.shape[-1], *m.size)
    # y in [0, 1] units is (H(2x - 1) + 1) / 2 = H x + (1 - H 1) / 2.
    constant = (1 - operator(torch.ones(shape))) / 2
    y = _tensor(m.y) - constant
    step = 1 / largest_eigenvalue(operator, shape)
    x = operator.adjoint(y)
    z, t = x, 1.0
    for _ in range(iterations):
        moved = _pixels(z - step * operator.adjoint(operator(z) - y))
        shrunk = _tensor(denoise_tv_chambolle(moved, weight * step, eps=1e-6, max_num_iter=INNER, channel_axis=-1))
        after = (1 + (1 + 4 * t * t) ** 0.5) / 2
        z, x, t = shrunk + (t - 1) / after * (shrunk - x), shrunk, after
    return np.asarray(_pixels(x), np.float64)


def _tensor(x: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None].float()


def _pixels(x: Tensor) -> Pixels:
    return x[0].permute(1, 2, 0).numpy()
