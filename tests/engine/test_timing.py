"""Spans of a restoration: each counts for itself alone, and on a GPU nothing waits until the times are asked for."""

from __future__ import annotations

import time

import pytest
import torch

from lmaps.engine.timing import Stopwatch


class Device:
    """A GPU's clock in ms, and the events it passes."""

    now = 0.0
    waits = 0

    @classmethod
    def work(cls, ms: float) -> None:
        cls.now += ms


class Event:
    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: str) -> None:
        assert stream == "the current stream"
        self.at = Device.now

    def elapsed_time(self, end: Event) -> float:
        return end.at - self.at

    def synchronize(self) -> None:
        Device.waits += 1


def test_spans_on_a_gpu_are_the_devices_and_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "the current stream")
    monkeypatch.setattr(Device, "now", 0.0)
    monkeypatch.setattr(Device, "waits", 0)
    watch = Stopwatch(torch.device("cuda"))

    def step() -> None:
        Device.work(3)
        watch.run("denoise", Device.work, 4)

    for _ in range(20):
        watch.run("local_map", step)
        Device.work(100)
    assert Device.waits == 0
    assert watch.seconds == {"local_map": pytest.approx(0.060), "denoise": pytest.approx(0.080)}
    assert Device.waits == 1
    assert watch.calls == {"local_map": 20, "denoise": 20}


def test_spans_on_a_cpu_add_up_to_the_whole() -> None:
    watch = Stopwatch(torch.device("cpu"))
    started = time.perf_counter()
    assert watch.run("outer", lambda: watch.run("inner", lambda: time.sleep(0.02))) is None
    whole = time.perf_counter() - started
    assert watch.seconds["inner"] >= 0.02
    assert watch.seconds["outer"] >= 0
    assert sum(watch.seconds.values()) <= whole


def test_nothing_timed_is_nothing() -> None:
    assert Stopwatch(torch.device("cpu")).seconds == {}
