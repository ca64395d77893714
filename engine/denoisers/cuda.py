"""What the GPU backends share: who the GPU is, a stream that is not the default one, and what preparing has cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...kernels.timing import RECORDING

_streams = threading.local()


def missing(device: torch.device, name: str) -> str | None:
    """Why a backend that needs a CUDA GPU cannot run on `device`, or None."""
    if device.type != "cuda":
        return f"{name} runs on a CUDA GPU, not on {device}"
    if not torch.cuda.is_available():
        return "this torch sees no CUDA device"
    if (device.index or 0) >= torch.cuda.device_count():
        return f"there is no {device}; torch sees {torch.cuda.device_count()} CUDA device(s)"
    return None


def identity(device: torch.device) -> dict[str, Any]:
    """What tells one kind of GPU and its software from others; JSON values, for keys of caches."""
    return {
        "name": torch.cuda.get_device_name(device),
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
    }


def index(device: torch.device) -> int:
    """The device's number, torch's current one where it has none."""
    return torch.cuda.current_device() if device.index is None else device.index


def capturing() -> bool:
    """The calling thread's current stream is being recorded into a CUDA graph."""
    return torch.cuda.is_current_stream_capturing()


@contextmanager
def busy_stream(device: torch.device) -> Iterator[int]:
    """A stream to enqueue on, in order with torch's current one: itself, unless it is the default stream.

    Run times wait for the whole device before and after work on the default stream, so that gets a side stream, one a
    thread, which waits for it and which it waits for.
    """
    with torch.cuda.device(device):
        current = torch.cuda.current_stream()
        if current.cuda_stream:
            yield current.cuda_stream
            return
        side = _side_stream(device)
        with joined(side, device):
            yield side.cuda_stream


def own_stream(device: torch.device) -> torch.cuda.Stream:
    """A new stream, never the default one."""
    return torch.cuda.Stream(device)


@contextmanager
def joined(stream: torch.cuda.Stream, device: torch.device) -> Iterator[None]:
    """What is enqueued on `stream` inside comes after what is on torch's current stream, and before what follows."""
    with torch.cuda.device(device):
        current = torch.cuda.current_stream()
        stream.wait_stream(current)
        try:
            yield
        finally:
            # What broke off has still enqueued work, on memory that is then given to others.
            current.wait_stream(stream)


@contextmanager
def tuning() -> Iterator[None]:
    """Inside, cuDNN times its algorithms for shapes that are new to this thread; outside, it guesses for those.

    torch keeps what was found, or guessed, for each thread by itself, and goes on using it. Were this on outside too, every
    thread that calls a denoiser would first time them all, and might choose others. The switch is the process's
    (torch.backends.cudnn.benchmark): one thread at a time turns it, and leaves it as the user had it.
    """
    with RECORDING:
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before


def _side_stream(device: torch.device) -> torch.cuda.Stream:
    known: dict[int, torch.cuda.Stream] = _streams.__dict__.setdefault("known", {})
    number = index(device)
    if number not in known:
        known[number] = own_stream(device)
    return known[number]


@contextmanager
def measured(device: torch.device) -> Iterator[dict[str, int]]:
    """Fills the dict it yields with bytes, on a GPU: what was prepared inside has left allocated, and took at most.

    allocated_bytes: of torch's allocator.  peak_rise_bytes: by how much its highest ever rose, 0 where earlier work had
    needed more: that mark is the user's, and not reset.  device_bytes: by how much the GPU's free memory fell, which other
    processes can disturb, and which run times with an allocator of their own show up in.
    Waits for the current stream alone: to wait for the device would break a recording in another thread.
    """
    facts: dict[str, int] = {}
    if device.type != "cuda":
        yield facts
        return
    before = _memory(device)
    yield facts
    after = _memory(device)
    for name, sign in (("allocated_bytes", 1), ("peak_rise_bytes", 1), ("device_bytes", -1)):
        facts[name] = sign * (after[name] - before[name])


def wait(device: torch.device) -> None:
    """Until torch's current stream has done its work."""
    torch.cuda.current_stream(device).synchronize()


def _memory(device: torch.device) -> dict[str, int]:
    """device_bytes: free ones."""
    wait(device)
    return {
        "allocated_bytes": torch.cuda.memory_allocated(device),
        "peak_rise_bytes": torch.cuda.max_memory_allocated(device),
        "device_bytes": torch.cuda.mem_get_info(device)[0],
    }


class Clock:
    """Seconds since the last look, for the parts of a preparation."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        return spent
