"""`lmaps demo`: the main job on the bundled photographs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options as o
from .errors import FAILED, Stop, for_people, say

if TYPE_CHECKING:
    from ..demo import Row


def demo(
    target: o.Folder = Path("demo-output"),
    task: o.Tasks = None,
    steps: o.Steps = None,
    prior: o.PriorName = "photo",
    seed: o.Seed = 0,
    device: o.Device = "auto",
    backend: o.BackendOfRestore = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
) -> None:
    """Degrade and restore the bundled photographs by every task; write the pictures, print the figures."""
    from .. import tasks
    from ..demo import demo_tasks, photographs, run

    with for_people():
        names = [tasks.get(name).name for name in task] if task else demo_tasks()
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"the folder {target} cannot be made: {error.strerror}") from error
        compiling: dict[str, Any] = {
            "steps": steps,
            "prior": prior,
            "device": device,
            "backend": o.chosen_backend(backend),
            "precision": precision,
            "threads": threads,
        }
        rows = _with_progress(len(names), lambda on_step: run(target, names, seed=seed, on_step=on_step, **compiling))
    _print(rows, len(photographs()))
    print(f"pictures: {(target / 'contact-sheet.png').resolve()} and one {target.resolve()}/TASK.png a task")
    if wrong := [row.task for row in rows if row.status != "ok"]:
        raise Stop(f"did not end well: {', '.join(wrong)}", FAILED)


def _with_progress(count: int, start: Any) -> list[Row]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        whole = bar.add_task("tasks", total=count)
        current = bar.add_task("")
        rows = []
        for row in start(lambda name, done, of: bar.update(current, description=name, completed=done, total=of)):
            bar.advance(whole)
            rows.append(row)
            if not console.is_terminal:  # in a log, a line a task stands in for the bar
                say(f"{row.task}: {row.psnr:.2f} dB, {row.seconds:.2f} s a photograph")
    return rows


def _print(rows: Iterable[Row], photos: int) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"mean over {photos} photographs: PSNR in dB / SSIM", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("task", no_wrap=True)
    for head in ("start", "restored", "s each"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("backend", "local MAP"):
        table.add_column(head, no_wrap=True)
    for row in rows:
        table.add_row(
            row.task if row.status == "ok" else f"{row.task} ({row.status})",
            f"{row.start_psnr:.2f} / {row.start_ssim:.3f}",
            f"{row.psnr:.2f} / {row.ssim:.3f}",
            f"{row.seconds:.2f}",
            row.backend,
            row.strategy,
        )
    console = Console()
    (console if console.is_terminal else Console(width=100)).print(table)
    print("start: the pseudo-inverse of the measurement. s each: seconds a photograph.")
