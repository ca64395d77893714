"""A CUDA graph without a GPU: the operations of a recording, run again on the very tensors that were recorded.

As with a graph, no Python runs between them: whatever the recording read from a tensor's value, or took from a step's number,
is fixed from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from lmaps.engine.captured import Turn


class Tape(TorchDispatchMode):
    """Records the operations that run in its context; `replay` runs them again."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, recorded in self._calls:
                again = func(*args, **kwargs)
                for old, new in zip(tree_flatten(recorded)[0], tree_flatten(again)[0], strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


class TapeRecorder:
    """A recorder for `Recorded` that keeps tapes, and garbage in the buffers once the recording is made."""

    name = "tape"

    def step(self, turn: Turn, kind: int) -> Callable[[], None]:
        return self._record(turn, partial(turn.take, kind))

    def loop(self, turn: Turn) -> Callable[[], None]:
        return self._record(turn, lambda: [turn.take(kind) for kind in turn.kinds])

    def _record(self, turn: Turn, work: Callable[[], object]) -> Callable[[], None]:
        turn.rewind()
        work()
        turn.rewind()
        tape = Tape()
        with tape:
            work()
        return tape.replay


@contextmanager
def no_reading() -> Iterator[None]:
    """Fails on whatever makes the host wait for a GPU, or brings numbers from the host in the middle of a recording."""
    with _NoMethods(), _NoScalars():
        yield


class _NoMethods(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "nonzero"}:
            raise AssertionError(f"a captured step reads a tensor: {name}")
        if name in {"tensor", "as_tensor", "from_numpy"}:
            raise AssertionError(f"a captured step copies numbers from the host: {name}")
        return func(*args, **(kwargs or {}))


class _NoScalars(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default or func is torch.ops.aten.nonzero.default:
            raise AssertionError(f"a captured step reads a tensor: {func}")
        return func(*args, **(kwargs or {}))
