"""Which files a command reads and writes: one file, or a folder's in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .problem import FileProblem, reason
from .reading import SUFFIXES

# Suffixes of measurements that are no pictures.
MEASURED = (".npz", ".uvfits")


@dataclass(frozen=True)
class Job:
    """One file in, one file out."""

    source: Path
    target: Path


def plan_jobs(
    source: Path, target: Path, *, suffix: str | None = None, readable: Iterable[str] = SUFFIXES
) -> list[Job]:
    """The jobs behind IN and -o OUT.

    A file goes to the file `target`, or into it where it is a folder. A folder's files, sorted by name and not its
    subfolders', go into the folder `target` (made if missing) under their own names, with `suffix` (".png") in place of
    theirs if given; a measurement (`MEASURED`) becomes a .png by default.

    Raises FileProblem: `source` missing or without a readable file, a folder meant to go into a file, two files that
    would be written to the same name.
    """
    if not source.exists():
        raise FileProblem(f"{source} does not exist; check the name")
    if not source.is_dir():
        return [Job(source, target / _name(source, suffix) if target.is_dir() else target)]
    if target.exists() and not target.is_dir():
        raise FileProblem(f"{source} is a folder and {target} is a file; name a folder with -o")
    wanted = {s.lower() for s in readable}
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in wanted and path.is_file())
    if not files:
        raise FileProblem(f"{source} has no file to read ({' '.join(sorted(wanted))})")
    jobs = [Job(path, target / _name(path, suffix)) for path in files]
    _refuse_clashes(jobs)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileProblem(f"the folder {target} cannot be made: {reason(error)}") from error
    return jobs


def holds(folder: Path, suffix: str) -> bool:
    """Whether a folder has a file of this suffix."""
    return any(path.suffix.lower() == suffix for path in folder.iterdir())


def _name(path: Path, suffix: str | None) -> str:
    return path.with_suffix(suffix or (".png" if path.suffix.lower() in MEASURED else path.suffix)).name


def _refuse_clashes(jobs: list[Job]) -> None:
    writers: dict[Path, Path] = {}
    for job in jobs:
        if (other := writers.setdefault(job.target, job.source)) != job.source:
            raise FileProblem(f"{other} and {job.source} would both be written to {job.target}; rename one of them")
