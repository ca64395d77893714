"""What every solver promises: seeds, batches, tasks, refusals, its place in compile()."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import operators, schedules, solvers, tasks
from lmaps.engine.denoisers import BackendUnavailable
from lmaps.engine.operators import LinearOperator, Operator
from lmaps.engine.solvers import table

from .problem import gaussian, relative

SHORT = [8.0, 2.0, 0.6, 0.2, 0.0]
# Small settings, so that every method runs in a blink; what is not named keeps its default.
OPTIONS: dict[str, dict[str, Any]] = {
    "lmaps": {"k1": 0.2, "k2": 1.0, "eta": 0.5, "inner_steps": 10},
    "daps": {"lr": 1e-3, "tau": 0.1, "langevin_steps": 5},
    "sitcom": {"inner_steps": 4},
    "pnp-dm": {"sde_steps": 10, "langevin_steps": 5},
    "fps": {"particles": 3},
    "mcg-diff": {"particles": 3},
    "dmplug": {"inner_steps": 4},
    "resample": {"inner_steps": 30, "every": 2},
    "vml-map": {"inner_steps": 3},
    "dcdp": {"inner_steps": 5, "ddim_steps": 3},
}
# Their papers define them for linear H alone; those in BASIS also need its singular values.
LINEAR = {"ddrm", "ddnm", "tmpd", "fps", "mcg-diff"}
BASIS = {"ddrm", "ddnm", "fps", "mcg-diff"}
SIZE = (32, 32)


def options(name: str) -> dict[str, Any]:
    return OPTIONS.get(name, {})


def small_operator(task: str) -> Operator:
    parameters: dict[str, Any] = {"inpaint-box": {"hole": 12}, "deblur-gaussian": {"size": 9, "std": 1.0}}.get(task, {})
    if task == "deblur-motion":
        parameters = {"size": 9}
    return tasks.build(task, **parameters)


def shrink(x: Tensor, sigma: Tensor) -> Tensor:
    """The denoiser of N(0, 0.25 I), made non-linear so that nothing works by the Gaussian's luck; in [-1, 1]."""
    v = sigma.reshape(-1, 1, 1, 1) ** 2
    return torch.tanh(x * 0.25 / (0.25 + v))


def test_every_method_of_the_comparison_is_there() -> None:
    expected = (
        "lmaps daps sitcom dps ddrm ddnm pigdm diffpir red-diff dcdp pnp-dm tmpd lgd fps mcg-diff dmplug resample vml-map "
        "fast-dips"
    )
    assert solvers.available() == expected.split()
    assert all(solvers.get(name).name == name for name in solvers.available())


@pytest.mark.parametrize("name", solvers.available())
def test_a_batch_equals_its_images_alone(name: str) -> None:
    problem = gaussian()
    y = torch.cat([problem.y, -0.5 * problem.y])

    def run(measured: Tensor, seed: int) -> Tensor:
        return lmaps.sample(
            problem.prior.denoise, problem.operator, measured, schedule=SHORT, solver=name, seed=seed, **options(name)
        )

    together = run(y, 5)
    assert together.shape == (2, 1, 3, 4)
    assert torch.isfinite(together).all()
    for b in range(2):
        assert relative(together[b], run(y[b : b + 1], 5 + b)[0]) < 1e-4
    assert torch.equal(together, run(y, 5))
    assert relative(together[0], together[1]) > 0.05


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
@pytest.mark.parametrize("name", solvers.available())
def test_every_task_a_method_is_defined_for_runs(name: str, task: str) -> None:
    operator = small_operator(task)
    truth = torch.tanh(torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(3)))
    y = operator.degrade(truth, noise=0.05, seed=1)
    schedule = [10.0, 1.0, 0.2, 0.0]
    row = {**table.defaults(name, task, 0.05), **options(name)} if name != "lmaps" else options(name)
    refusal = _refusal(name, operator)
    if refusal:
        with pytest.raises(ValueError, match=refusal):
            lmaps.sample(shrink, operator, y, schedule=schedule, solver=name, **row)
        return
    x = lmaps.sample(shrink, operator, y, schedule=schedule, solver=name, **row)
    assert x.shape == truth.shape
    assert torch.isfinite(x).all()
    assert x.abs().max() < 50


def _refusal(name: str, operator: Operator) -> str | None:
    if name == "pigdm" and isinstance(operator, operators.PhaseRetrieval | operators.NonlinearBlur):
        return f"{type(operator).__name__} is not linear"
    if name == "fast-dips" and not operator.differentiable:
        return f"{type(operator).__name__} is not differentiable"
    if not isinstance(operator, LinearOperator):
        return f"{type(operator).__name__} is not" if name in LINEAR else None
    if name in BASIS and operator.spectrum((1, 3, *SIZE)) is None:
        return f"{type(operator).__name__} has no cheap basis"
    return None


@pytest.mark.parametrize("name", solvers.available())
def test_unknown_options_are_named(name: str) -> None:
    with pytest.raises(TypeError, match="wrong_option"):
        solvers.build(name, gaussian().operator, SHORT, (1, 1, 3, 4), **options(name), wrong_option=1)


@pytest.mark.parametrize("name", [name for name in solvers.available() if name != "lmaps"])
def test_numbers_out_of_range_are_named(name: str) -> None:
    """Every numeric option refuses a negative number, or says what it takes."""
    signature = inspect.signature(solvers.get(name))
    numeric = [p.name for p in signature.parameters.values() if type(p.default) in (int, float)]
    for option in numeric:
        with pytest.raises(ValueError, match=option):
            solvers.build(name, gaussian().operator, SHORT, (1, 1, 3, 4), **{**options(name), option: -1.5})


@pytest.mark.parametrize("name", solvers.available())
def test_own_schedules_are_schedules(name: str) -> None:
    kind = solvers.get(name)
    for steps in (None, 7):
        schedule = kind.schedule(steps)
        if schedule is not None:
            assert len(schedules.validated(schedule)) == len(schedule)


def test_rows_of_the_table_are_options_of_their_solver() -> None:
    for name in solvers.available():
        known = set(inspect.signature(solvers.get(name)).parameters)
        for task in tasks.TASKS:
            assert set(table.defaults(name, task, 0.05)) <= known, (name, task)
    assert table.defaults("dps", "inpaint-box", None) == {"zeta": 0.5}
    assert table.defaults("sitcom", "sr4", 0.1) == {"noise": 0.1}


def test_compile_gives_gradient_solvers_a_torch_backend(tiny_prior_folder: Path) -> None:
    prior = lmaps.load_prior(str(tiny_prior_folder))
    restorer = lmaps.compile(operators.Denoise(), prior, size=(8, 12), solver="dps", steps=3, precision="float32")
    result = restorer(torch.zeros(1, 3, 8, 12))
    assert result.stats["backend"] == "torch"
    assert result.stats["gradient"] is True
    assert result.stats["solver"] == "dps"
    assert result.stats["denoiser_calls"] == 3
    with pytest.raises(BackendUnavailable, match=r"'dps' needs the gradient of the network.*'openvino'"):
        lmaps.compile(operators.Denoise(), prior, size=(8, 12), solver="dps", backend="openvino")


def test_compile_runs_methods_that_call_the_network_again(tiny_prior_folder: Path) -> None:
    prior = lmaps.load_prior(str(tiny_prior_folder))
    restorer = lmaps.compile(
        operators.Denoise(), prior, size=(8, 12), solver="daps", steps=4, backend="torch", langevin_steps=3, noise=0.1
    )
    result = restorer(torch.zeros(1, 3, 8, 12))
    assert result.stats["denoiser_calls"] == 20
    assert result.stats["gradient"] is False
    stats = result.stats
    assert stats["denoise_s"] + stats["local_map_s"] + stats["transition_s"] <= stats["total_s"]


@pytest.mark.parametrize(
    ("solver", "task", "steps"),
    [("dcdp", "inpaint-random", 20), ("dcdp", "deblur-gaussian", 10), ("fast-dips", "hdr", 150), ("ddrm", "sr4", 20)],
)
def test_compile_takes_the_methods_own_noise_levels(
    tiny_prior_folder: Path, solver: str, task: str, steps: int
) -> None:
    prior = lmaps.load_prior(str(tiny_prior_folder))
    restorer = lmaps.compile(task, prior, size=(16, 16), solver=solver, backend="torch", precision="float32")
    assert restorer.steps == steps
    fewer = lmaps.compile(task, prior, size=(16, 16), solver=solver, backend="torch", precision="float32", steps=5)
    assert fewer.steps == 5
    schedule = table.schedule(solver, task, 5)
    assert schedule is not None
    assert fewer.sigmas == pytest.approx(schedule.tolist())


def test_compile_passes_the_noise_to_methods_that_ask_for_it(tiny_prior_folder: Path) -> None:
    prior = lmaps.load_prior(str(tiny_prior_folder))
    given = {"size": (16, 16), "backend": "torch", "precision": "float32", "steps": 3, "noise": 0.2}
    assert lmaps.compile("sr4", prior, solver="ddrm", **given).solver.noise == 0.2  # type: ignore[attr-defined, arg-type]
    daps = lmaps.compile("sr4", prior, solver="daps", **given).solver  # type: ignore[arg-type]
    assert (daps.tau, daps.lr) == pytest.approx((0.04, 1e-4))  # type: ignore[attr-defined]
    quiet = table.defaults("daps", "sr4", 0.025)
    assert (quiet["tau"], quiet["lr"]) == pytest.approx((0.005, 0.25e-4))


@pytest.mark.parametrize("solver", ["lmaps", "daps", "ddrm", "sitcom", "pnp-dm", "fast-dips", "dcdp"])
def test_no_steps_at_all_is_refused(tiny_prior_folder: Path, solver: str) -> None:
    prior = lmaps.load_prior(str(tiny_prior_folder))
    with pytest.raises(ValueError, match=r"steps must be a whole number.*0"):
        lmaps.compile("sr4", prior, size=(16, 16), solver=solver, backend="torch", steps=0)
