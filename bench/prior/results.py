"""From cells to the means that the report shows, and to JSON and back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.classical.cases import Case

from .cells import STEPS, Bench, Cell
from .journal import Journal, Values
from .pictures import Picture

SECTIONS = ("denoising", "restoration", "steps")
LMAPS = "LMAPS"
FORMAT = 2


@dataclass(frozen=True)
class Mean:
    """Means over the photographs. `where`: noise level or case; `method`: its name, or the number of steps.

    psnrs: PSNR of each photograph, in the order of the report's list.
    """

    where: str | float
    method: str | int
    psnr: float
    ssim: float
    seconds: float
    count: int
    perceptual: float | None = None
    psnrs: tuple[float, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Results:
    """Everything the report and the model card are made from. about: command, machine, date, prior, photographs, ..."""

    about: dict[str, Any]
    denoising: list[Mean] = field(default_factory=list)
    restoration: list[Mean] = field(default_factory=list)
    steps: list[Mean] = field(default_factory=list)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises ValueError where the file is of another format, FileNotFoundError where there is none."""
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format", None) != FORMAT:
            raise ValueError(f"{path} was not written by this version of bench.prior: run it again")
        means = {
            section: [Mean(**{**row, "psnrs": tuple(row["psnrs"])}) for row in data[section]] for section in SECTIONS
        }
        return cls(about=data["about"], **means)


def cells(
    section: str, bench: Bench, cases: Sequence[Case], pictures: Sequence[Picture], which: str = "all"
) -> Iterator[Cell]:
    """The cells of a section, photographs innermost. which: "all", or only those that are "classical" or "learned"."""
    if section == "denoising":
        for picture in pictures:
            for cell in bench.denoising(picture):
                if which in ("all", "learned" if cell.group[1] == "prior" else "classical"):
                    yield cell
        return
    for case in cases:
        if section == "restoration" and which in ("all", "classical"):
            for picture in pictures:
                yield from bench.classical(case, picture)
        if which in ("all", "learned"):
            for steps in (None,) if section == "restoration" else STEPS:
                for picture in pictures:
                    yield from bench.lmaps(case, picture, steps)


def means(found: Iterable[Cell], journal: Journal, section: str, pictures: int) -> list[Mean]:
    """One `Mean` a group whose photographs are all measured; a group with a gap is left out."""
    groups: dict[tuple[Any, ...], list[Values]] = {}
    for cell in found:
        measured = groups.setdefault(cell.group, [])
        if cell.key in journal:
            measured.append(journal[cell.key])
    rows = []
    for (where, way), values in groups.items():
        if len(values) == pictures:
            method = LMAPS if section == "restoration" and isinstance(way, int) else way
            rows.append(_mean(where, method, values))
    return rows


def _mean(where: str | float, method: str | int, values: Sequence[Values]) -> Mean:
    def average(name: str) -> float:
        return round(statistics.mean(v[name] for v in values), 4)

    psnrs = tuple(round(v["psnr"], 3) for v in values)
    perceptual = average("perceptual") if all("perceptual" in v for v in values) else None
    return Mean(where, method, average("psnr"), average("ssim"), average("seconds"), len(values), perceptual, psnrs)
