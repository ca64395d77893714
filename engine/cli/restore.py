"""`lmaps restore`: a measurement in, the restored picture out."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o
from .errors import FAILED, Stop, for_people

if TYPE_CHECKING:
    from ..files import Job, Picture
    from ..plan import Restorer, Result
    from .given import Degradation, Given
    from .jobs import Report


def restore(
    source: o.Source,
    target: o.Target,
    task: Annotated[str | None, typer.Option("-t", "--task", metavar="T", help="What happened to the picture.")] = None,
    mask: o.MaskFile = None,
    kernel: o.KernelFile = None,
    param: o.Parameters = None,
    noise: o.Noise = None,
    seed: o.Seed = 0,
    steps: o.Steps = None,
    prior: o.PriorName = "photo",
    solver: o.SolverName = "lmaps",
    preset: o.Preset = "auto",
    device: o.Device = "auto",
    backend: o.BackendOfRestore = "auto",
    precision: o.Precision = "auto",
    threads: o.Threads = None,
    tile: o.Tile = None,
    compare: o.Compare = None,
    suffix: o.Suffix = None,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
    max_megapixels: o.Megapixels = o.DEFAULT_MEGAPIXELS,
    k1: o.K1 = None,
    k2: o.K2 = None,
    eta: o.Eta = None,
    inner: o.Inner = None,
    strategy: o.Strategy = None,
) -> None:
    """Restore a picture, a measurement (.npz, .uvfits), or a folder's: its measurements, or with --task its pictures."""
    from ..files import SUFFIXES, plan_jobs
    from ..files.walk import MEASURED, holds
    from ..priors import load_prior
    from .given import Degradation
    from .jobs import run_jobs

    solver_options = {"k1": k1, "k2": k2, "eta": eta, "inner_steps": o.inner_steps(inner), "strategy": strategy}
    with for_people():
        said = Degradation(task, mask, kernel, seed, o.parameters(param))
        folder = source.is_dir()
        if folder and task is None and not any(holds(source, kind) for kind in MEASURED):
            raise Stop(
                f"{source} has no measurement ({' '.join(MEASURED)}); say what happened to its pictures with --task"
            )
        jobs = plan_jobs(source, target, suffix=suffix, readable=MEASURED if task is None else SUFFIXES)
        network = load_prior(prior)
    run = _Run(
        said=said,
        noise=noise,
        seed=seed,
        overwrite=overwrite,
        max_pixels=round(max_megapixels * 1e6),
        references=_References(compare, round(max_megapixels * 1e6)) if compare else None,
        compiling={
            "prior": network,
            "solver": solver,
            "steps": steps,
            "preset": preset,
            "device": device,
            "backend": o.chosen_backend(backend),
            "precision": precision,
            "threads": threads,
            **({"tile": tile} if tile else {}),
            **{name: value for name, value in solver_options.items() if value is not None},
        },
    )
    try:
        run_jobs(jobs, run, quiet=quiet, folder=folder)
    finally:
        if run.references is not None and not quiet:
            run.references.summary()


class _Run:
    """The work on one file. Keeps the last restorer, for folders of equal pictures."""

    def __init__(
        self,
        said: Degradation,
        noise: float | None,
        seed: int,
        overwrite: bool,
        max_pixels: int,
        references: _References | None,
        compiling: dict[str, Any],
    ) -> None:
        self.said, self.noise, self.seed, self.overwrite = said, noise, seed, overwrite
        self.max_pixels, self.references, self.compiling = max_pixels, references, compiling
        self._kept: tuple[Hashable, Restorer] | None = None

    def __call__(self, job: Job, report: Report) -> None:
        from ..files import write_image
        from ..files.writing import encoder_for, refuse_existing, refuse_transparency
        from .given import for_prior, read_given

        with for_people():
            encoder_for(job.target)
            refuse_existing(job.target, self.overwrite)
            given = read_given(job.source, self.said, self.max_pixels)
            refuse_transparency(job.target, given.source)
            truth = self.references.read(job) if self.references else None
        for note in given.source.notes:
            report.note(f"{job.source} {note}")
        with for_people(str(job.source)):
            y = for_prior(given, self.compiling["prior"].channels)
            result = self._restorer(job, given)(y, seed=self.seed, callback=_progress(report))
        if result.status != "ok":
            raise Stop(f"{job.source}: {result.status}: {result.message}", FAILED)
        with for_people():
            picture = given.source.with_rgb(result.image[0].cpu().numpy())
            notes = write_image(job.target, picture, overwrite=self.overwrite)
        for note in notes:
            report.note(f"{job.target} {note}")
        report.line(f"{job.source} -> {job.target}  ({_how(result)})")
        if self.references is not None and truth is not None:
            self.references.report(job, picture, truth, report)

    def _restorer(self, job: Job, given: Given) -> Restorer:
        from ..plan import compile

        noise = given.noise if self.noise is None else self.noise
        own = job.source.suffix.lower() in (".npz", ".uvfits") or given.task == "jpeg"
        key = (job.source if own else None, given.size, noise)
        if self._kept is None or self._kept[0] != key:
            restorer = compile(given.operator, task=given.task, size=given.size, noise=noise, **self.compiling)
            self._kept = key, restorer
        return self._kept[1]


def _progress(report: Report) -> Any:
    return lambda progress: report.step(progress.step, progress.steps)


def _how(result: Result) -> str:
    stats = result.stats
    words = [f"{stats['steps']} steps"]
    words += [str(stats[name]) for name in ("strategy", "backend", "precision") if stats.get(name)]
    if stats.get("chosen_by", "").startswith("default"):
        words.append("backends not timed: --backend fastest")
    return ", ".join([*words, f"{stats['total_s']:.2f} s"])


@dataclass(frozen=True)
class _Scores:
    """ssim: None for pictures smaller than its window."""

    psnr: float
    ssim: float | None

    def __str__(self) -> str:
        return f"PSNR {self.psnr:.2f} dB" + ("" if self.ssim is None else f"  SSIM {self.ssim:.4f}")


class _References:
    """The pictures of --compare, and what was measured against them."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self.path, self.max_pixels = path, max_pixels
        self.scores: list[_Scores] = []
        self._told = False

    def read(self, job: Job) -> Picture:
        from ..files import read_image

        return read_image(self._find(job), max_pixels=self.max_pixels)

    def report(self, job: Job, picture: Picture, truth: Picture, report: Report) -> None:
        import torch

        from .. import metrics
        from ..files.metadata import as_seen

        picture = as_seen(picture)  # a JPEG restored as it lies in its file may lie on its side
        if picture.size != truth.size:
            raise Stop(
                f"{job.target} is {picture.size[1]}x{picture.size[0]}, its reference {truth.size[1]}x{truth.size[0]}; "
                "compare with a picture of the same size"
            )
        x, ref = (torch.from_numpy(p.rgb().copy())[None] for p in (picture, truth))
        ssim = float(metrics.ssim(x, ref)) if min(picture.size) >= metrics.SSIM_WINDOW else None
        scores = _Scores(float(metrics.psnr(x, ref)), ssim)
        self.scores.append(scores)
        line = f"{job.target}  {scores}"
        try:
            metric = metrics.perceptual()
            line += f"  {metric.label} {float(metric(x, ref)):.4f}"
        except (RuntimeError, ValueError) as reason:
            if not self._told:
                report.note(f"no LPIPS: {reason}")
                self._told = True
        report.line(line)

    def summary(self) -> None:
        """The mean over a folder's files."""
        count = len(self.scores)
        if count > 1:
            ssims = [scores.ssim for scores in self.scores if scores.ssim is not None]
            ssim = sum(ssims) / count if len(ssims) == count else None  # a mean over fewer files would not compare
            print(f"mean of {count}  {_Scores(sum(scores.psnr for scores in self.scores) / count, ssim)}")

    def _find(self, job: Job) -> Path:
        if not self.path.is_dir():
            return self.path
        same = [p for p in sorted(self.path.iterdir()) if p.stem == job.source.stem and p.suffix.lower() != ".npz"]
        if not same:
            raise Stop(f"{self.path} has no picture named {job.source.stem} to compare {job.source} with")
        return next((p for p in same if p.suffix == job.source.suffix), same[0])
