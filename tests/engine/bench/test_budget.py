"""Counted calls against the calls that solvers make."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators, schedules, solvers
from lmaps.engine.bench.budget import INNER, calls, own, within
from lmaps.engine.loop import run

SHAPE = (1, 1, 4, 6)
GRID_STEPS = 20


def counted(solver: str, steps: int | None, options: dict[str, Any]) -> int:
    """Calls of the network in one run of the solver on the identity, whose misfit never lets sitcom stop early."""
    made = 0

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal made
        made += 1
        return x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)

    own = solvers.get(solver).schedule(steps)
    sigmas = (schedules.edm(steps or GRID_STEPS, 10, 0.1) if own is None else own).tolist()
    h = operators.Denoise()
    given: dict[str, Any] = {"k1": 0.2, "k2": 1.0, "eta": 0.5} if solver == "lmaps" else {}
    if solver == "sitcom":
        given = {"noise": None}
    method = solvers.build(solver, h, sigmas, SHAPE, **{**given, **options})
    run(denoise, method, 3 * torch.randn(SHAPE), sigmas, SHAPE, [0])
    return made


@pytest.mark.parametrize("solver", solvers.available())
@pytest.mark.parametrize(("steps", "inner"), [(5, 2), (8, 7)])
def test_calls_are_those_the_solver_makes(solver: str, steps: int, inner: int) -> None:
    options = {INNER[solver]: inner} if solver in INNER else {}
    own = solvers.get(solver).schedule(steps)
    sigmas = (schedules.edm(steps, 10, 0.1) if own is None else own).tolist()
    assert calls(solver, sigmas, inner) == counted(solver, steps, options)


@pytest.mark.parametrize("solver", solvers.available())
@pytest.mark.parametrize("budget", [6, 37])
def test_a_run_within_a_budget_keeps_to_it(solver: str, budget: int) -> None:
    steps, options = within(solver, "sr4", budget, None, GRID_STEPS, {})
    assert 1 <= counted(solver, steps, options) <= budget


@pytest.mark.parametrize("solver", ["lmaps", "daps", "sitcom", "ddrm", "pnp-dm", "dcdp", "vml-map"])
def test_a_run_that_keeps_to_the_budget_is_left_alone(solver: str) -> None:
    given = {"rho": 0.5} if solver == "lmaps" else {}
    assert within(solver, "jpeg", 10_000, 7, GRID_STEPS, given) == (7, given)


def test_steps_and_calls_a_step_shrink_alike() -> None:
    assert within("daps", "sr4", 250, None, GRID_STEPS, {}) == (125, {"ode_steps": 2})
    assert within("sitcom", "sr4", 150, None, GRID_STEPS, {}) == (10, {"inner_steps": 15})
    assert within("sitcom", "sr4", 150, None, GRID_STEPS, {"inner_steps": 5}) == (20, {"inner_steps": 5})
    assert within("lmaps", "sr4", 5, None, GRID_STEPS, {}) == (5, {})
    assert within("dmplug", "sr4", 60, None, GRID_STEPS, {}) == (3, {"inner_steps": 19})


def test_own_calls_are_those_of_the_papers() -> None:
    expected = {
        "lmaps": GRID_STEPS,
        "daps": 1000,
        "sitcom": 600,
        "dps": 1000,
        "ddrm": 20,
        "ddnm": 100,
        "pigdm": 100,
        "fast-dips": 75,
        "mcg-diff": 200 * 64,
        "dmplug": 3 * 5001,
    }
    for solver, count in expected.items():
        assert own(solver, "sr4", None, GRID_STEPS, {}) == count, solver
    assert own("daps", "sr4", 50, GRID_STEPS, {"ode_steps": 2}) == 100
