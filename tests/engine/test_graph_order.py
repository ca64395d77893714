"""What a recording does before it records: where it runs, whom it keeps waiting, and what it turns on meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lmaps.engine import graph
from lmaps.engine.captured import Turn
from lmaps.engine.graph import CudaRecorder

from . import fake_cuda
from .fake_cuda import DEFAULT, FakeStream
from .test_captured import SEEDS, SHAPE, SIGMAS, denoise, measurement, solver

CPU = torch.device("cpu")
SOON = 10.0


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(graph, "_orders", {})


@dataclass
class Call:
    """Of the denoiser: on which stream, whether others could enqueue replays, and what was on."""

    stream: FakeStream
    others_wait: bool
    behind_the_last: bool
    tuning: bool
    recording: bool


def turn_of(into: Callable[[Tensor, Tensor, Tensor], None]) -> Turn:
    method = solver("mask")
    turn = Turn(into, method, SIGMAS, SHAPE, method.observe(measurement("mask")), CPU)
    turn.begin(method.observe(measurement("mask")), SEEDS)
    return turn


def prepared(way: str) -> tuple[CudaRecorder, list[Call]]:
    """Recorded by `way`, and the calls of the denoiser that this took."""
    recorder, calls = CudaRecorder(CPU), list[Call]()
    order = recorder._order

    def into(x: Tensor, sigma: Tensor, out: Tensor) -> None:
        stream = fake_cuda.current_stream()
        calls.append(
            Call(
                stream,
                order._lock.locked(),
                order._last in stream.awaited,  # type: ignore[comparison-overlap]
                torch.backends.cudnn.benchmark,
                fake_cuda.recording(),
            )
        )
        out.copy_(denoise(x, sigma))

    turn = turn_of(into)
    recorder.loop(turn) if way == "loop" else recorder.step(turn, turn.kinds[0])
    return recorder, calls


@pytest.mark.parametrize("way", ["step", "loop"])
def test_what_shares_a_graphs_scratch_memory_takes_its_turn(way: str) -> None:
    recorder, calls = prepared(way)
    own = recorder._stream
    assert own is not DEFAULT
    launched = [call for call in calls if not call.recording]
    assert {id(call.stream) for call in launched} == {id(own), id(DEFAULT)}
    for call in launched:
        assert call.others_wait == call.behind_the_last == (call.stream is own)
    # Replays that come now wait for the end of it.
    assert recorder._order._last.stream is own  # type: ignore[attr-defined]
    assert not recorder._order._lock.locked()
    assert launched[0].stream is DEFAULT, "the first call, which compiles, keeps others waiting"


def test_a_warm_up_that_fails_leaves_its_end_behind() -> None:
    recorder = CudaRecorder(CPU)

    def into(x: Tensor, sigma: Tensor, out: Tensor) -> None:
        if fake_cuda.current_stream() is recorder._stream:
            raise ValueError("no")
        out.copy_(x)

    with pytest.raises(ValueError, match="no"):
        recorder.step(turn_of(into), 0)
    assert recorder._order._last.stream is recorder._stream  # type: ignore[attr-defined]
    assert not recorder._order._lock.locked()
    assert fake_cuda.current_stream() is DEFAULT


def test_replays_go_on_while_another_recording_compiles() -> None:
    replay = CudaRecorder(CPU).step(turn_of(lambda x, sigma, out: out.copy_(denoise(x, sigma))), 0)
    begun, go = threading.Event(), threading.Event()

    def slow(x: Tensor, sigma: Tensor, out: Tensor) -> None:
        begun.set()
        assert go.wait(SOON)
        out.copy_(x)

    recording = threading.Thread(target=lambda: CudaRecorder(CPU).step(turn_of(slow), 0))
    replaying = threading.Thread(target=replay)
    recording.start()
    assert begun.wait(SOON)
    replaying.start()
    replaying.join(SOON / 2)
    waited = replaying.is_alive()
    go.set()
    recording.join(SOON)
    replaying.join(SOON)
    assert not waited


@pytest.mark.parametrize("users", [False, True])
def test_cudnn_is_tuned_before_a_recording_and_left_as_the_user_had_it(
    users: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", users)
    _, calls = prepared("step")
    assert all(call.tuning for call in calls if not call.recording)
    assert torch.backends.cudnn.benchmark is users
