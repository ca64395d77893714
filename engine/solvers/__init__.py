"""The methods of Figure 2, by name. A method's module is imported when it is first asked for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from ..operators.base import Operator
from .base import Denoise, Shape, Solver, Step

# name: module and class.
_SOLVERS = {
    "lmaps": ("lmaps", "LMAPS"),
    "daps": ("daps", "DAPS"),
    "sitcom": ("sitcom", "SITCOM"),
    "dps": ("dps", "DPS"),
    "ddrm": ("ddrm", "DDRM"),
    "ddnm": ("ddnm", "DDNM"),
    "pigdm": ("pigdm", "PiGDM"),
    "diffpir": ("diffpir", "DiffPIR"),
    "red-diff": ("red_diff", "REDdiff"),
    "dcdp": ("dcdp", "DCDP"),
    "pnp-dm": ("pnp_dm", "PnPDM"),
    "tmpd": ("tmpd", "TMPD"),
    "lgd": ("lgd", "LGD"),
    "fps": ("fps", "FPS"),
    "mcg-diff": ("mcg_diff", "MCGdiff"),
    "dmplug": ("dmplug", "DMPlug"),
    "resample": ("resample", "ReSample"),
    "vml-map": ("vml_map", "VMLMAP"),
    "fast-dips": ("fast_dips", "FastDIPS"),
}

__all__ = ["Denoise", "Solver", "Step", "available", "build", "get"]


def available() -> list[str]:
    """Names that `solver=` takes."""
    return list(_SOLVERS)


@cache
def get(name: str) -> type[Solver]:
    """The class of solver `name`. Raises ValueError for an unknown name."""
    if name not in _SOLVERS:
        near = difflib.get_close_matches(name, _SOLVERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown solver {name!r}, available: {', '.join(_SOLVERS)}{hint}")
    module, kind = _SOLVERS[name]
    solver: type[Solver] = getattr(import_module(f".{module}", __package__), kind)
    return solver


def build(name: str, operator: Operator, sigmas: Sequence[float], shape: Shape, **options: Any) -> Solver:
    """The solver `name` for one operator, schedule and picture shape [B, C, H, W].

    Raises ValueError for an unknown name, an option out of range or an operator the method is not defined for, TypeError
    for an option the solver does not have.
    """
    kind = get(name)
    try:
        return kind(operator, sigmas, shape, **options)  # type: ignore[call-arg]
    except TypeError as problem:
        raise TypeError(f"solver {name!r}: {str(problem).partition('__init__() ')[2] or problem}") from problem
