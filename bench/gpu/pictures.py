"""What is restored: the bundled photographs, or a drawn scene where no package here reads them."""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lmaps.engine.operators import Operator
from lmaps.engine.tasks import build

from .bench import Bench


def photographs(bench: Bench, count: int) -> Tensor:
    """[count, 3, size, size] in [-1, 1] on the device."""
    known = _known()
    chosen = known[torch.arange(count) % len(known)]
    if chosen.shape[-1] != bench.size:
        chosen = functional.interpolate(chosen, size=(bench.size, bench.size), mode="area")
    return (2 * chosen - 1).to(bench.device)


@cache
def _known() -> Tensor:
    try:
        return _bundled()
    except ImportError:
        return _drawn(256)


def _bundled() -> Tensor:
    """Read by Pillow alone: the engine's own reading of files needs packages that a rented machine may lack."""
    from PIL import Image

    photos = []
    for entry in sorted(resources.files("lmaps.engine").joinpath("demo_photos").iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".png"):
            with entry.open("rb") as file:
                pixels = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
            photos.append(torch.from_numpy(pixels.transpose(2, 0, 1).copy()))
    return torch.stack(photos)


def _drawn(side: int) -> Tensor:
    """[1, 3, side, side] in [0, 1]: slopes, a disc, stripes."""
    down, across = torch.meshgrid(*(torch.linspace(0, 1, side),) * 2, indexing="ij")
    disc = ((down - 0.4) ** 2 + (across - 0.6) ** 2 < 0.06).float()
    stripes = 0.5 + 0.5 * torch.sin(60 * across * down)
    return torch.stack([0.6 * down + 0.4 * disc, 0.5 * stripes + 0.3 * across, 1 - across * (1 - disc)])[None].clamp(
        0, 1
    )


def operator(task: str, bench: Bench) -> Operator:
    """The task's operator as the paper sets it up; in a rehearsal with a hole that fits the picture."""
    if task == "inpaint-box" and bench.tiny:
        return build(task, hole=bench.size // 2)
    return build(task)
