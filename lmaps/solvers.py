"""The methods of Figure 2 by name: `lmaps.solvers.available()`. See `lmaps.engine.solvers`."""

from .engine.solvers import *  # noqa: F403
from .engine.solvers import __all__ as __all__
