"""A turn recorded once and replayed for every step: as a CUDA graph on a GPU, or simply taken again where there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import Protocol

import torch

from ..kernels.timing import RECORDING
from . import graph_loop
from .captured import Turn
from .denoisers.cuda import joined, tuning

Replay = Callable[[], object]


class RecordingBroke(RuntimeError):
    """A recording that had begun could not be finished, which torch's allocator does not undo."""


class Recorder(Protocol):
    """Makes replays of a turn's steps. name: what they are, for stats."""

    name: str

    def step(self, turn: Turn, kind: int) -> Replay:
        """One step of a kind."""
        ...

    def loop(self, turn: Turn) -> Replay:
        """All steps."""
        ...


class Rerun:
    """Records nothing, and takes the steps from Python every time."""

    name = "off"

    def step(self, turn: Turn, kind: int) -> Replay:
        return partial(turn.take, kind)

    def loop(self, turn: Turn) -> Replay:
        return partial(_all_steps, turn)


class CudaRecorder:
    """CUDA graphs in one memory pool, recorded on a stream of their own and replayed on the current one.

    The pool is shared because the graphs of one recorder never run at the same time and keep nothing in it between replays.
    A recording is local to its thread: others may go on using the GPU meanwhile.
    """

    def __init__(self, device: torch.device) -> None:
        self.name = "step"
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)
        self._order = _order_of(device)

    def step(self, turn: Turn, kind: int) -> Replay:
        return self._ordered(self._record(turn, partial(turn.take, kind)).replay)

    def loop(self, turn: Turn) -> Replay:
        """One launch: WHILE nodes, one for each run of steps of a kind, or where there are none the steps one by one."""
        obstacle = graph_loop.obstacle()
        if obstacle is None:
            try:
                loop = self._while_loop(turn)
            except graph_loop.LoopError as error:
                obstacle = str(error)
            else:
                self.name = "loop: while node"
                return self._ordered(loop.launch)
        self.name = f"loop: unrolled, since {obstacle}"
        return self._ordered(self._record(turn, partial(_all_steps, turn)).replay)

    def _while_loop(self, turn: Turn) -> graph_loop.WhileLoop:
        bodies = {kind: self._record(turn, partial(turn.take, kind), keep=True) for kind in set(turn.kinds)}
        runs = [(bodies[kind], len(list(run))) for kind, run in groupby(turn.kinds)]
        with torch.cuda.device(self._device):
            return graph_loop.WhileLoop(runs, turn.counter)

    def _record(self, turn: Turn, work: Callable[[], None], *, keep: bool = False) -> torch.cuda.CUDAGraph:
        # A recording that fails leaves its stream as the current one: the outer stream comes back in any case.
        with RECORDING, torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream(self._device)):
            with tuning():
                self._warm_up(turn, work)
            graph = torch.cuda.CUDAGraph(keep_graph=keep)
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    work()
            except Exception as error:
                raise RecordingBroke(
                    f"{error} (midway: torch may keep the memory of this recording, and give none back to the GPU, until the "
                    "process ends; if later work on the GPU fails, start a new process and compile with graph=False)"
                ) from error
        return graph

    def _warm_up(self, turn: Turn, work: Callable[[], None]) -> None:
        """Take the work before it is recorded, twice, and look for what a recording forbids.

        First on the default stream, whose scratch memory no graph uses: kernels are compiled and libraries tuned, which may
        take minutes, and constants moved to the GPU, while other graphs are replayed. Then on the stream that records, so
        that its scratch memory is there.
        """
        default = torch.cuda.default_stream()
        with joined(default, self._device), torch.cuda.stream(default):
            turn.rewind()
            work()
            for kind in dict.fromkeys(turn.kinds):
                turn.rewind()
                turn.check(kind)
        with joined(self._stream, self._device), torch.cuda.stream(self._stream), self._order.behind(self._stream):
            turn.rewind()
            work()
            turn.rewind()

    def _ordered(self, replay: Replay) -> Replay:
        """`replay` in its order among those on this GPU, whichever stream it is enqueued on."""

        def run() -> None:
            with torch.cuda.device(self._device), self._order.behind(torch.cuda.current_stream()):
                replay()

        return run


class _Order:
    """One GPU's replays one behind another, and with them what else uses their scratch memory.

    Graphs recorded on one stream (torch hands out 32, in turn) share the scratch memory of cuBLAS, and so does whatever is
    launched there without a graph.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = torch.cuda.Event()

    @contextmanager
    def behind(self, stream: torch.cuda.Stream) -> Iterator[None]:
        """What is enqueued on `stream` inside comes after all that came before in this order. Others wait to enqueue theirs."""
        with self._lock:
            stream.wait_event(self._last)
            try:
                yield
            finally:
                self._last.record(stream)


_orders: dict[torch.device, _Order] = {}
_orders_lock = threading.Lock()


def _order_of(device: torch.device) -> _Order:
    with _orders_lock:
        return _orders.setdefault(device, _Order())


def _all_steps(turn: Turn) -> None:
    for kind in turn.kinds:
        turn.take(kind)
