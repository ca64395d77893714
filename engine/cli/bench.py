"""`lmaps bench`: methods against each other, by quality, by time, and by both."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import comparing as c
from . import options as o
from .errors import for_people

bench = typer.Typer(
    help="Compare methods: quality by task, latency, quality against time. Interrupt and repeat a command to go on with it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--methods",
        metavar="M",
        help='Names of solvers, each with settings if wanted: "lmaps daps:steps=50,chain=loop". Repeatable.',
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("-t", "--tasks", metavar="T", help='Tasks, "sr4 jpeg"; all if not given. Repeatable.'),
]
OneTask = Annotated[str, typer.Option("-t", "--task", metavar="T", help="The task.")]
Images = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Pictures to compare on; the bundled photographs if not given.")
]
Count = Annotated[int | None, typer.Option(min=1, help="Only the first pictures of the folder, by name.")]
Size = Annotated[int, typer.Option(min=32, help="Side in pixels: the middle square of each picture is shrunk to it.")]
Budget = Annotated[
    int, typer.Option(metavar="NFE", min=0, help="Most network calls a method may make an image; 0 for no limit.")
]
Perceptual = Annotated[
    str, typer.Option("--lpips", metavar="NAME", help="auto, off, lpips-alex, st-lpips-alex or st-lpips-vgg.")
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the tables and the journal.")]
Grid = Annotated[
    str,
    typer.Option(
        metavar="G", help="Noise levels: own (each method's), lmaps (those of its preset row), or both, a row each."
    ),
]
EachSteps = Annotated[int | None, typer.Option(metavar="N", min=1, help="N of every method; their own if not given.")]

SPEED = "lmaps lmaps:backend=torch ddrm diffpir"
FRONTIER = "lmaps daps ddrm diffpir fast-dips sitcom:inner_steps=10"


@bench.command()
def quality(
    methods: Methods = None,
    tasks: Tasks = None,
    images: Images = None,
    count: Count = None,
    size: Size = 128,
    steps: EachSteps = None,
    budget: Budget = 50,
    grid: Grid = "own",
    noise: o.Noise = None,
    seed: o.Seed = 0,
    prior: o.PriorName = "photo",
    preset: o.Preset = "auto",
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
    perceptual: Perceptual = "auto",
    target: Output = Path("bench-output"),
) -> None:
    """Methods x tasks x images: PSNR, SSIM, a perceptual distance, network calls, seconds."""
    with for_people():
        from ..bench import plots, tables
        from ..bench import quality as of_quality

        setting, missing = c.make_setting(
            prior,
            perceptual,
            size=size,
            seed=seed,
            noise=noise,
            steps=steps,
            budget=budget or None,
            backend=backend,
            precision=precision,
            device=device,
            preset=preset,
            threads=threads,
        )
        photos = c.load_photos(images, size, count)
        cells = of_quality.plan(c.make_methods(methods, grid), c.make_tasks(tasks))
        records, complete = c.run_cells(cells, photos, setting, target / "quality.jsonl")
        told = of_quality.known(setting, len(photos), complete, missing)
        lines = of_quality.report(told, records)
        tables.write(target, "quality", lines, told, records)
        title = f"{len(photos)} image(s) of {size}x{size}, prior {setting.prior.name}, {told['machine']}"
        c.figure(lambda path: plots.quality(of_quality.summaries(records), path, title), target / "quality.png")
    c.finish(lines, target, "quality", complete)


@bench.command()
def frontier(
    methods: Methods = None,
    task: OneTask = "deblur-gaussian",
    steps: Annotated[str, typer.Option(metavar="N,N", help="Numbers of steps, a point each.")] = "5,10,20,50",
    images: Images = None,
    count: Count = 2,
    size: Size = 256,
    budget: Budget = 0,
    grid: Grid = "own",
    noise: o.Noise = None,
    seed: o.Seed = 0,
    prior: o.PriorName = "photo",
    preset: o.Preset = "auto",
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
    target: Output = Path("bench-output"),
) -> None:
    """PSNR against seconds: each method at several numbers of steps."""
    with for_people():
        from ..bench import frontier as of_time
        from ..bench import plots, tables
        from ..bench import quality as of_quality

        setting, _ = c.make_setting(
            prior,
            "off",
            size=size,
            seed=seed,
            noise=noise,
            steps=None,
            budget=budget or None,
            backend=backend,
            precision=precision,
            device=device,
            preset=preset,
            threads=threads,
        )
        photos = c.load_photos(images, size, count)
        chosen = c.make_methods(methods or [FRONTIER], grid)
        cells = of_time.plan(chosen, c.make_tasks([task])[0], c.whole_numbers(steps, "--steps"))
        records, complete = c.run_cells(cells, photos, setting, target / "frontier.jsonl")
        told = of_quality.known(setting, len(photos), complete, None)
        lines = of_time.report(told, task, records)
        tables.write(target, "frontier", lines, told, records)
        title = f"{task}, {len(photos)} image(s) of {size}x{size}, prior {setting.prior.name}\n{told['machine']}"
        curves = of_time.curves(of_quality.summaries(records))
        c.figure(lambda path: plots.frontier(curves, path, title), target / "frontier.png")
    c.finish(lines, target, "frontier", complete)


@bench.command()
def speed(
    methods: Methods = None,
    task: OneTask = "deblur-gaussian",
    batches: Annotated[str, typer.Option(metavar="N,N", help="Pictures a batch.")] = "1",
    rounds: Annotated[int, typer.Option(min=1, help="Rounds in which the methods take turns.")] = 20,
    cold: Annotated[int, typer.Option(min=0, metavar="N", help="New processes a method; 0 leaves them out.")] = 3,
    size: Size = 256,
    steps: EachSteps = None,
    budget: Budget = 0,
    grid: Grid = "own",
    noise: o.Noise = None,
    seed: o.Seed = 0,
    prior: o.PriorName = "photo",
    preset: o.Preset = "auto",
    device: o.Device = "auto",
    backend: o.Backend = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
    target: Output = Path("bench-output"),
) -> None:
    """Latency percentiles and images a second, warm and in a new process: "lmaps lmaps:backend=torch" compares backends."""
    with for_people():
        from ..bench import plots, tables
        from ..bench import quality as of_quality
        from ..bench import speed as of_speed

        setting, _ = c.make_setting(
            prior,
            "off",
            size=size,
            seed=seed,
            noise=noise,
            steps=steps,
            budget=budget or None,
            backend=backend,
            precision=precision,
            device=device,
            preset=preset,
            threads=threads,
        )
        name = c.make_tasks([task])[0]
        candidates = [
            of_speed.Candidate(method, batch)
            for method in c.make_methods(methods or [SPEED], grid)
            for batch in c.whole_numbers(batches, "--batches")
        ]
        journal = c.open_journal(target / "speed.jsonl")
        warm, new = c.run_rounds(candidates, name, setting, rounds, cold, journal)
        complete = len(warm) == rounds and len(new) == cold
        told = of_quality.known(setting, 0, complete, None)
        lines = of_speed.report(told, name, warm, new, {one.label: one.batch for one in candidates})
        tables.write(target, "speed", lines, told, [*warm, *new])
        title = f"{name}, {size}x{size}, {len(warm)} rounds, prior {setting.prior.name}\n{told['machine']}"
        c.figure(lambda path: plots.speed(of_speed.series(warm), path, title), target / "speed.png")
    c.finish(lines, target, "speed", complete)
