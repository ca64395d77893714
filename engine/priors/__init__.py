"""Networks with trained weights: load one with `load_prior`, write one with `save_prior`."""

from .config import PriorConfig, PriorError
from .prior import Prior, load_prior
from .store import save_prior

__all__ = ["Prior", "PriorConfig", "PriorError", "load_prior", "save_prior"]
