"""Restorers that record graphs (the CPU plays the GPU), and what every restorer says of itself."""

from __future__ import annotations

import gc
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps import operators
from lmaps.engine import graph_loop, restorer
from lmaps.engine import plan as plan_module
from lmaps.engine.denoisers.torch_backend import TorchDenoiser
from lmaps.engine.graph_cache import GraphCache
from lmaps.engine.operators import LinearOperator, Operator, base
from lmaps.kernels.timing import RECORDING

from . import fake_cuda
from .fake_cuda import FakeGraph

OPTIONS: dict[str, Any] = {"size": (16, 24), "steps": 4, "backend": "torch", "precision": "float32", "preset": "paper"}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(restorer, "_recordings", GraphCache(3))


def compiled(folder: Path, task: str | Operator = "sr4", **changes: Any) -> lmaps.Restorer:
    return lmaps.compile(task, str(folder), **{**OPTIONS, **changes})


def measured(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 4, 6, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    "operator",
    [operators.SuperResolution(4), operators.Inpainting.random(), operators.Denoise()],
    ids=lambda o: type(o).__name__,
)
def test_recorded_steps_give_the_image_of_the_eager_ones(operator: Operator, tiny_prior_folder: Path) -> None:
    y = operator.degrade(torch.rand(3, 3, 16, 24) * 2 - 1, 0.05)
    results = {g: compiled(tiny_prior_folder, operator, batch=2, graph=g)(y, seed=5) for g in (True, False, "loop")}
    assert torch.equal(results[True].image, results[False].image)
    assert torch.equal(results["loop"].image, results[False].image)
    stats = {g: r.stats for g, r in results.items()}
    assert stats[True]["graph"] == "step"
    assert stats[False]["graph"] == "off: not asked for"
    assert stats["loop"]["graph"].startswith("loop: unrolled, since ")
    assert stats[True]["denoiser_calls"] == stats[False]["denoiser_calls"] == 8
    assert stats[True]["denoise_s"] is None
    assert stats[False]["denoise_s"] > 0
    assert {"prior_s", "settings_s", "solver_s", "denoiser_s", "warm_up_s", "record_s"} <= set(stats[True]["prepare"])
    assert "record_s" not in stats[False]["prepare"]


@pytest.mark.usefixtures("gpu")
def test_a_step_is_recorded_once_and_replayed_for_every_request(tiny_prior_folder: Path) -> None:
    plan = compiled(tiny_prior_folder)
    assert (FakeGraph.recorded, FakeGraph.replays) == (1, 0)
    first = plan(measured(1), seed=1)
    for seed in (2, 3):
        plan(measured(1, seed), seed=seed)
    assert torch.equal(plan(measured(1), seed=1).image, first.image)
    assert (FakeGraph.recorded, FakeGraph.replays) == (1, 16)


@pytest.mark.usefixtures("gpu")
def test_loops_are_one_launch_unless_a_callback_watches(tiny_prior_folder: Path) -> None:
    plan = compiled(tiny_prior_folder, graph="loop")
    whole = plan(measured(1))
    assert (FakeGraph.recorded, FakeGraph.replays) == (1, 1)
    seen: list[int] = []
    watched = plan(measured(1), callback=lambda p: seen.append(p.step))
    assert torch.equal(watched.image, whole.image)
    assert watched.stats["graph"] == "step: a callback watches"
    assert seen == [1, 2, 3, 4]
    assert (FakeGraph.recorded, FakeGraph.replays) == (2, 5)


@pytest.mark.usefixtures("gpu")
def test_the_least_used_recording_makes_room_with_one_warning(tiny_prior_folder: Path) -> None:
    plans = [compiled(tiny_prior_folder) for _ in range(3)]
    expected = plans[0](measured(1)).image
    with pytest.warns(RuntimeWarning, match="more than 3 restorations"):
        plans.append(compiled(tiny_prior_folder))
    assert FakeGraph.recorded == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plans[1](measured(1))
    assert FakeGraph.recorded == 5
    assert torch.equal(plans[0](measured(1)).image, expected)
    assert len(restorer._recordings) == 3


@pytest.mark.usefixtures("gpu")
def test_a_restorer_takes_its_recording_along_when_it_goes(tiny_prior_folder: Path) -> None:
    kept = compiled(tiny_prior_folder)
    gone = compiled(tiny_prior_folder)
    del gone
    gc.collect()
    kept(measured(1))
    assert len(restorer._recordings) == 1


@pytest.mark.usefixtures("gpu")
def test_two_threads_compile_at_once_and_one_records_again(
    tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backends wait for the whole GPU while they are opened, which would break a recording in another thread."""
    real = plan_module.open_tiled

    def opened(*args: Any, **options: Any) -> Any:
        torch.cuda.synchronize()
        denoiser = real(*args, **options)
        time.sleep(0.01)
        torch.cuda.synchronize()
        return denoiser

    monkeypatch.setattr(plan_module, "open_tiled", opened)
    mine = compiled(tiny_prior_folder, graph=True)
    expected = mine(measured(1)).image
    images, failures = list[Tensor](), list[BaseException]()

    def work(number: int) -> None:
        try:
            for _ in range(2):
                plan = mine if number == 0 else compiled(tiny_prior_folder, graph=True)
                restorer._recordings.drop(mine._token)  # it is recorded again
                images.append(plan(measured(1)).image)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert len(images) == 6
    assert all(torch.equal(image, expected) for image in images)


@pytest.mark.usefixtures("gpu")
def test_what_is_measured_while_compiling_is_measured_on_the_restorers_gpu(
    tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream or an event that names no device belongs to the current one, and times that."""
    current, seen = ["cuda:0"], dict[str, str]()

    @contextmanager
    def device(wanted: torch.device) -> Iterator[None]:
        current.append(str(wanted))
        try:
            yield
        finally:
            current.pop()

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            seen[name] = current[-1]
            return function(*args, **options)

        return call

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(plan_module.solvers, "build", watched("solver", plan_module.solvers.build))
    monkeypatch.setattr(plan_module, "open_tiled", watched("denoiser", plan_module.open_tiled))
    compiled(tiny_prior_folder, device="cpu")
    assert seen == {"solver": "cpu", "denoiser": "cpu"}
    assert current == ["cuda:0"]


@pytest.mark.usefixtures("gpu")
def test_a_closed_restorer_gives_its_memory_back_at_once(tiny_prior_folder: Path) -> None:
    with compiled(tiny_prior_folder) as plan:
        weights = weakref.ref(plan.denoiser)
        plan(measured(1))
        assert len(restorer._recordings) == 1
    assert len(restorer._recordings) == 0
    gc.collect()
    assert weights() is None
    plan.close()
    with pytest.raises(RuntimeError, match="this restorer is closed; compile another"):
        plan(measured(1))
    with pytest.raises(RuntimeError, match="closed"):
        plan.record()
    assert plan.compiled["task"] == "sr4"


@pytest.mark.usefixtures("gpu")
def test_what_goes_while_something_is_recorded_waits_for_its_end() -> None:
    """A finalizer may run at any moment, in the thread that records too."""
    cache: GraphCache[str] = GraphCache()
    cache.get(("gone", 1), lambda: "a")

    def make() -> str:
        cache.drop("gone")
        assert len(cache) == 1
        return "b"

    cache.get(("kept", 1), make)
    assert len(cache) == 1
    with RECORDING:
        cache.drop("kept")
        assert len(cache) == 1
    cache.drop("other")
    assert len(cache) == 0


@pytest.mark.usefixtures("gpu")
def test_a_recording_that_breaks_midway_names_the_consequence(
    tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def breaks(graph: FakeGraph, **options: Any) -> Iterator[None]:
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "graph", breaks)
    with pytest.warns(RuntimeWarning, match=r"previous error during capture \(midway: torch may keep the memory"):
        plan = compiled(tiny_prior_folder)
    assert plan.graph_name.startswith("off: recording failed")


@pytest.mark.usefixtures("gpu")
def test_a_denoiser_that_reads_the_gpu_is_found_before_a_recording(
    tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reads(self: TorchDenoiser, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        out.copy_(x if float(sigma[0]) > 0 else -x)

    monkeypatch.setattr(TorchDenoiser, "into", reads)
    with pytest.warns(RuntimeWarning, match="without a CUDA graph: recording failed: a step reads a tensor's value"):
        compiled(tiny_prior_folder)
    assert FakeGraph.recorded == 0


@pytest.mark.usefixtures("gpu")
def test_what_cannot_be_recorded_runs_from_python_and_says_why(tiny_prior_folder: Path) -> None:
    for changes, reason in (
        ({"solver": "daps", "langevin_steps": 3, "noise": 0.1}, "solver 'daps' works out its steps in Python"),
        ({"strategy": "reference"}, "strategy 'reference' works out its steps in Python"),
    ):
        assert compiled(tiny_prior_folder, **changes)(measured(1)).stats["graph"] == f"off: {reason}"
        for graph in (True, "loop"):
            with pytest.raises(ValueError, match=f"cannot be had: {reason}"):
                compiled(tiny_prior_folder, graph=graph, **changes)


class Peeking(LinearOperator):
    """An operator that looks at its numbers, which no recording allows."""

    def forward(self, x: Tensor) -> Tensor:
        return x if bool(torch.isfinite(x.sum())) else 0 * x

    def adjoint(self, u: Tensor) -> Tensor:
        return u.clone()


@pytest.mark.usefixtures("gpu")
def test_a_recording_that_fails_is_said_and_survived(tiny_prior_folder: Path) -> None:
    with pytest.warns(RuntimeWarning, match="without a CUDA graph: recording failed: a step reads a tensor's value"):
        plan = compiled(tiny_prior_folder, Peeking())
    assert plan(torch.zeros(1, 3, 16, 24)).stats["graph"].startswith("off: recording failed")
    with pytest.raises(RuntimeError, match="recording the CUDA graph failed"):
        compiled(tiny_prior_folder, Peeking(), graph=True)
    # Found before a recording began, which would have been left half made.
    assert FakeGraph.recorded == 0


@pytest.mark.usefixtures("gpu")
def test_the_callers_operator_is_left_alone(tiny_prior_folder: Path) -> None:
    mine = operators.SuperResolution(4)
    plan = compiled(tiny_prior_folder, mine)
    assert plan.operator is not mine

    class Uncopied(operators.Denoise):
        def __deepcopy__(self, memo: object) -> Operator:
            raise TypeError("no")

    with pytest.raises(ValueError, match="Uncopied cannot be copied"):
        compiled(tiny_prior_folder, Uncopied())


@pytest.mark.usefixtures("gpu")
def test_eight_threads_on_recordings_equal_the_serial_results(tiny_prior_folder: Path) -> None:
    plans = [compiled(tiny_prior_folder), compiled(tiny_prior_folder, "inpaint-random")]
    inputs = [[measured(1, i) for i in range(4)], [torch.rand(1, 3, 16, 24) for _ in range(4)]]
    _equal_in_threads(plans, inputs, rounds=4)


def test_eight_threads_on_a_cpu_equal_the_serial_results(tiny_prior_folder: Path) -> None:
    """Several requests with different measurements share one plan, and two plans run beside each other."""
    plans = [compiled(tiny_prior_folder, batch=2), compiled(tiny_prior_folder, "jpeg")]
    inputs = [[measured(n + 1, n) for n in range(4)], [torch.rand(1, 3, 16, 24) for _ in range(4)]]
    _equal_in_threads(plans, inputs, rounds=6)


def _equal_in_threads(plans: list[lmaps.Restorer], inputs: list[list[Tensor]], rounds: int) -> None:
    expected = {(p, i): plans[p](inputs[p][i], seed=i).image for p in range(2) for i in range(4)}
    wrong: list[tuple[int, int]] = []
    done: list[int] = []

    def work(thread: int) -> None:
        for round_ in range(rounds):
            p, i = (thread + round_) % 2, (thread + 3 * round_) % 4
            if not torch.equal(plans[p](inputs[p][i], seed=i).image, expected[p, i]):
                wrong.append((p, i))
            done.append(thread)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(done) == 8 * rounds


def test_a_cpu_has_no_graph_and_says_so(tiny_prior_folder: Path) -> None:
    plan = compiled(tiny_prior_folder)
    stats = plan(measured(1)).stats
    assert stats["graph"] == "off: the device is the CPU, where nothing is launched"
    assert stats["peak_bytes"] > 50e6
    assert stats["transition_kernel"].startswith("cpu ")
    prepare = stats["prepare"]
    assert {"prior_s", "settings_s", "solver_s", "denoiser_s", "warm_up_s"} <= set(prepare)
    assert all(seconds >= 0 for seconds in prepare.values())
    assert (
        sum(prepare[k] for k in ("prior_s", "settings_s", "solver_s", "denoiser_s", "warm_up_s")) <= stats["compile_s"]
    )
    with pytest.raises(ValueError, match="graph=True cannot be had: the device is the CPU"):
        compiled(tiny_prior_folder, graph=True)
    with pytest.raises(ValueError, match="'yes'"):
        compiled(tiny_prior_folder, graph="yes")


@pytest.mark.parametrize(("solver", "times"), [("lmaps", 1), ("daps", 0)])
def test_power_iteration_runs_once_and_only_where_it_is_used(
    solver: str, times: int, tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    real = base.norm_squared

    def counted(operator: LinearOperator, shape: tuple[int, ...], *rest: Any) -> float:
        calls.append(operator)
        return real(operator, shape, *rest)

    for module in ("settings", "local_map.polynomial", "operators.base"):
        monkeypatch.setattr(f"lmaps.engine.{module}.norm_squared", counted)
    compiled(tiny_prior_folder, operators.MotionBlur(9), solver=solver)
    assert len(calls) == times


def test_while_nodes_need_their_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'cuda'")

    monkeypatch.setattr(graph_loop, "_bindings", missing)
    assert "cuda-bindings" in str(graph_loop.obstacle())
