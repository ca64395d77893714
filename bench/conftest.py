"""Shared by the pytest-benchmark suites: sizes, threads, and ratios measured in the same run.

`make bench` runs them at 256x256 on all cores. `--bench-size` makes them small, to see that they work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from .machine import alternated, machine

Against = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bench-size", type=int, default=256, help="side of the pictures, a multiple of 16 (256)")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """What `bench.compare` tells kinds of machines apart by."""
    machine_info["lmaps"] = {"machine": machine(), "threads": torch.get_num_threads()}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--bench-size"))


@pytest.fixture
def shape(size: int) -> tuple[int, int, int, int]:
    return (1, 3, size, size)


@pytest.fixture
def against(benchmark: Any) -> Against:
    """against(fast, slow, figure="...", at_least=20): times `fast`, and notes how many times longer `slow` takes.

    The two take turns, and the ratio is that of their medians. at_least: what an issue promises; it is recorded, and
    `bench.compare` tells which promises were missed, since a busy machine is no bug.
    """

    def measure(
        fast: Callable[[], object],
        slow: Callable[[], object],
        *,
        figure: str,
        at_least: float | None = None,
        rounds: int = 3,
    ) -> None:
        fast()
        benchmark(fast)
        if benchmark.disabled:
            slow()
            return
        medians = alternated({"fast": fast, "slow": slow}, rounds, warm_up=0)
        benchmark.extra_info.update(figure=figure, ratio=medians["slow"] / medians["fast"], slow_s=medians["slow"])
        if at_least is not None:
            benchmark.extra_info["at_least"] = at_least

    return measure
