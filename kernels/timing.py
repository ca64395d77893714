"""Times on a GPU: captured once, replayed many times, medians. And the choice between two ways by measuring both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import quantiles

import torch
from torch import Tensor

REPEATS = 20
# One recording at a time in a process: each waits for the GPU first and empties torch's cache, and torch lends one stream.
RECORDING = threading.RLock()
LONG_ENOUGH_US = 2000.0


@dataclass(frozen=True)
class Time:
    """Microseconds for one call: the median, and the 20th and 80th percentiles."""

    median_us: float
    p20_us: float
    p80_us: float


def captured_time(call: Callable[[], object], repeats: int = REPEATS) -> Time:
    """Time of `call` inside a CUDA graph, launches back to back. `call` must be capturable and is run a few times
    first.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    once = _graph_of(call, 1)
    calls = max(1, min(50, int(LONG_ENOUGH_US / max(_elapsed_us(once.replay), 1.0))))
    graph = _graph_of(call, calls)
    for _ in range(3):
        graph.replay()
    return _summary([_elapsed_us(graph.replay) / calls for _ in range(repeats)])


def eager_time(call: Callable[[], object], repeats: int = REPEATS) -> Time:
    """Time of `call` launched from Python, for what cannot be captured."""
    for _ in range(3):
        call()
    return _summary([_elapsed_us(call) for _ in range(repeats)])


def _summary(times: list[float]) -> Time:
    tenths = quantiles(times, n=10)
    return Time(tenths[4], tenths[1], tenths[7])


def _graph_of(call: Callable[[], object], calls: int) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with RECORDING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(calls):
            call()
    return graph


def _elapsed_us(call: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1e3


def fastest(ways: Mapping[str, Callable[[], Tensor]], exact: Callable[[], Tensor], tolerance: float = 2e-6) -> str:
    """The name of the quickest of several ways to the same result, among those within `tolerance` of `exact`
    (relative RMS).

    Used where a library and a kernel compete, as for Fourier transforms. Raises RuntimeError where no way is right,
    or there is no GPU.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("there is no GPU to measure on: choose one of " + ", ".join(ways))
    reference = exact().double()
    scale = torch.linalg.vector_norm(reference)
    times, errors = {}, {}
    for name, way in ways.items():
        errors[name] = float(torch.linalg.vector_norm(way().double() - reference) / scale)
        if errors[name] <= tolerance:
            times[name] = captured_time(way).median_us
    if not times:
        raise RuntimeError(f"no way is within {tolerance:g} of the reference: {errors}")
    return min(times, key=times.__getitem__)
