"""Operators from what their `config()` says, as it comes back from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .base import Operator
from .black_hole import BlackHole
from .blur import Blur, GaussianBlur
from .denoise import Denoise
from .inpainting import Inpainting
from .jpeg import JPEG
from .mri import MRI
from .nonlinear_blur import NonlinearBlur
from .phase_retrieval import PhaseRetrieval
from .pointwise import HDR, Quantize
from .scattering import InverseScattering
from .super_resolution import SuperResolution

BUILDERS: dict[str, Callable[..., Operator]] = {
    "BlackHole": BlackHole.stored,
    "Blur": Blur,
    "Denoise": Denoise,
    "GaussianBlur": GaussianBlur,
    "HDR": HDR,
    "Inpainting": Inpainting,
    "Inpainting.box": Inpainting.box,
    "Inpainting.random": Inpainting.random,
    "InverseScattering": InverseScattering,
    "JPEG": JPEG,
    "MRI": MRI,
    "NonlinearBlur": NonlinearBlur,
    "PhaseRetrieval": PhaseRetrieval,
    "Quantize": Quantize,
    "SuperResolution": SuperResolution,
}


def from_config(config: Mapping[str, Any]) -> Operator:
    """The operator that `config`, a mapping like the one `Operator.config()` returns, describes.

    Tensors may come as NumPy arrays and plain values as NumPy scalars or arrays of no axes, as an .npz file gives them.
    Raises ValueError naming what is missing, unknown or out of range.
    """
    values = {key: _plain(value) for key, value in config.items()}
    name = values.pop("operator", None)
    if name not in BUILDERS:
        raise ValueError(f"operator must be one of {', '.join(BUILDERS)}, got {name!r}")
    try:
        return BUILDERS[name](**values)
    except TypeError as error:
        raise ValueError(f"the parameters of {name} do not fit ({', '.join(values)}): {error}") from None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0 else value
