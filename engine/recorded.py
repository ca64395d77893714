"""A restoration as replays of recorded steps: one request at a time on its buffers, cancelled and watched between steps."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from .captured import Turn
from .graph import Recorder, Replay
from .loop import Callback, Progress, Status


class Recorded:
    """A turn with the replays of its steps, or one of them all (`loop`). Requests of several threads take turns.

    Without a callback nothing is read back until the last step is done. A state that is not finite then is rare, and numbers
    that are not finite do not heal: the run is repeated with a look at every step, to find the last finite estimate. With a
    callback the state is looked at after each step, which the callback would wait for anyway.
    """

    def __init__(self, turn: Turn, recorder: Recorder, *, loop: bool = False) -> None:
        self._turn, self._recorder = turn, recorder
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._steps: dict[int, Replay] = {}
        self._loop = recorder.loop(turn) if loop else None
        self.name = recorder.name
        if not loop:
            self._record_steps()

    def run(
        self, observed: Sequence[Tensor], seeds: Sequence[int], callback: Callback | None = None
    ) -> tuple[Tensor, Status, int]:
        """(the last estimate, which is the caller's; how it ended; steps taken), as `loop.run` gives them.

        Raises RuntimeError when a callback starts a restoration on the restorer that called it.
        """
        if self._owner == threading.get_ident():
            raise RuntimeError("a callback cannot use the restorer that is calling it: compile another one for that")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                return self._run(observed, seeds, callback)
            finally:
                self._owner = None

    def _run(
        self, observed: Sequence[Tensor], seeds: Sequence[int], callback: Callback | None
    ) -> tuple[Tensor, Status, int]:
        if callback is None:
            self._turn.begin(observed, seeds)
            self._all_steps()
            # Copied before the wait that `finite` is: the next request may overwrite it from another stream.
            x0 = self._turn.estimate.clone()
            if self._turn.finite():
                return x0, "ok", self._turn.steps
        if not self._steps:
            self._record_steps()
        self._turn.begin(observed, seeds)
        return self._watched(callback)

    def _all_steps(self) -> None:
        if self._loop is not None:
            self._loop()
            return
        for kind in self._turn.kinds:
            self._steps[kind]()

    def _watched(self, callback: Callback | None) -> tuple[Tensor, Status, int]:
        """Step by step, even where a loop was recorded, with a look at the state after each."""
        turn = self._turn
        finite = torch.zeros_like(turn.estimate)
        for i, kind in enumerate(turn.kinds):
            self._steps[kind]()
            x0 = turn.estimate.clone()
            if not turn.finite():
                return finite, "diverged", i + 1
            finite = x0
            if callback is not None and callback(Progress(i + 1, turn.steps, turn.sigmas[i], finite)) is False:
                return finite, "cancelled", i + 1
        return finite, "ok", turn.steps

    def _record_steps(self) -> None:
        self._steps = {kind: self._recorder.step(self._turn, kind) for kind in dict.fromkeys(self._turn.kinds)}
