"""One JSON and one Markdown file, written anew after each section."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .figures import Row, Tables, as_rows, figures, tables

TITLES = {
    "failed": "What failed",
    "skipped": "What was not done, and why",
    "ceilings": "Measured ceilings",
    "paper": "The paper's setting: FFHQ-size network with random weights, Gaussian deblurring",
    "calls": "One call of the denoiser",
    "bfloat16 calls": "One call in bfloat16 against float32",
    "compiling": "torch.compile",
    "auto": "The backend that auto chooses by timing",
    "restorations": "Whole restorations with the shipped prior, batch 1",
    "bfloat16": "What bfloat16 costs",
    "start": "Cold and warm start, N = 20",
    "kernels": "Kernels",
    "checks": "Checks",
    "backends": "Backends",
    "machine": "The machine",
}


def write(folder: Path, name: str, facts: dict[str, Any], rows: Iterable[Row], sections: list[Row]) -> str:
    """Write `name`.json and `name`.md; returns the table of figures, for people."""
    found = tables(rows)
    promised = as_rows(figures(found))
    folder.mkdir(parents=True, exist_ok=True)
    whole = {**facts, "figures": promised, "sections": sections, "tables": found}
    _replace(folder / f"{name}.json", json.dumps(whole, indent=1, default=str) + "\n")
    text = "\n".join([*_head(facts, found), "## Figures", "", _markdown(promised), "", *_rest(found, sections)])
    _replace(folder / f"{name}.md", text + "\n")
    return _markdown(promised)


def name_of(rows: Iterable[Row]) -> str:
    """gpu-<the GPU's name>, from what the section `machine` found."""
    known = [row["value"] for row in rows if row["kind"] == "row" and row.get("what") == "GPU"]
    return "gpu-" + (re.sub(r"[^a-z0-9]+", "-", str(known[0]).lower()).strip("-") if known else "unknown")


def _head(facts: dict[str, Any], found: Tables) -> list[str]:
    where = next((row["value"] for row in found.get("machine", ()) if row["what"] == "machine"), "unknown machine")
    lines = [
        f"# {facts['title']}",
        "",
        f"`{facts['command']}` on {facts['date']}: {where}.",
        f"Package: {facts['built']}.",
    ]
    return [*lines, *([f"**{facts['warning']}**"] if facts["warning"] else []), ""]


def _rest(found: Tables, sections: list[Row]) -> Iterable[str]:
    yield from ("## Sections", "", _markdown(sections), "")
    for key in (*TITLES, *(k for k in found if k not in TITLES)):
        if found.get(key):
            yield from (f"## {TITLES.get(key, key)}", "", _markdown(found[key]), "")


def _markdown(rows: list[Row]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(key)) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return re.sub(r"\s+", " ", str(value)).replace("|", "/")


def _replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
