"""The sections in the order they run, and how the time is shared out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A section's process ends with this when the GPU answers no more: the rest of it goes on in a fresh process.
POISONED = 75
# What torch.compile keeps. A process that is ended while it compiles leaves half a file there, which breaks the next.
INDUCTOR = "inductor"


@dataclass(frozen=True, slots=True)
class Section:
    """A module of this package with `run(bench)`. share: of the time; what a section leaves over, the later ones get."""

    name: str
    share: float
    about: str


# What is promised comes first, with twice the time that it should take. What bears it out comes behind, and has what is left.
SECTIONS = (
    Section("machine", 40, "versions, backends, measured ceilings"),
    Section("denoisers", 120, "denoiser calls in bfloat16, captured and eager"),
    Section("paper", 160, "the paper's setting"),
    Section("restorations", 150, "whole restorations"),
    Section("start", 40, "cold and warm start"),
    Section("checks", 60, "graphs against eager, replays, threads, GPU against CPU"),
    Section("kernels", 40, "kernels against their twins, and their times"),
    Section("precision", 25, "what bfloat16 costs"),
    Section("single", 25, "denoiser calls in float32"),
    Section("compiled", 30, "denoiser calls under torch.compile"),
)

# N of short and long restorations.
STEPS = (20, 200)
# lmaps.engine.tasks.TASKS, here as well for a report that tells what was not measured; the slow ones last.
TASKS = (
    "denoise",
    "sr4",
    "inpaint-box",
    "inpaint-random",
    "deblur-gaussian",
    "deblur-motion",
    "hdr",
    "jpeg",
    "quantize",
    "phase-retrieval",
    "deblur-nonlinear",
)


def limit(sections: Sequence[Section], left: float) -> float:
    """Seconds for the first of these sections, from what is left for all of them."""
    return left * sections[0].share / sum(section.share for section in sections)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The lines a section has written so far; one that was cut off is left out."""
    return list(_lines(file))


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def unfinished(rows: list[dict[str, Any]]) -> str | None:
    """The attempt that was under way when a section's process ended, or None."""
    begun = [row["label"] for row in rows if row["kind"] == "begin"]
    ended = {row["label"] for row in rows if row["kind"] == "end"}
    return begun[-1] if begun and begun[-1] not in ended else None


def environment(paths: tuple[str, ...], work: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a section's process: where the package lies, and caches in a folder of our own."""
    known = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, *known]),
        "PYTHONUNBUFFERED": "1",
        "LMAPS_CACHE": str(work / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(work / INDUCTOR),
        **(extra or {}),
    }
