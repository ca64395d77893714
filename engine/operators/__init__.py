"""Every H: maps from pictures in [-1, 1] to measurements. See `base` for what an operator is."""

from __future__ import annotations

from .base import AffineOperator, LinearOperator, Operator, Spectrum, norm_squared
from .black_hole import BlackHole
from .blur import Blur, GaussianBlur, MotionBlur
from .deepinv import from_deepinv
from .denoise import Denoise
from .inpainting import Inpainting
from .jpeg import JPEG
from .mri import MRI
from .nonlinear_blur import NonlinearBlur
from .observation import Observation, read_uvfits
from .phase_retrieval import PhaseRetrieval
from .pointwise import HDR, Quantize
from .scattering import InverseScattering
from .stored import from_config
from .super_resolution import SuperResolution

__all__ = [
    "HDR",
    "JPEG",
    "MRI",
    "AffineOperator",
    "BlackHole",
    "Blur",
    "Denoise",
    "GaussianBlur",
    "Inpainting",
    "InverseScattering",
    "LinearOperator",
    "MotionBlur",
    "NonlinearBlur",
    "Observation",
    "Operator",
    "PhaseRetrieval",
    "Quantize",
    "Spectrum",
    "SuperResolution",
    "from_config",
    "from_deepinv",
    "norm_squared",
    "read_uvfits",
]
