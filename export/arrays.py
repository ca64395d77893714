"""Arrays as the run times take them: memory by address, so type and layout are checked before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def require_plain(name: str, array: Array) -> None:
    """Raise ValueError unless `array` is C-contiguous float32: anything else would be read as noise, not refused."""
    if array.dtype != np.float32 or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be a C-contiguous float32 array, got {array.dtype} with strides {array.strides}")
