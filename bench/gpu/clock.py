"""Times of calls: many in a row between two waits for the device, and CUDA graphs of a call where there is a GPU."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .bench import Bench

# A group of calls lasts at least this long, so that waiting for the device (some 10 us) does not count.
GROUP_SECONDS = 0.02
WARM_UPS = 3


def per_call(call: Callable[[], object], bench: Bench, *, seconds: float = 0.5) -> float:
    """Median seconds of a call, calls following one another; measured for about `seconds`, three groups at least."""
    for _ in range(1 if bench.tiny else WARM_UPS):
        call()
    once = _group(call, 1, bench)
    calls = 1 if bench.tiny else max(1, round(GROUP_SECONDS / max(once, 1e-7)))
    groups = 3 if bench.tiny else max(3, min(50, round(seconds / max(once * calls, 1e-7))))
    return statistics.median(_group(call, calls, bench) for _ in range(groups))


def each(call: Callable[[], object], bench: Bench, *, seconds: float, least: int = 3, most: int = 200) -> list[float]:
    """Seconds of single calls, each waited for, as one request after another sees them."""
    times: list[float] = []
    while len(times) < least or (sum(times) < seconds and len(times) < most and not bench.tiny):
        times.append(_group(call, 1, bench))
    return times


def _group(call: Callable[[], object], calls: int, bench: Bench) -> float:
    bench.wait()
    started = time.perf_counter()
    for _ in range(calls):
        call()
    bench.wait()
    return (time.perf_counter() - started) / calls


@dataclass(frozen=True)
class Replay:
    """A recorded call. Keeps the call as well: the graph holds the addresses of its tensors, and not the tensors."""

    graph: torch.cuda.CUDAGraph
    call: Callable[[], object]

    def __call__(self) -> None:
        self.graph.replay()


def captured(call: Callable[[], object], bench: Bench) -> Callable[[], object]:
    """`call` as a CUDA graph; on a CPU the call itself."""
    if not bench.on_gpu:
        return call
    stream = torch.cuda.Stream(bench.device)
    stream.wait_stream(torch.cuda.current_stream(bench.device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            call()
    torch.cuda.current_stream(bench.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        call()
    return Replay(graph, call)


def percentile(times: Sequence[float], share: float) -> float:
    """The time that `share` of all do not exceed, 0 < share <= 1."""
    ranked = sorted(times)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
