"""Networks with trained weights: load one with `load_prior`, bring one with `Prior.from_onnx`, `Prior.from_module` or
`convert`, write one with `save_prior`."""

from .config import PriorConfig
from .error import PriorError
from .noise_schedule import NoiseSchedule
from .prior import Prior, load_prior
from .saving import save_prior

__all__ = ["NoiseSchedule", "Prior", "PriorConfig", "PriorError", "load_prior", "save_prior"]
