"""A turn recorded once and replayed for every step: as a CUDA graph on a GPU, or simply taken again where there is none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Protocol

import torch

from ..kernels.timing import RECORDING
from . import graph_loop
from .captured import Turn

Replay = Callable[[], object]
# Turns taken before a recording: in them kernels are compiled, libraries tuned and constants moved to the GPU.
WARM_UPS = 2


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
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    turn.rewind()
                    work()
                for kind in dict.fromkeys(turn.kinds):
                    turn.rewind()
                    turn.check(kind)
                turn.rewind()
            torch.cuda.current_stream().wait_stream(self._stream)
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

    def _ordered(self, replay: Replay) -> Replay:
        """`replay` behind whatever graph was last replayed on this GPU, on whichever stream.

        Graphs recorded on one stream (torch hands out 32, in turn) share the scratch memory of cuBLAS.
        """

        def run() -> None:
            with torch.cuda.device(self._device), self._order.lock:
                stream = torch.cuda.current_stream()
                stream.wait_event(self._order.event)
                replay()
                self._order.event.record(stream)

        return run


class _Order:
    """The end of the last replay on one GPU."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.event = torch.cuda.Event()


_orders: dict[torch.device, _Order] = {}
_orders_lock = threading.Lock()


def _order_of(device: torch.device) -> _Order:
    with _orders_lock:
        return _orders.setdefault(device, _Order())


def _all_steps(turn: Turn) -> None:
    for kind in turn.kinds:
        turn.take(kind)
