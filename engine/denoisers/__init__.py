"""Backends that run a prior's network, behind one protocol; `open_denoiser` picks one."""

from .base import BackendUnavailable, Denoiser, Frame
from .choose import available, open_denoiser
from .tiled import TiledDenoiser, open_tiled

__all__ = ["BackendUnavailable", "Denoiser", "Frame", "TiledDenoiser", "available", "open_denoiser", "open_tiled"]
