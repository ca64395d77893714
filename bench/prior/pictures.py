"""The photographs that no prior of ours was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import skimage.data
from torch import Tensor

from lmaps.engine.priors.training.data import photo_files, validation_crops

HELD_OUT = "gb82"
BUNDLED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Picture:
    """x [1, 3, size, size] in [-1, 1]; `seed` is the picture's own for noise, masks and kernels, whatever the selection."""

    name: str
    x: Tensor
    seed: int


def held_out(photos: Path | None, count: int, size: int) -> list[Picture]:
    """The first `count` of the held-out photographs: centre crops after shrinking the short side to `size`.

    photos: folder with the `gb82-*` files, or None for scikit-image's four alone. The order is mixed so that a larger
    count contains the smaller one and every count has photographs of all kinds.
    """
    files = [Path(skimage.data.__file__).parent / name for name in BUNDLED]
    if photos is not None:
        files += [f for f in photo_files(photos) if f.name.startswith(HELD_OUT)]
    if not 1 <= count <= len(files):
        raise ValueError(f"there are {len(files)} held-out photographs, {count} were asked for")
    chosen = sorted(range(len(files)), key=lambda i: (i * GOLDEN) % 1)[:count]
    crops = validation_crops([files[i] for i in chosen], size).split(1)
    return [Picture(files[i].stem, x, i) for i, x in zip(chosen, crops, strict=True)]
