"""Running a command over its files: one, or a folder's, where a bad file does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..files import Job
from .errors import FAILED, Stop, say


def run_jobs(jobs: list[Job], work: Callable[[Job, Report], None], *, quiet: bool, folder: bool) -> None:
    """Do `work` for every job.

    For a folder, a job's `Stop`, or a fault of any kind, is reported as it happens; at the end a `Stop` says how many
    failed, with the code 2, or 1 where a fault was not the input's.
    """
    codes = []
    with reporting(len(jobs), quiet) as report:
        for job in jobs:
            report.begin(job)
            try:
                work(job, report)
            except Stop as stop:
                if not folder:
                    raise
                report.error(str(stop))
                codes.append(stop.code)
            except Exception as error:
                if not folder:
                    raise
                report.error(f"{job.source}: {type(error).__name__}: {error}")
                codes.append(FAILED)
            report.end()
    if codes:
        raise Stop(f"{len(codes)} of {len(jobs)} files failed", FAILED if FAILED in codes else codes[0])


class Report:
    """What a run says: results on stdout, notes and errors on stderr, a progress bar on a terminal only."""

    def __init__(self, quiet: bool, bar: Any = None, count: int = 1) -> None:
        self.quiet, self.count = quiet, count
        self._bar = bar
        self._files = bar.add_task("files", total=count) if bar is not None and count > 1 else None
        self._steps: Any = None

    def begin(self, job: Job) -> None:
        if self._bar is not None:
            self._steps = self._bar.add_task(job.source.name, total=None)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.remove_task(self._steps)
            if self._files is not None:
                self._bar.advance(self._files)

    def step(self, done: int, of: int) -> None:
        """Move the current job's bar."""
        if self._bar is not None:
            self._bar.update(self._steps, completed=done, total=of)

    def line(self, text: str) -> None:
        """A result."""
        if not self.quiet:
            self._out(text)

    def note(self, text: str) -> None:
        """Something that was not kept, or not done."""
        if not self.quiet:
            self._err(f"note: {text}")

    def error(self, text: str) -> None:
        self._err("error: " + " ".join(text.split()))

    def _out(self, text: str) -> None:
        with self._aside():
            print(text, flush=True)

    def _err(self, text: str) -> None:
        with self._aside():
            say(text)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Take the bar off the terminal while a line is printed."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        yield
        self._bar.start()


@contextmanager
def reporting(count: int, quiet: bool) -> Iterator[Report]:
    """A `Report` for `count` jobs, with a progress bar where stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Report(quiet, count=count)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield Report(quiet, bar, count)
