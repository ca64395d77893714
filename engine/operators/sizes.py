"""A small store of what an operator derives from the size of a picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

from .. import inference

T = TypeVar("T")
LIMIT = 8


class SizeCache(Generic[T]):
    """Keeps the last LIMIT values made, by key. Safe to share between threads; copies and pickles start empty."""

    def __init__(self) -> None:
        self._values: dict[Hashable, T] = {}
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        value = self._values.get(key)
        if value is not None:
            return value
        with inference.left():
            value = make()
        with self._lock:
            if key not in self._values and len(self._values) >= LIMIT:
                del self._values[next(iter(self._values))]
            return self._values.setdefault(key, value)

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), ())
