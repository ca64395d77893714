"""Backends that run a prior's network, behind one protocol; `open_denoiser` picks one."""

from .base import BackendUnavailable, Denoiser, Frame
from .choose import available, open_denoiser

__all__ = ["BackendUnavailable", "Denoiser", "Frame", "available", "open_denoiser"]
