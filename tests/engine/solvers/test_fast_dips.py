"""FAST-DIPS: its line search, its projection, and the constrained minimum that its iterations approach."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators, schedules
from lmaps.engine.solvers import build, get, table
from lmaps.engine.solvers.base import Step

from .problem import Problem, gaussian, one_estimate, one_step, relative, states


def constrained_minimum(problem: Problem, xhat: Tensor, radius: float) -> Tensor:
    """argmin ||x - xhat||^2 subject to ||A x - y|| <= radius, by bisection on the multiplier."""
    a, y = problem.operator.matrix, problem.y[0].double()

    def solve(weight: float) -> Tensor:
        return torch.linalg.solve(torch.eye(12).double() + weight * a.T @ a, xhat + weight * a.T @ y)

    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2 if high - low < 1 else (low + 1e-9) ** 0.5 * high**0.5
        low, high = (middle, high) if (a @ solve(middle) - y).norm() > radius else (low, middle)
    return solve(high)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
def test_iterations_approach_the_constrained_minimum(sigma: float) -> None:
    problem, radius = gaussian(), 0.3
    options = {"epsilon": radius, "penalty": 20.0, "admm_steps": 300, "gradient_steps": 4}
    xhat, x0 = one_estimate(problem, "fast-dips", states(), sigma, 0.1, **options)
    for b in range(3):
        expected = constrained_minimum(problem, xhat[b].flatten(), radius)
        assert relative(x0[b].flatten(), expected) < 0.01
        assert relative(xhat[b].flatten(), expected) > 0.2


def test_line_search_is_exact_for_linear_h() -> None:
    """No other step along g lowers the objective further."""
    problem, x = gaussian(), states()
    method, _ = one_step(problem, "fast-dips", x, 0.7, 0.1, penalty=3.0)
    goal, xhat = torch.zeros(3, 7, dtype=torch.float64), 0.5 * x

    def objective(z: Tensor) -> Tensor:
        near = (z - xhat).flatten(1).square().sum(1) / 0.7**2
        return near + 3 * problem.operator(z).square().sum(1)

    moved = method._descend(x, xhat, goal, 0.7)  # type: ignore[attr-defined]
    g = (x - xhat) / 0.7**2 + 3 * problem.operator.adjoint(problem.operator(x) - goal)
    for change in (-0.01, 0.01):
        assert (objective(moved + change * g) > objective(moved)).all()
    assert (objective(moved) < objective(x)).all()


def test_projection_is_onto_the_ball_of_each_image() -> None:
    method, _ = one_step(gaussian(), "fast-dips", states(), 1.0, epsilon=0.5)
    y = torch.zeros(2, 7)
    w = torch.stack([torch.full((7,), 0.1), torch.full((7,), 3.0)])
    v = method._project(w, y)  # type: ignore[attr-defined]
    assert torch.equal(v[0], w[0])
    assert v[1].norm() == pytest.approx(0.5, rel=1e-6)
    assert torch.allclose(v[1] / v[1].norm(), w[1] / w[1].norm())


def test_other_operators_go_downhill() -> None:
    """The difference quotient stands in for J g: the misfit of H(x) = |F x| falls."""
    operator = operators.PhaseRetrieval()
    truth = torch.linspace(-0.8, 0.9, 64).reshape(1, 1, 8, 8)
    y = operator(truth)
    xhat = truth + 0.3 * torch.cos(torch.arange(64.0)).reshape(1, 1, 8, 8)
    method = build("fast-dips", operator, [1.0, 0.5, 0.0], xhat.shape, admm_steps=10, gradient_steps=3)
    x0 = method.estimate(xhat, xhat, Step(0, 1.0, 0.5, y, lambda x, s: x, (0,)))
    assert (operator(x0) - y).norm() < 0.5 * (operator(xhat) - y).norm()


def test_last_level_is_left_to_the_network() -> None:
    xhat, x0 = one_estimate(gaussian(), "fast-dips", states(), 0.2, 0.0)
    assert torch.equal(xhat, x0)


def test_schedule_has_as_many_calls_as_the_authors_t() -> None:
    """Their scheduler makes T + 1 levels, the last of them 0, and the sampler runs over the T before it."""
    grid = get("fast-dips").schedule(50)
    assert grid is not None
    assert torch.equal(grid, schedules.edm(50))
    assert table.steps("fast-dips", "sr4") == 75


def test_operators_without_a_derivative_are_refused() -> None:
    with pytest.raises(ValueError, match="Quantize is not differentiable"):
        build("fast-dips", operators.Quantize(), [1.0, 0.0], (1, 3, 4, 4))
