"""The cache of recordings between threads: who waits for whom, and what is remembered."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lmaps.engine.graph_cache import GraphCache
from lmaps.kernels.timing import RECORDING

# Nothing here takes longer unless it hangs.
SOON = 10.0


class Slow:
    """Makes a value once it is let go; says how often it was asked to, and when it began."""

    def __init__(self, value: str, error: Exception | None = None) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls = 0
        self._value, self._error = value, error

    def __call__(self) -> str:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(SOON)
        if self._error is not None:
            raise self._error
        return self._value


class Asked:
    """A request in a thread of its own: its answer, or what it raised."""

    def __init__(self, ask: Callable[[], str]) -> None:
        self.error: BaseException | None = None
        self._answer: list[str] = []
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def answer(self) -> str | None:
        self._thread.join(SOON)
        assert not self._thread.is_alive(), "still waiting"
        return self._answer[0] if self._answer else None

    def waits(self) -> bool:
        self._thread.join(0.1)
        return self._thread.is_alive()

    def _run(self, ask: Callable[[], str]) -> None:
        try:
            self._answer.append(ask())
        except BaseException as error:
            self.error = error


@contextmanager
def held() -> Iterator[None]:
    """Another thread compiles, and holds RECORDING."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with RECORDING:
            inside.set()
            leave.wait(SOON)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(SOON)
    try:
        yield
    finally:
        leave.set()
        thread.join(SOON)


def _not_made() -> str:
    raise AssertionError("it is there")


def test_what_is_there_is_given_while_another_key_is_made() -> None:
    cache: GraphCache[str] = GraphCache()
    cache.get("there", lambda: "a")
    slow = Slow("b")
    other = Asked(lambda: cache.get("new", slow))
    assert slow.begun.wait(SOON)
    assert Asked(lambda: cache.get("there", _not_made)).answer() == "a"
    slow.go.set()
    assert other.answer() == "b"


def test_what_is_there_is_given_while_a_make_waits_for_its_turn() -> None:
    """Somebody compiles, which may take minutes; a second thread wants to record; a third has all it needs."""
    cache: GraphCache[str] = GraphCache()
    cache.get("there", lambda: "a")
    with held():
        second = Asked(lambda: cache.get("new", lambda: "b"))
        assert second.waits()
        assert Asked(lambda: cache.get("there", _not_made)).answer() == "a"
    assert second.answer() == "b"


def test_two_threads_that_ask_for_one_key_make_it_once() -> None:
    cache: GraphCache[str] = GraphCache()
    slow = Slow("a")
    first = Asked(lambda: cache.get("new", slow))
    assert slow.begun.wait(SOON)
    second = Asked(lambda: cache.get("new", slow))
    assert second.waits()
    slow.go.set()
    assert (first.answer(), second.answer()) == ("a", "a")
    assert slow.calls == 1


def test_one_value_is_made_at_a_time() -> None:
    cache: GraphCache[str] = GraphCache()
    slow, other = Slow("a"), Slow("b")
    first = Asked(lambda: cache.get("a", slow))
    assert slow.begun.wait(SOON)
    second = Asked(lambda: cache.get("b", other))
    assert second.waits()
    assert not other.begun.is_set()
    slow.go.set()
    other.go.set()
    assert (first.answer(), second.answer()) == ("a", "b")


def test_a_make_that_fails_is_not_remembered() -> None:
    cache: GraphCache[str] = GraphCache()
    slow = Slow("", ValueError("no memory"))
    first = Asked(lambda: cache.get("new", slow))
    assert slow.begun.wait(SOON)
    second = Asked(lambda: cache.get("new", lambda: "a"))
    assert second.waits()
    slow.go.set()
    assert first.answer() is None
    assert isinstance(first.error, ValueError)
    # Who waited does not get another's error, but tries by itself.
    assert second.answer() == "a"
    assert cache.get("new", _not_made) == "a"


def test_an_owner_that_goes_while_its_value_is_made_leaves_nothing_behind() -> None:
    cache: GraphCache[str] = GraphCache()
    slow = Slow("a")
    first = Asked(lambda: cache.get(("owner", 1), slow))
    assert slow.begun.wait(SOON)
    cache.drop("owner")
    slow.go.set()
    assert first.answer() == "a"
    assert len(cache) == 0


class Value:
    """Drops another owner's values when it goes, as a recording that held the last reference to a restorer does."""

    def __init__(self, cache: GraphCache[Value], takes_along: str) -> None:
        weakref.finalize(self, cache.drop, takes_along).atexit = False


@pytest.mark.parametrize("evicted", [False, True], ids=["dropped", "evicted"])
def test_what_goes_with_a_value_goes_too(evicted: bool) -> None:
    cache: GraphCache[Value] = GraphCache(2)
    cache.get(("first", 1), lambda: Value(cache, "second"))
    cache.get(("second", 1), lambda: Value(cache, "nobody"))
    if evicted:
        with pytest.warns(RuntimeWarning, match="more than 2 restorations"):
            cache.get(("third", 1), lambda: Value(cache, "nobody"))
    else:
        cache.drop("first")
    gc.collect()
    assert len(cache) == int(evicted)
