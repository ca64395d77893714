"""torch.cuda as far as recording goes, played by the CPU: a recording is a tape, its arguments are checked against torch's."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from lmaps.engine.denoisers import Frame
from lmaps.engine.local_map import device as local_device
from lmaps.engine.priors.padding import pad_to_multiple

from .tape import Tape, no_reading

_REAL_GRAPH = torch.cuda.graph
_REAL_CUDA_GRAPH = torch.cuda.CUDAGraph


class FakeStream:
    """Keeps the events it waited for."""

    def __init__(self, device: Any = None) -> None:
        self.cuda_stream = id(self)
        self.awaited: list[FakeEvent] = []

    def wait_stream(self, other: FakeStream) -> None: ...

    def wait_event(self, event: FakeEvent) -> None:
        self.awaited.append(event)

    def synchronize(self) -> None: ...


class FakeEvent:
    """Keeps the stream it was last recorded on."""

    stream: FakeStream | None = None

    def record(self, stream: FakeStream) -> None:
        self.stream = stream


DEFAULT = FakeStream()
_here = threading.local()


def current_stream(device: Any = None) -> FakeStream:
    """Of the thread that asks."""
    stream: FakeStream = getattr(_here, "stream", DEFAULT)
    return stream


@contextmanager
def _on(stream: FakeStream) -> Iterator[None]:
    before, _here.stream = current_stream(), stream
    try:
        yield
    finally:
        _here.stream = before


def recording() -> bool:
    """Somebody records."""
    return _recording.locked()


class FakeGraph:
    """Counts what it was asked for."""

    recorded = 0
    replays = 0

    def __init__(self, keep_graph: bool = False) -> None:
        inspect.signature(_REAL_CUDA_GRAPH.__new__).bind(_REAL_CUDA_GRAPH, keep_graph=keep_graph)
        self.keep_graph = keep_graph
        self.tape = Tape()

    def replay(self) -> None:
        assert not self.keep_graph, "a graph that is part of another one is not replayed by itself"
        FakeGraph.replays += 1
        self.tape.replay()

    def raw_cuda_graph(self) -> int:
        assert self.keep_graph
        return id(self)


_recording = threading.Lock()


def _synchronize(device: Any = None) -> None:
    """Waiting for the whole GPU breaks a recording in any thread: CUDA refuses it and ends the recording."""
    if _recording.locked():
        raise RuntimeError("operation not permitted when stream is capturing")


@contextmanager
def _graph(cuda_graph: FakeGraph, **options: Any) -> Iterator[None]:
    inspect.signature(_REAL_GRAPH.__init__).bind(None, cuda_graph, **options)
    assert options["capture_error_mode"] == "thread_local"
    assert _recording.acquire(blocking=False), "two recordings at once"
    FakeGraph.recorded += 1
    try:
        with no_reading(), cuda_graph.tape, _on(options.get("stream") or FakeStream()):
            yield
    finally:
        _recording.release()


def _enter(self: Frame, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """`Frame.enter` as it is for tensors on a GPU, whose values are not looked at."""
    return pad_to_multiple(x, self.multiple), sigma


def install(patch: pytest.MonkeyPatch) -> None:
    """The CPU passes for a GPU from here on."""
    FakeGraph.recorded = FakeGraph.replays = 0
    patch.setattr(local_device, "GPU", frozenset({"cpu"}))
    patch.setattr(Frame, "enter", _enter)
    for name, value in {
        "graph": _graph,
        "CUDAGraph": FakeGraph,
        "Stream": FakeStream,
        "Event": FakeEvent,
        "current_stream": current_stream,
        "default_stream": lambda device=None: DEFAULT,
        "stream": _on,
        "device": lambda d: nullcontext(),
        "synchronize": _synchronize,
        "graph_pool_handle": lambda: (0, 1),
    }.items():
        patch.setattr(torch.cuda, name, value)
