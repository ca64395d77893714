"""Settings of methods, looked at before anything runs: names, kinds of value, and ranges, each told in one line."""

from __future__ import annotations

import difflib
import inspect
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .. import presets, solvers
from ..operators import Denoise
from ..solvers import Undefined
from . import grids
from .methods import COMPILING, GRID, START, Method

# What `compile` gives a solver itself.
_NOT_OPTIONS = ("self", "operator", "sigmas", "shape", "noise", "largest")
_KINDS: dict[str, Any] = {
    "steps": int,
    "backend": str,
    "precision": str,
    "preset": str,
    "grid": Literal["own", "lmaps"],
    "sigma_max": float,
    "sigma_min": float,
}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
# The smallest problem that every method is defined for, on which a solver can say what it thinks of its options.
_SHAPE = (1, 3, 8, 8)


def check(methods: Sequence[Method]) -> None:
    """Raises ValueError naming the method, the setting and the mend for the first that no task could be run with."""
    for method in methods:
        if method.solver == START:
            continue
        known = _options(method.solver)
        for name, value in method.given.items():
            _name(method, name, known)
            _kind(method, name, value, {**_KINDS, **known}[name])
        _dry_run(method)


def _options(solver: str) -> dict[str, Any]:
    """Options of a solver, and what each takes."""
    kinds = get_type_hints(solvers.get(solver).__init__)
    return {name: kinds[name] for name in inspect.signature(solvers.get(solver)).parameters if name not in _NOT_OPTIONS}


def _name(method: Method, name: str, known: dict[str, Any]) -> None:
    if name == "noise":
        raise ValueError(
            f"method {method.label!r}: noise belongs to the measurement, the same for all methods: use --noise"
        )
    names = [*known, *COMPILING, *GRID]
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    options = ", ".join(known) or "none"
    raise ValueError(f"method {method.label!r}: {method.solver} has no option {name!r}{hint} (its options: {options})")


def _kind(method: Method, name: str, value: Any, kind: Any) -> None:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    taken = [one for one in kinds if one is not type(None)]
    if not any(_is(value, one) for one in taken):
        takes = " or ".join(_WORDS.get(one) or ", ".join(map(repr, get_args(one))) for one in taken)
        raise ValueError(f"method {method.label!r}: {name} takes {takes}, got {value!r}")


def _is(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    # 3.0 is a whole number: the solver says so itself if it is not.
    return isinstance(value, (int, float) if kind is int else kind) and (kind is bool or not isinstance(value, bool))


def _dry_run(method: Method) -> None:
    """Builds the solver once, for what is out of range."""
    preset = presets.resolve(str(method.given.get("preset", "auto")), None)
    ours = grids.row("deblur-gaussian", preset)
    options = {**(ours.options() if method.solver == "lmaps" else {}), **method.options}
    try:
        ends = grids.ends(method, "deblur-gaussian", preset)
        if ends is None and solvers.get(method.solver).schedule(3) is None:
            ends = ours.sigma_max, ours.sigma_min
        sigmas = grids.levels(method.solver, "deblur-gaussian", method.given.get("steps", 3), ends)
        solvers.build(method.solver, Denoise(), sigmas, _SHAPE, **options)
    except Undefined:
        return  # not for this operator: a matter of the tasks
    except ValueError as problem:
        text = str(problem)
        raise ValueError(text if text.startswith("method ") else f"method {method.label!r}: {text}") from problem
