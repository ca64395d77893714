"""What preparing a denoiser says of the GPU's memory, without touching what others measure or record."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lmaps.engine.denoisers import cuda


def test_others_peaks_and_recordings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    state = {"allocated": 100, "peak": 700, "free": 9000}

    def refuse(*_: object) -> None:
        raise AssertionError("resets a mark that is the user's, or waits for the whole GPU")

    for name, value in {
        "synchronize": refuse,
        "reset_peak_memory_stats": refuse,
        "current_stream": lambda device: SimpleNamespace(synchronize=lambda: waited.append(str(device))),
        "memory_allocated": lambda device: state["allocated"],
        "max_memory_allocated": lambda device: state["peak"],
        "mem_get_info": lambda device: (state["free"], 10_000),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    with cuda.measured(torch.device("cuda", 0)) as facts:
        state.update(allocated=350, peak=820, free=8000)
    assert facts == {"allocated_bytes": 250, "peak_rise_bytes": 120, "device_bytes": 1000}
    with cuda.measured(torch.device("cuda", 0)) as facts:
        state.update(allocated=400)
    assert facts["peak_rise_bytes"] == 0
    assert waited == ["cuda:0"] * 4
    with cuda.measured(torch.device("cpu")) as facts:
        pass
    assert facts == {}
