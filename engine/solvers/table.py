"""Options that a method's authors set by task, from `solvers.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from torch import Tensor

from . import get

REFERENCE_NOISE = 0.05


def defaults(solver: str, task: str | None, noise: float | None) -> dict[str, Any]:
    """Options of `solver` for a task and for noise of deviation `noise` (0.05 if None) on its measurement."""
    row = {key: value for key, value in _row(solver, task).items() if key not in ("steps", "grid")}
    return get(solver).defaults(row, REFERENCE_NOISE if noise is None else noise)


def steps(solver: str, task: str | None) -> int | None:
    """N of `solver` for a task, where its authors set one."""
    return _row(solver, task).get("steps")


def schedule(solver: str, task: str | None, steps: int | None) -> Tensor | None:
    """The method's own noise levels for a task, N = `steps` or its authors' number; None where it runs on the task's grid."""
    row = _row(solver, task)
    make: Callable[..., Tensor | None] = get(solver).schedule
    return make(row.get("steps") if steps is None else steps, **row.get("grid", {}))


def _row(solver: str, task: str | None) -> dict[str, Any]:
    return {} if task is None else _table().get(solver, {}).get(task, {})


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(resources.files(__package__).joinpath("solvers.toml").read_text(encoding="utf-8"))
