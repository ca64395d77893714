"""Options that a method's authors set by task, from `solvers.toml`."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from . import get

REFERENCE_NOISE = 0.05


def defaults(solver: str, task: str | None, noise: float | None) -> dict[str, Any]:
    """Options of `solver` for a task and for noise of deviation `noise` (0.05 if None) on its measurement."""
    row = {key: value for key, value in _row(solver, task).items() if key != "steps"}
    return get(solver).defaults(row, REFERENCE_NOISE if noise is None else noise)


def steps(solver: str, task: str | None) -> int | None:
    """N of `solver` for a task, where its authors set one."""
    return _row(solver, task).get("steps")


def _row(solver: str, task: str | None) -> dict[str, Any]:
    return {} if task is None else _table().get(solver, {}).get(task, {})


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(resources.files(__package__).joinpath("solvers.toml").read_text(encoding="utf-8"))
