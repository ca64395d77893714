"""`lmaps degrade`: the measurement that a task would make of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .errors import Stop, for_people

if TYPE_CHECKING:
    from ..files import Job
    from .jobs import Report


def degrade(
    source: o.Source,
    target: o.Target,
    task: Annotated[str, typer.Option("-t", "--task", metavar="T", help="What to do to the picture.")],
    mask: o.MaskFile = None,
    kernel: o.KernelFile = None,
    param: o.Parameters = None,
    noise: o.Noise = None,
    seed: o.Seed = 0,
    suffix: o.Suffix = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    max_megapixels: o.Megapixels = o.DEFAULT_MEGAPIXELS,
) -> None:
    """Measure a picture, or a folder's: OUT shows the measurement, OUT.npz beside it holds it exactly.

    `lmaps restore` reads either.
    """
    from .. import tasks
    from ..files import plan_jobs, read_image, write_image, write_measurement
    from ..files.writing import encoder_for, refuse_existing
    from .given import Degradation, measure, shown
    from .jobs import run_jobs

    with for_people():
        said = Degradation(task, mask, kernel, seed, o.parameters(param))
        level = tasks.get(task).default_noise if noise is None else noise
        jobs = plan_jobs(source, target, suffix=suffix)
        _refuse_shared_stems(jobs)

    def work(job: Job, report: Report) -> None:
        exact = job.target.with_suffix(".npz")
        with for_people():
            encoder_for(job.target)
            for path in (job.target, exact):
                refuse_existing(path, overwrite)
            picture = read_image(job.source, max_pixels=round(max_megapixels * 1e6))
        for note in picture.notes:
            report.note(f"{job.source} {note}")
        with for_people(str(job.source)):
            measurement = measure(picture, said, level)
        with for_people():
            write_measurement(exact, measurement, overwrite=overwrite)
            notes = write_image(job.target, shown(measurement, picture), overwrite=overwrite)
        for note in notes:
            report.note(f"{job.target} {note}")
        report.line(f"{job.source} -> {job.target}, {exact}  ({task}, noise {level:g}, seed {seed})")

    run_jobs(jobs, work, quiet=quiet, folder=source.is_dir())


def _refuse_shared_stems(jobs: list[Job]) -> None:
    stems: dict[str, Path] = {}
    for job in jobs:
        if (other := stems.setdefault(job.target.stem, job.source)) != job.source:
            raise Stop(f"{other} and {job.source} would share {job.target.stem}.npz; rename one of them")
