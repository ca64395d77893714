"""A run's weights in files small enough to carry away from a rented machine; the optimisers stay behind.

A folder with `carried.json` (what is in it, and the digest of every part) and `part-00.bin`, `part-01.bin` ...
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import history

if TYPE_CHECKING:
    from .run import Run

PART_BYTES = 15_000_000
TOTAL_BYTES = 60_000_000
INDEX = "carried.json"
LOG = "log.jsonl"
ASIDE = ".new"
# Of the average and of the model, best first: the average is what is exported, so it is rounded last. Without the model
# the next run begins both with the average.
PRECISIONS = (
    (torch.float32, torch.float32),
    (torch.float32, torch.float16),
    (torch.float16, torch.float16),
    (torch.float16, None),
)


def write(folder: Path, run: Run, *, total: int = TOTAL_BYTES, part: int = PART_BYTES, log: Path | None = None) -> None:
    """Write the run's model, average, recipe and random state in parts of at most `part` bytes, `total` in all.

    In float32 if that fits, else the model, then the average too, in float16, else the average alone. `log` is copied.
    What an earlier call left stays whole until all of this is written beside it: a machine may go at any moment.
    Raises ValueError where even the average alone is too large.
    """
    data, average, model = _fitting(run, total)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for number, first in enumerate(range(0, len(data), part)):
        piece = data[first : first + part]
        name = f"part-{number:02d}.bin"
        (folder / (name + ASIDE)).write_bytes(piece)
        parts[name] = hashlib.sha256(piece).hexdigest()
    index = {"seen": run.seen, "average": str(average), "model": str(model), "parts": parts}
    (folder / (INDEX + ASIDE)).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    if log is not None and log.is_file():
        shutil.copyfile(log, folder / (LOG + ASIDE))
    _take_over(folder, parts)


def _take_over(folder: Path, parts: Iterable[str]) -> None:
    """The files written aside in place of the earlier ones: a few renames, and nothing slow between them."""
    for file in sorted(folder.glob(f"*{ASIDE}")):
        os.replace(file, folder / file.name.removesuffix(ASIDE))
    for old in folder.glob("part-*.bin"):
        if old.name not in parts:
            old.unlink()


def _fitting(run: Run, total: int) -> tuple[bytes, torch.dtype, torch.dtype | None]:
    """The state as bytes, at the best of PRECISIONS that fits."""
    for average, model in PRECISIONS:
        data = _packed(run, average, model)
        if len(data) <= total:
            return data, average, model
    raise ValueError(f"the average takes {len(data):,} bytes in float16, more than the {total:,} that may be carried")


def read(folder: Path) -> dict[str, Any]:
    """recipe, seen, seconds, device, model (where there was room), average and generator.

    Raises FileNotFoundError or ValueError naming what is wrong.
    """
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder} holds no {INDEX}: it is no folder that --carry wrote")
    pieces = []
    for name, digest in json.loads((folder / INDEX).read_text(encoding="utf-8"))["parts"].items():
        piece = (folder / name).read_bytes() if (folder / name).is_file() else b""
        if hashlib.sha256(piece).hexdigest() != digest:
            raise ValueError(f"{folder / name} is missing or damaged: carry it over again")
        pieces.append(piece)
    state: dict[str, Any] = torch.load(io.BytesIO(b"".join(pieces)), map_location="cpu", weights_only=True)
    return state


def _packed(run: Run, average: torch.dtype, model: torch.dtype | None) -> bytes:
    state = {
        "recipe": asdict(run.recipe),
        "history": history.plain(run.stretches),
        "seen": run.seen,
        "seconds": run.seconds,
        "device": run.device.type,
        "average": _narrowed(run.average, average),
        "generator": run.generator.get_state().cpu(),
    }
    if model is not None:
        state["model"] = _narrowed(run.model, model)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _narrowed(module: nn.Module, kind: torch.dtype) -> dict[str, Tensor]:
    """Matrices and kernels as `kind`, what has one axis as it is: as an exported prior holds them."""
    return {k: v.cpu().to(kind) if v.ndim > 1 else v.cpu() for k, v in module.state_dict().items()}
