"""Variants, threads and the GIL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from lmaps import _native

from .calls import all_calls

CALLS = all_calls()


def run(name: str) -> Any:
    return getattr(_native, name)(**CALLS[name])


def test_variants() -> None:
    names = _native.available_isas()
    assert names[0] == "plain"
    assert _native.isa() == names[-1]
    with pytest.raises(ValueError, match="choose one of: auto, plain"):
        _native.force_isa("sse9")


@pytest.mark.parametrize("count", [0, -1, 1025])
def test_thread_counts_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match=r"count must be in 1..1024"):
        _native.set_threads(count)


@pytest.mark.parametrize("name", CALLS)
def test_threads_do_not_change_the_result(isa: str, name: str) -> None:
    _native.set_threads(1)
    alone = run(name)
    for threads in (2, 3):
        _native.set_threads(threads)
        assert _native.threads() == threads
        np.testing.assert_array_equal(run(name), alone)


@pytest.mark.parametrize("name", CALLS)
def test_variants_agree(name: str) -> None:
    results = []
    for isa in _native.available_isas():
        _native.force_isa(isa)
        results.append(run(name))
    for other in results[1:]:
        assert np.linalg.norm(other - results[0]) <= 1e-6 * np.linalg.norm(results[0])


def test_the_gil_is_released() -> None:
    """Python goes on counting while a call of some hundred milliseconds is under way."""
    call = {**CALLS["mask_steps"], "steps": 2_000_000}
    started = threading.Event()

    def work() -> None:
        started.set()
        _native.mask_steps(**call)

    _native.set_threads(1)
    worker = threading.Thread(target=work)
    worker.start()
    started.wait()
    counted = 0
    while worker.is_alive():
        counted += 1
    assert counted > 1000


def test_calls_from_several_threads_do_not_mix() -> None:
    expected = {name: run(name) for name in CALLS}
    with ThreadPoolExecutor(4) as pool:
        for name, result in pool.map(lambda name: (name, run(name)), list(CALLS) * 8):
            np.testing.assert_array_equal(result, expected[name])
