"""lmaps: restore images with diffusion priors by Local MAP Sampling.

    import lmaps
    restorer = lmaps.compile("deblur-gaussian", size=(256, 256))
    result = restorer(y)              # result.image, result.status, result.stats

Names are loaded when they are first used, so that importing lmaps is quick and needs no optional package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import operators, schedules, solvers
    from .engine.denoisers import BackendUnavailable
    from .engine.loop import Diverged, Progress, sample
    from .engine.plan import Restorer, Result, compile
    from .engine.priors import Prior, load_prior
    from .engine.restore import restore

__version__ = "0.1.0"

_HOMES = {
    "BackendUnavailable": ("engine.denoisers", "BackendUnavailable"),
    "Diverged": ("engine.loop", "Diverged"),
    "Prior": ("engine.priors", "Prior"),
    "Progress": ("engine.loop", "Progress"),
    "Restorer": ("engine.plan", "Restorer"),
    "Result": ("engine.plan", "Result"),
    "compile": ("engine.plan", "compile"),
    "load_prior": ("engine.priors", "load_prior"),
    "operators": ("operators", None),
    "restore": ("engine.restore", "restore"),
    "sample": ("engine.loop", "sample"),
    "schedules": ("schedules", None),
    "solvers": ("solvers", None),
}

__all__ = [
    "BackendUnavailable",
    "Diverged",
    "Prior",
    "Progress",
    "Restorer",
    "Result",
    "__version__",
    "compile",
    "load_prior",
    "operators",
    "restore",
    "sample",
    "schedules",
    "solvers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmaps' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    home = importlib.import_module(f".{module}", __name__)
    value = home if attribute is None else getattr(home, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
