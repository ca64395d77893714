"""A run's weights in files small enough to carry away from a rented machine; the optimisers stay behind.

A folder with `carried.json` (what is in it, and the digest of every part) and `part-00.bin`, `part-01.bin` ...
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .run import Run

PART_BYTES = 15_000_000
TOTAL_BYTES = 60_000_000
INDEX = "carried.json"
# Of the average and of the model, best first: the average is what is exported, so it is rounded last.
PRECISIONS = ((torch.float32, torch.float32), (torch.float32, torch.float16), (torch.float16, torch.float16))


def write(folder: Path, run: Run, *, total: int = TOTAL_BYTES, part: int = PART_BYTES) -> None:
    """Write the run's model, average, recipe and random state in parts of at most `part` bytes, `total` in all.

    In float32 if that fits, else the model, then the average too, in float16. Parts of an earlier state are replaced.
    Raises ValueError where even float16 is too large.
    """
    for average, model in PRECISIONS:
        data = _packed(run, average, model)
        if len(data) <= total:
            break
    else:
        raise ValueError(
            f"the weights take {len(data):,} bytes in float16, more than the {total:,} that may be carried"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for old in [folder / INDEX, *folder.glob("part-*.bin")]:
        old.unlink(missing_ok=True)
    parts = {}
    for number, first in enumerate(range(0, len(data), part)):
        piece = data[first : first + part]
        name = f"part-{number:02d}.bin"
        (folder / name).write_bytes(piece)
        parts[name] = hashlib.sha256(piece).hexdigest()
    index = {"seen": run.seen, "average": str(average), "model": str(model), "parts": parts}
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """recipe, seen, device, model, average and generator. Raises FileNotFoundError or ValueError naming what is wrong."""
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


def _packed(run: Run, average: torch.dtype, model: torch.dtype) -> bytes:
    state = {
        "recipe": asdict(run.recipe),
        "seen": run.seen,
        "device": run.device.type,
        "model": {key: value.cpu().to(model) for key, value in run.model.state_dict().items()},
        "average": {key: value.cpu().to(average) for key, value in run.average.state_dict().items()},
        "generator": run.generator.get_state().cpu(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
