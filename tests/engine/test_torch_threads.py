"""Where torch keeps to the calling thread, that the caller gets its threads back, and that the picture is the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

import lmaps
from lmaps.engine import torch_threads
from lmaps.engine.loop import Progress


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_elsewhere() -> int:
    """In a thread that has never used torch."""
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    return seen[0]


def test_one_thread_inside_and_nowhere_else() -> None:
    with torch_threads.held(True):
        assert torch.get_num_threads() == 1
        assert threads_elsewhere() == 3
        with torch_threads.held(True):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with torch_threads.held(False):
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    [
        ("sr4", {}, "one"),
        ("deblur-motion", {}, "one"),
        ("hdr", {}, "one"),
        ("deblur-nonlinear", {}, "one"),
        ("sr4", {"solver": "ddrm"}, "one"),
        ("sr4", {"solver": "daps"}, "its own"),
        ("sr4", {"backend": "torch"}, "its own"),
        ("sr4", {"strategy": "reference"}, "its own"),
        ("deblur-nonlinear", {"strategy": "autograd"}, "its own"),
        ("inpaint-box", {"size": (300, 296), "steps": 2}, "its own"),
    ],
)
def test_where(task: str, options: dict[str, object], expected: str) -> None:
    given = {"size": (64, 64), "backend": "openvino", "steps": 2, **options}
    assert lmaps.compile(task, **given).compiled["torch_threads"] == expected  # type: ignore[arg-type]


def test_the_callers_threads_come_back_even_after_an_error() -> None:
    restorer = lmaps.compile("sr4", size=(32, 32), backend="openvino", steps=3)
    y = restorer.operator(torch.zeros(1, 3, 32, 32))
    seen: list[int] = []

    def fail(progress: Progress) -> None:
        seen.append(torch.get_num_threads())
        raise KeyError("enough")

    with pytest.raises(KeyError):
        restorer(y, callback=fail)
    assert seen == [1]
    assert torch.get_num_threads() == 3


def test_the_picture_is_the_same() -> None:
    restorer = lmaps.compile("deblur-gaussian", size=(48, 48), backend="openvino", steps=4)
    y = restorer.operator(torch.linspace(-1, 1, 3 * 48 * 48).reshape(1, 3, 48, 48))
    one = restorer(y).x
    restorer.compiled["torch_threads"] = "its own"
    torch.testing.assert_close(restorer(y).x, one, rtol=0, atol=1e-5)
