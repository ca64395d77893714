"""From records to tables: means over images, Markdown, and what every report begins with."""

from __future__ import annotations

import datetime
import json
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.problem import FileProblem, reason
from ..priors import Prior
from . import grids
from .journal import Record
from .machine import code, machine, versions

METRICS = ("psnr", "ssim", "perceptual")
_DIGITS = {"psnr": 2, "ssim": 3, "perceptual": 3}


@dataclass(frozen=True)
class Summary:
    """One cell over its images that ended well.

    mean, deviation: by metric; the deviation is that of a sample (n - 1), 0 for one image.   calls, seconds: an image's, means.
    own: calls of the method where nothing cuts it down.   grid: noise levels, from, to and whose.   ran_on: backend, precision.
    troubles: status -> number of images that ended so.   reason: of the first trouble.
    """

    mean: dict[str, float]
    deviation: dict[str, float]
    calls: float
    own: int
    grid: str
    ran_on: str
    seconds: float
    images: int
    troubles: dict[str, int]
    reason: str

    def cell(self, metric: str) -> str:
        """mean ± deviation, or how it ended."""
        troubles = ", ".join(f"{status} {count} of {self.images}" for status, count in self.troubles.items())
        if metric not in self.mean:
            undefined = list(self.troubles) == ["undefined"]
            return "undefined" if undefined else troubles or "-"
        digits = _DIGITS[metric]
        text = f"{self.mean[metric]:.{digits}f} ± {self.deviation[metric]:.{digits}f}"
        return f"{text} ({troubles})" if troubles else text

    def effort(self, backwards: bool) -> str:
        """Network calls: "20", "50 of 1000 ∇"."""
        if not self.own or not self.mean:
            return ""
        made = f"{self.calls:.0f}"
        return made + (f" of {self.own}" if made != str(self.own) else "") + (" ∇" if backwards else "")


def summary(records: Sequence[Record]) -> Summary:
    well = [r for r in records if r["status"] == "ok"]
    found = [m for m in METRICS if well and all(m in r for r in well)]
    troubles: dict[str, int] = {}
    for record in records:
        if record["status"] != "ok":
            troubles[record["status"]] = troubles.get(record["status"], 0) + 1
    return Summary(
        mean={m: statistics.fmean(r[m] for r in well) for m in found},
        deviation={m: statistics.stdev([r[m] for r in well]) if len(well) > 1 else 0.0 for m in found},
        calls=statistics.fmean(r["denoiser_calls"] for r in well) if well else 0.0,
        own=max((r["own_calls"] for r in well), default=0),
        grid=_each(grids.told(r) for r in well),
        ran_on=_each(f"{r['backend']} {r['precision']}" for r in well if "backend" in r),
        seconds=statistics.fmean(r["total_s"] for r in well) if well else 0.0,
        images=len(records),
        troubles=troubles,
        reason=next((str(r.get("reason", "")) for r in records if r["status"] != "ok"), ""),
    )


def _each(texts: Iterable[str]) -> str:
    """The different ones, for images that did not all run alike."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; bars inside cells are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), "|" + "---|" * len(head), *map(line, rows), ""]


def facts(prior: Prior, what: dict[str, Any]) -> dict[str, Any]:
    """What every report begins with, plain values only."""
    return {
        "command": shlex.join(["lmaps", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
        "code": code(),
        "prior": {"name": prior.name, "digest": prior.digest},
        **what,
    }


def fairness(told: dict[str, Any]) -> list[str]:
    """What a reader has to know before comparing rows."""
    return [
        "- noise levels: from, to, and whose. own: the range that the method's authors chose, for networks trained on FFHQ or "
        "ImageNet. lmaps: the range of lmaps's preset row for the task; a preset that belongs to the prior "
        f"({told['prior']['name']}) was tuned for it and for few steps, and nothing else in this table was. So rows on one "
        "range compare methods; rows on own compare whole set-ups, and mostly their ranges when calls are few",
        "- equal calls are not equal seconds: passes backwards and the work between calls show in the seconds alone, and "
        "backends differ (ran on)",
    ]


def preamble(title: str, known: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    lines = [f"# {title}", "", "```console", f"$ {known['command']}", "```", ""]
    lines += [f"- {known['date']}; {known['machine']}", f"- {packages}; engine's code {known['code']}"]
    lines += [f"- prior {known['prior']['name']}, SHA-256 {known['prior']['digest']}"]
    if known.get("complete") is False:
        lines += ["- **incomplete: stopped before the end**; the same command goes on where it stopped"]
    return lines


def write(folder: Path, name: str, lines: Sequence[str], known: dict[str, Any], records: Sequence[Record]) -> None:
    """FOLDER/NAME.md and FOLDER/NAME.json."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
        whole = {**known, "records": list(records)}
        (folder / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise FileProblem(f"{folder} cannot be written: {reason(error)}") from error
