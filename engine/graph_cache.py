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

    A value that is there is given at once, whatever is being made meanwhile, which may take minutes.
    A value that a request still uses stays alive until it is done. The first eviction is a RuntimeWarning.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        # Set when the value of that key is there, or could not be made.
        self._making: dict[Hashable, threading.Event] = {}
        # Never held while a value is made, nor while RECORDING is waited for.
        self._lock = threading.Lock()
        self._warned = False
        # Appended to by finalizers, which may run at any moment, in the middle of a recording too, and must not wait.
        self._gone: deque[Hashable] = deque()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made where it is not there (any more); threads that ask for one key wait for one `make`.

        What `make` raises is raised to its own caller; who waited for it then tries with a `make` of their own.
        """
        try:
            while True:
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key]
                    elsewhere = self._making.get(key)
                    if elsewhere is None:
                        self._making[key] = threading.Event()
                        break
                elsewhere.wait()
            return self._made(key, make)
        finally:
            # What went meanwhile.
            self._sweep_if_idle()

    def drop(self, owner: Hashable) -> None:
        """Forget the values whose key begins with `owner`: now, or where something is being recorded, after that."""
        self._gone.append(owner)
        self._sweep_if_idle()

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        try:
            with RECORDING:
                self._make_room()
                value = make()
                with self._lock:
                    self._values[key] = value
                return value
        finally:
            with self._lock:
                done = self._making.pop(key)
            done.set()

    def _make_room(self) -> None:
        """Before a value is made, since it may need the memory."""
        evicted: list[T] = []
        with self._lock:
            self._sweep()
            while len(self._values) >= self._limit:
                evicted.append(self._values.popitem(last=False)[1])
        if evicted:
            self._warn()

    def __len__(self) -> int:
        return len(self._values)

    def _sweep_if_idle(self) -> None:
        """Never waits: whoever holds a lock now sweeps after it."""
        if self._gone and self._lock.acquire(blocking=False):
            try:
                RECORDING.if_free(self._sweep)
            finally:
                self._lock.release()

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
                stacklevel=5,
            )
