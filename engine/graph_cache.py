"""The recorded restorations of a process, a bounded number of them: the least recently used makes room."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from ..kernels.timing import RECORDING

T = TypeVar("T")
# Each holds GPU memory for one batch's activations.
LIMIT = 16


class GraphCache(Generic[T]):
    """Keeps the last `limit` values made, by key. Making is one at a time in the process, as recordings must be.

    A value that a request still uses stays alive until it is done. The first eviction is a RuntimeWarning.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.RLock()
        self._warned = self._busy = False
        # Appended to by finalizers, which may run at any moment, in the middle of a recording too, and must not wait.
        self._gone: deque[Hashable] = deque()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made where it is not there (any more)."""
        with self._lock:
            self._busy, before = True, self._busy
            try:
                return self._get(key, make)
            finally:
                self._busy = before
                # What went while the value was made.
                self._sweep_if_idle()

    def drop(self, owner: Hashable) -> None:
        """Forget the values whose key begins with `owner`: now, or where something is being recorded, after that."""
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._sweep_if_idle()
            finally:
                self._lock.release()

    def _get(self, key: Hashable, make: Callable[[], T]) -> T:
        self._sweep()
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        while len(self._values) >= self._limit:
            self._values.popitem(last=False)
            self._warn()
        return self._values.setdefault(key, make())

    def __len__(self) -> int:
        return len(self._values)

    def _sweep_if_idle(self) -> None:
        if not self._busy and self._gone:
            RECORDING.if_free(self._sweep)

    def _sweep(self) -> None:
        while self._gone:
            owner = self._gone.popleft()
            for key in [k for k in self._values if isinstance(k, tuple) and k[0] == owner]:
                # What goes with a value may drop others in turn.
                self._values.pop(key, None)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"more than {self._limit} restorations are recorded as CUDA graphs: the least recently used one was let go "
                "and is recorded again when it is used next, which takes time. Keep fewer restorers, or compile some with "
                "graph=False",
                RuntimeWarning,
                stacklevel=3,
            )
