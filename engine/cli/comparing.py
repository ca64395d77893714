"""What the commands of `lmaps bench` share: from options to a setting, progress, an interrupt, the files at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import FAILED, Stop, say

if TYPE_CHECKING:
    from ..bench.journal import Journal, Record
    from ..bench.methods import Method
    from ..bench.photos import Photo
    from ..bench.runs import Cell, Setting
    from ..bench.speed import Candidate


def make_setting(prior: str, perceptual: str, **shared: Any) -> tuple[Setting, str | None]:
    """The setting of `runs.Setting`'s other entries, and why there is no perceptual metric in it."""
    from ..bench.runs import Setting
    from ..priors import load_prior

    metric, missing = _perceptual(perceptual)
    return Setting(prior=load_prior(prior), source=prior, perceptual=metric, **shared), missing


def _perceptual(name: str) -> tuple[Any, str | None]:
    from .. import metrics

    if name == "off":
        return None, "not asked for"
    try:
        return metrics.perceptual(name), None
    except RuntimeError as problem:
        if name != "auto":
            raise Stop(str(problem)) from problem
        return None, str(problem)


def make_methods(given: Sequence[str] | None, grid: str) -> list[Method]:
    """The methods, every setting of theirs looked at, on the noise levels that --grid asks for."""
    from ..bench import grids
    from ..bench.checked import check
    from ..bench.methods import everything, parse

    choices = (grids.OWN, grids.LMAPS, grids.BOTH)
    if grid not in choices:
        raise Stop(f"--grid is one of {', '.join(choices)}, got {grid!r}")
    labels = dict.fromkeys(label for text in given or [] for label in text.split())
    methods = [parse(label) for label in labels] if labels else everything()
    check(methods)
    return grids.expand(methods, grid)


def make_tasks(given: Sequence[str] | None) -> list[str]:
    from .. import tasks

    names = dict.fromkeys(name for text in given or [] for name in text.split())
    return [tasks.get(name).name for name in names] if names else list(tasks.TASKS)


def load_photos(images: Path | None, size: int, count: int | None) -> list[Photo]:
    from ..bench import photos

    return photos.load(images, size, count)


def whole_numbers(text: str, option: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise Stop(f"{option} takes whole numbers such as 5,10,20, got {text!r}")
    return [int(part) for part in dict.fromkeys(parts)]


def run_cells(
    cells: Sequence[Cell], photos: Sequence[Photo], setting: Setting, journal: Path
) -> tuple[list[Record], bool]:
    """The records, and whether they are all there: an interrupt ends the run, and what is done is reported."""
    from ..bench import runs

    records: list[Record] = []
    with progress(len(cells) * len(photos)) as step:

        def on_record(cell: Cell, record: Record, fresh: bool) -> None:
            records.append(record)
            step(f"{cell.task} {cell.method.label}", _line(record) if fresh else None)

        try:
            runs.run(cells, photos, setting, open_journal(journal), on_record)
        except KeyboardInterrupt:
            if not records:
                raise
            return records, False
    return records, True


def run_rounds(
    candidates: Sequence[Candidate], task: str, setting: Setting, rounds: int, fresh: int, journal: Journal
) -> tuple[list[Record], list[Record]]:
    """The warm and the cold rounds; after an interrupt those that are done."""
    from ..bench import speed

    warm: list[Record] = []
    new: list[Record] = []
    with progress(rounds + fresh) as step:
        try:
            speed.warm(candidates, task, setting, rounds, journal, warm, step)
            running = [one for one in candidates if one.label in warm[0]["seconds"]]
            speed.cold(running, task, setting, fresh, journal, new, step)
        except KeyboardInterrupt:
            if not warm:
                raise
    return warm, new


def open_journal(path: Path) -> Journal:
    from ..bench.journal import Journal

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(f"the folder {path.parent} cannot be made: {error.strerror}") from error
    return Journal(path)


def _line(record: Record) -> str:
    what = f"{record['task']} {record['method']} {record['image']}"
    if "psnr" not in record:
        return f"{what}: {record['status']}"
    ended = "" if record["status"] == "ok" else f", {record['status']}"
    return f"{what}: {record['psnr']:.2f} dB, {record['total_s']:.2f} s{ended}"


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, str | None], None]]:
    """step(what, line): a bar with the time left on a terminal, a line a record elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        whole = bar.add_task("", total=total)

        def step(what: str, line: str | None) -> None:
            bar.update(whole, description=what, advance=1)
            if line is not None and not console.is_terminal:
                say(line)

        yield step


def figure(draw: Callable[[Path], None], path: Path) -> None:
    from ..bench import plots

    if reason := plots.missing():
        say(reason)
        return
    draw(path)


def finish(lines: Sequence[str], target: Path, name: str, complete: bool) -> None:
    print("\n".join(lines))
    files = [path.name for path in (target / f"{name}{suffix}" for suffix in (".md", ".json", ".png")) if path.exists()]
    print(f"\nin {target}: {', '.join(files)}")
    if not complete:
        raise Stop("stopped before the end; repeat the command to go on", FAILED)
