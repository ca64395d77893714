"""WHILE nodes: what is asked of CUDA's driver, and that it comes to all the steps; on a driver played in Python."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from lmaps.engine import graph_loop, restorer
from lmaps.engine.graph_cache import GraphCache
from lmaps.engine.local_map.polynomial_gpu import rounded
from lmaps.engine.operators import LinearOperator

from . import fake_cuda
from .fake_driver import Compiler, Driver
from .test_captured import Smeared
from .test_restorer import compiled, measured


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(restorer, "_recordings", GraphCache())


def use(monkeypatch: pytest.MonkeyPatch, driver: Driver, compiler: Compiler) -> None:
    monkeypatch.setattr(graph_loop, "_bindings", lambda: (driver, compiler))


@pytest.mark.parametrize("modern", [True, False], ids=["cuda 13", "cuda 12"])
@pytest.mark.parametrize("operator", ["sr4", Smeared()], ids=["one kind", "several kinds"])
def test_while_nodes_run_every_step(
    operator: str | LinearOperator, modern: bool, tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, compiler = Driver(modern=modern), Compiler()
    use(monkeypatch, driver, compiler)
    options: dict[str, Any] = {"schedule": [2.0, 0.5, 0.2, 0.1, 0.08, 0.04, 0.02, 0.0]}
    eager = compiled(tiny_prior_folder, operator, graph=False, **options)
    plan = compiled(tiny_prior_folder, operator, graph="loop", **options)
    y = measured(1) if operator == "sr4" else torch.rand(1, 3, 16, 24)
    kinds = {plan.solver.kind(i) for i in range(7)}
    assert (len(kinds) == 1) == (operator == "sr4")
    result = plan(y, seed=3)
    assert result.stats["graph"] == "loop: while node"
    assert torch.equal(result.image, eager(y, seed=3).image)
    assert torch.equal(plan(y, seed=3).image, result.image)
    assert driver.launches == 2
    assert compiler.options == [b"--gpu-architecture=sm_90"]
    del plan
    gc.collect()
    eager(y)
    restorer._recordings.get("sweep", lambda: None)  # type: ignore[arg-type, return-value]
    gc.collect()
    assert driver.destroyed == ["executable", "graph"] or driver.destroyed == ["graph", "executable"]


@pytest.mark.parametrize(
    ("driver", "compiler", "reason"),
    [
        (Driver(modern=True, version=12030), Compiler(), "the driver knows CUDA 12.3, and WHILE nodes need 12.4"),
        (Driver(modern=True), Compiler(status=6), "NVRTC refuses the kernel"),
    ],
)
def test_without_while_nodes_the_steps_are_unrolled(
    driver: Driver, compiler: Compiler, reason: str, tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, driver, compiler)
    plan = compiled(tiny_prior_folder, graph="loop")
    y = measured(1)
    result = plan(y)
    assert result.stats["graph"].startswith(f"loop: unrolled, since {reason}")
    assert torch.equal(result.image, compiled(tiny_prior_folder, graph=False)(y).image)


@pytest.mark.parametrize("broken", ["nvrtcCreateProgram", "cuGraphConditionalHandleCreate"])
def test_a_library_that_cannot_be_opened_is_no_while_node(
    broken: str, tiny_prior_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bindings open NVRTC, and look up the driver's functions, in the first call, and raise RuntimeError there."""
    driver, compiler = Driver(modern=True), Compiler()

    def absent(*_: object) -> None:
        raise RuntimeError("Failure finding libnvrtc.so")

    setattr(compiler if broken.startswith("nvrtc") else driver, broken, absent)
    use(monkeypatch, driver, compiler)
    stats = compiled(tiny_prior_folder, graph="loop")(measured(1)).stats
    expected = "loop: unrolled, since CUDA's driver or NVRTC cannot be used: Failure finding libnvrtc.so"
    assert stats["graph"] == expected


def test_what_the_driver_refuses_is_said() -> None:
    with pytest.raises(graph_loop.LoopError, match="CUDA answers 801"):
        graph_loop._checked((801, None))


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        ([22, 21, 11, 5], [22, 22, 12, 6]),
        ([3, 2, 1, 0], [3, 2, 1, 0]),
        ([0, 0], [0, 0]),
        ([26, 25, 14], [26, 26, 14]),
    ],
)
def test_degrees_are_rounded_up_to_four_at_most(degrees: list[int], expected: list[int]) -> None:
    assert rounded(degrees) == expected
