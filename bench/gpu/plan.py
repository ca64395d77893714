"""The sections in the order they run, and how the time is shared out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
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


SECTIONS = (
    Section("machine", 80, "versions, backends, measured ceilings"),
    Section("denoisers", 80, "denoiser calls, eager and captured"),
    Section("paper", 75, "the paper's setting"),
    Section("restorations", 110, "whole restorations"),
    Section("kernels", 90, "kernels against their twins, and their times"),
    Section("checks", 90, "graphs against eager, replays, threads, GPU against CPU"),
    Section("precision", 50, "what bfloat16 costs"),
    Section("start", 35, "cold and warm start"),
    Section("compiled", 70, "denoiser calls under torch.compile"),
)


def limit(index: int, left: float) -> float:
    """Seconds for the section `index` of SECTIONS, from what is left for it and those behind it."""
    return left * SECTIONS[index].share / sum(s.share for s in SECTIONS[index:])


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
