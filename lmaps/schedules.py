"""Noise levels of a run: `edm(steps)` and `ddim(steps)`. See `lmaps.engine.schedules`."""

from .engine.schedules import ddim, edm

__all__ = ["ddim", "edm"]
