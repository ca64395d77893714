"""How often a method calls the network, and how a method is cut down to a budget of calls."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from .. import schedules, solvers
from ..solvers import table
from ..solvers.flow import ddim_levels
from ..solvers.pnp_dm import SDE_RANGE
from .grids import Ends, levels

# The option that multiplies a step's calls.
INNER = {
    "daps": "ode_steps",
    "sitcom": "inner_steps",
    "dcdp": "ddim_steps",
    "pnp-dm": "sde_steps",
    "fps": "particles",
    "mcg-diff": "particles",
    "dmplug": "inner_steps",
    "vml-map": "inner_steps",
}


def calls(solver: str, sigmas: Sequence[float], inner: int | None = None) -> int:
    """Calls of the network of one run over `sigmas`, which end with 0; for sitcom, which may stop early, at most.

    inner: the value of the option `INNER[solver]`; of no meaning for a method that has none.
    """
    steps = len(sigmas) - 1
    if inner is None or solver not in INNER:
        return steps
    if solver in ("dmplug", "vml-map"):
        return steps * (inner + 1)
    if solver == "dcdp":
        return sum(len(ddim_levels(sigma, inner)) - 1 for sigma in sigmas[:-1])
    if solver == "pnp-dm":
        grid = [float(s) for s in schedules.edm(inner, *SDE_RANGE)[:-1]]
        return sum(1 + sum(s < sigma for s in grid) for sigma in sigmas[:-1])
    return steps * inner


def own(
    solver: str, task: str, steps: int | None, default_steps: int, options: dict[str, Any], ends: Ends | None = None
) -> int:
    """Calls of a run that nothing cuts down.

    steps: N asked for, or None for the method's own.   default_steps: N of the task's grid, for methods that have none.
    ends: range of the noise levels where they are not the method's own.
    """
    sigmas = levels(solver, task, count(solver, task, steps, default_steps), ends)
    return calls(solver, sigmas, _inner(solver, task, options))


def count(solver: str, task: str, steps: int | None, default_steps: int) -> int:
    """N of a run that nothing cuts down."""
    wanted = table.steps(solver, task) if steps is None else steps
    if wanted is not None:
        return wanted
    own_grid = table.schedule(solver, task, None)
    return default_steps if own_grid is None else len(own_grid) - 1


def within(
    solver: str,
    task: str,
    budget: int,
    steps: int | None,
    default_steps: int,
    options: dict[str, Any],
    ends: Ends | None = None,
) -> tuple[int, dict[str, Any]]:
    """(N, options) of a run of at most `budget` calls; a run that keeps to it already is left as it is.

    A method of N steps is given `budget` steps. Where every step costs several calls, N and the calls of a step shrink by
    the same factor; dmplug keeps its N, which is part of the method. steps, default_steps, ends: as in `own`.
    """
    inner = _inner(solver, task, options)
    sigmas = levels(solver, task, count(solver, task, steps, default_steps), ends)
    longest, full = len(sigmas) - 1, calls(solver, sigmas, inner)
    if full <= budget:
        return longest, options
    if inner is None:
        return budget, options
    if solver == "dmplug":
        return min(longest, budget), {**options, INNER[solver]: max(1, budget // longest - 1)}
    shrunk = max(1, round(inner * math.sqrt(budget / full)))
    fitting = (
        n for n in range(min(longest, budget), 0, -1) if calls(solver, levels(solver, task, n, ends), shrunk) <= budget
    )
    return next(fitting, 1), {**options, INNER[solver]: shrunk}


def _inner(solver: str, task: str, options: dict[str, Any]) -> int | None:
    if solver not in INNER:
        return None
    name = INNER[solver]
    default = inspect.signature(solvers.get(solver)).parameters[name].default
    return int({**table.defaults(solver, task, None), **options}.get(name, default))
