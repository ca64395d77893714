"""What every section works with: the device, the sizes, the time left, and rows that are on disk as soon as they exist."""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .plan import POISONED, STEPS, read_rows


class NotHere(Exception):
    """What was asked for cannot be had on this machine; the message says why."""


class Bench:
    """device; tiny: sizes for a rehearsal. size: side of the pictures; batches; steps: N of short and long restorations.

    until: when the section's process is ended, on time.monotonic()'s clock, which all processes of a machine share. Seconds
    from here would come on top of what the process took to start and import torch.
    """

    def __init__(self, device: str, rows: Path, until: float, *, tiny: bool) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device()) if device == "cuda" else torch.device("cpu")
        self.on_gpu = self.device.type == "cuda"
        self.tiny = tiny
        self.size = 64 if tiny else 256
        self.batches = (1, 2) if tiny else (1, 4, 16, 64)
        self.steps = (2, 3) if tiny else STEPS
        self._file = rows
        self._begun = {row["label"] for row in read_rows(rows) if row["kind"] == "begin"}
        self._until = until

    @property
    def engine(self) -> dict[str, str]:
        """Options for `lmaps.compile`: torch, since "auto" would time torch.compile for every shape, most of a minute each.

        On a GPU in the precision the engine chooses by itself, in a rehearsal in float32.
        """
        chosen = {"device": str(self.device), "backend": "torch"}
        return chosen if self.on_gpu else {**chosen, "precision": "float32"}

    def wait(self) -> None:
        """Until the device has done all it was given."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def left(self) -> float:
        """Seconds until the section's process is ended."""
        return self._until - time.monotonic()

    def attempt(self, label: str, work: Callable[[], object], *, needs: float = 0.0) -> None:
        """Do `work`, once, if `needs` seconds are left. What goes wrong becomes a row, and the next attempt is made.

        Ends the process where the GPU answers no more; the one that follows goes on behind this attempt.
        """
        if label in self._begun:
            return
        self._begun.add(label)
        if self.left() < needs:
            self.skip(label, f"out of time: {needs:.0f} s wanted, {max(self.left(), 0):.0f} s left")
            return
        self._write("begin", label=label)
        started = time.monotonic()
        try:
            work()
        except NotHere as reason:
            self.skip(label, str(reason))
        except Exception as error:
            self.failed(label, error)
        gc.collect()
        works = self._device_works()
        self._write("end", label=label, seconds=round(time.monotonic() - started, 2))
        if not works:
            sys.exit(POISONED)

    def row(self, table: str, **values: Any) -> None:
        """A line of a table of the report."""
        self._write("row", table=table, **values)
        print(table, values, flush=True)

    def failed(self, what: str, error: Exception) -> None:
        """What went wrong; where, is in the log."""
        traceback.print_exception(error)
        self.row("failed", what=what, error=f"{type(error).__name__}: {error}"[:600])

    def skip(self, what: str, why: str) -> None:
        """What was not done, and why."""
        self.row("skipped", what=what, why=why)

    def check(self, what: str, passed: bool, detail: str) -> None:
        """Something that has to be so."""
        self.row("checks", check=what, result="ok" if passed else "WRONG", detail=detail)

    def _write(self, kind: str, **values: Any) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **values}, default=str) + "\n")

    def _device_works(self) -> bool:
        try:
            self.wait()
            if self.on_gpu:
                torch.cuda.empty_cache()
        except RuntimeError as error:
            self.row("failed", what="the GPU", error=f"it answers no more after that: {error}"[:300])
            return False
        return True
