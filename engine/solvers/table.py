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
    row = _table().get(solver, {}).get(task, {}) if task is not None else {}
    return get(solver).defaults(row, REFERENCE_NOISE if noise is None else noise)


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(resources.files(__package__).joinpath("solvers.toml").read_text(encoding="utf-8"))
