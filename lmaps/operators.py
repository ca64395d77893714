"""Every operator: `lmaps.operators.SuperResolution(4)` and its kin. See `lmaps.engine.operators`."""

from .engine.operators import *  # noqa: F403
from .engine.operators import __all__ as __all__
