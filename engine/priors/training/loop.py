"""One chunk of training: steps until the run or the chunk is over, validation, saving, and the end of a run gone wrong."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import carry, checkpoint
from .data import PhotoBank
from .run import Run
from .validation import validate

log = logging.getLogger("lmaps.train")
SAVE_EVERY_SECONDS = 240.0
CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


class DivergedError(RuntimeError):
    """The run went wrong; nothing of it was saved."""


@dataclass(frozen=True)
class Chunk:
    """started: when, on the monotonic clock, the chunk's `seconds` began. folder: for the checkpoint and the log.

    carried: a folder that gets the weights, in at most `carry_bytes`, with every checkpoint; None for nowhere.
    """

    folder: Path
    started: float
    seconds: float
    report_every: int
    carried: Path | None = None
    carry_bytes: int = carry.TOTAL_BYTES

    def save(self, run: Run) -> None:
        """Checkpoint and carried weights. Raises DivergedError in place of writing weights that are not finite."""
        self.check(run)
        run.save(self.folder / CHECKPOINT)
        if self.carried:
            carry.write(self.carried, run, total=self.carry_bytes, log=self.folder / LOG)

    def check(self, run: Run) -> None:
        if not run.is_finite():
            raise DivergedError(_diverged(run, self.folder, "a weight is not finite"))


def train(run: Run, bank: PhotoBank, crops: Tensor, chunk: Chunk) -> None:
    """Train until the run is finished or the chunk's time is up; validate and log every `report_every` crops.

    Everything is saved every few minutes, and at the end, also when an interrupt or the terminate signal ends the run.
    Raises DivergedError, with the last checkpoint kept, when the run has gone wrong.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    before, losses = run.seconds, []
    saved = rate_at = time.monotonic()
    rate_from = run.seen
    due = (run.seen // chunk.report_every + 1) * chunk.report_every
    run.seconds = before + saved - chunk.started
    while not run.finished and time.monotonic() - chunk.started < chunk.seconds and not stop.is_set():
        losses.append(run.step(bank))
        run.seconds = before + time.monotonic() - chunk.started
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            chunk.save(run)
            saved = time.monotonic()
        if run.seen >= due or run.finished:
            due += chunk.report_every
            chunk.check(run)
            loss = _loss(run, losses, chunk.folder)
            _report(run, crops, chunk.folder, loss, (run.seen - rate_from) / (time.monotonic() - rate_at))
            chunk.save(run)
            losses.clear()
            rate_from, rate_at = run.seen, time.monotonic()
    chunk.save(run)


def _loss(run: Run, losses: list[Tensor], folder: Path) -> tuple[float, int]:
    """Mean of the losses that are finite, and how many steps were left out. Raises DivergedError for most of them."""
    values = torch.stack(losses)
    skipped = run.optimizers.take_skipped()
    finite = values[values.isfinite()]
    if 2 * skipped > len(losses) or len(finite) == 0:
        raise DivergedError(
            _diverged(run, folder, f"{skipped} of {len(losses)} steps had a gradient that is not finite")
        )
    return float(finite.mean()), skipped


def _diverged(run: Run, folder: Path, what: str) -> str:
    kept = [str(p) for p in (folder / CHECKPOINT, checkpoint.previous(folder / CHECKPOINT)) if p.is_file()]
    there = f"{' and '.join(kept)} are from before" if kept else "there is no checkpoint yet"
    return f"training went wrong after {run.seen:,} crops: {what}. Nothing was saved, {there}. Try a lower --muon-rate, --rate"


def _report(run: Run, crops: Tensor, folder: Path, loss: tuple[float, int], speed: float) -> None:
    run.average.eval()
    row = {
        "seen": run.seen,
        "loss": round(loss[0], 5),
        "skipped": loss[1],
        "images_per_s": round(speed, 1),
        "minutes": round(run.seconds / 60, 2),
        "psnr": validate(run.average, crops),
    }
    log.info("%s", json.dumps(row))
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
