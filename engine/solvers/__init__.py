"""The methods of Figure 2, by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from ..operators.base import Operator
from .base import Denoise, Shape, Solver, Step
from .lmaps import LMAPS

_SOLVERS: dict[str, type[Solver]] = {LMAPS.name: LMAPS}

__all__ = ["Denoise", "Solver", "Step", "available", "build"]


def available() -> list[str]:
    """Names that `solver=` takes."""
    return list(_SOLVERS)


def build(name: str, operator: Operator, sigmas: Sequence[float], shape: Shape, **options: Any) -> Solver:
    """The solver `name` for one operator, schedule and picture shape [B, C, H, W].

    Raises ValueError for an unknown name, TypeError for an option the solver does not have.
    """
    if name not in _SOLVERS:
        near = difflib.get_close_matches(name, _SOLVERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown solver {name!r}, available: {', '.join(_SOLVERS)}{hint}")
    try:
        return _SOLVERS[name](operator, sigmas, shape, **options)  # type: ignore[call-arg]
    except TypeError as problem:
        raise TypeError(f"solver {name!r}: {str(problem).partition('__init__() ')[2] or problem}") from problem
