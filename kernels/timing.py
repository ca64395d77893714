"""Times on a GPU: captured once, replayed many times, medians. And the choice between two ways by measuring both."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

REPEATS = 20
LONG_ENOUGH_US = 2000.0
# The way that is taken where none is right: its name begins with this.
FALLBACK = "torch"


class Alone:
    """A lock that one thread may take several times over, and that also says whether anybody holds it, oneself included."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._lock.release()

    def if_free(self, work: Callable[[], object]) -> bool:
        """Do `work` unless the lock is held, by this thread or another; returns whether it was done. Never waits."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._depth:
                return False
            work()
            return True
        finally:
            self._lock.release()


# One recording at a time in a process: each waits for the GPU first and empties torch's cache, and torch lends one stream.
# Whatever waits for the whole GPU takes it too, since that breaks a recording in any thread: opening run times, measuring.
RECORDING = Alone()


@dataclass(frozen=True)
class Time:
    """Microseconds for one call: the median, and the 20th and 80th percentiles."""

    median_us: float
    p20_us: float
    p80_us: float


def captured_time(call: Callable[[], object], repeats: int = REPEATS) -> Time:
    """Time of `call` inside a CUDA graph, launches back to back, on the current GPU. `call` must be capturable and is run a
    few times first.
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
    from statistics import quantiles  # brings five modules, which a start without a GPU has no use for

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


@dataclass(frozen=True)
class Choice:
    """way: what is taken; passed_over: of what raised or was wrong, the reason by name. What is only slower needs none."""

    way: str
    passed_over: Mapping[str, str] = field(default_factory=dict)


def fastest(ways: Mapping[str, Callable[[], Tensor]], exact: Callable[[], Tensor], tolerance: float = 2e-6) -> Choice:
    """The quickest of several ways to the same result, among those within `tolerance` of `exact` (relative RMS).

    Used where a library and a kernel compete, as for Fourier transforms. Measured on the GPU that `exact` is on, whichever is
    the current one. A way that raises (a kernel that needs more
    than this GPU has) is passed over. Where no way is right, the one named "torch ..." is taken, with a warning that
    says why. Raises RuntimeError where there is none, or no GPU.
    """
    if not torch.cuda.is_available():
        raise RuntimeError("there is no GPU to measure on: choose one of " + ", ".join(ways))
    reference = exact().double()
    with torch.cuda.device(reference.device) if reference.is_cuda else nullcontext():
        times, wrong = _measured(ways, reference, tolerance)
    return Choice(min(times, key=times.__getitem__) if times else _fallback(wrong, tolerance), wrong)


def _measured(
    ways: Mapping[str, Callable[[], Tensor]], reference: Tensor, tolerance: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Microseconds of the ways that are right, and what is wrong with the others, by name."""
    times: dict[str, float] = {}
    wrong: dict[str, str] = {}
    for name, way in ways.items():
        try:
            error = _relative(way(), reference)
            if error <= tolerance:
                times[name] = captured_time(way).median_us
            else:
                wrong[name] = f"{error:.1e} off"
        except Exception as reason:  # Triton's own errors share no base class with torch's
            wrong[name] = f"{type(reason).__name__}: {reason}"
    return times, wrong


def _relative(value: Tensor, reference: Tensor) -> float:
    return float(torch.linalg.vector_norm(value.double() - reference) / torch.linalg.vector_norm(reference))


def _fallback(wrong: Mapping[str, str], tolerance: float) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
    plain = next((name for name in wrong if name.startswith(FALLBACK)), None)
    if plain is None:
        raise RuntimeError(f"no way is within {tolerance:g} of the reference: {reasons}")
    message = f"taking {plain!r}, as no way is within {tolerance:g} of float64 here: {reasons}"
    warnings.warn(message, RuntimeWarning, stacklevel=3)
    return plain
