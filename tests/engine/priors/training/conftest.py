from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lmaps.engine.priors.training.data import PhotoBank, load_bank, photo_files
from lmaps.engine.priors.training.recipe import Recipe
from lmaps.engine.priors.unet import UNetConfig

TINY = UNetConfig(channels=(4, 6), blocks=(1, 1), embedding=8)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(network=TINY, images=400, batch=4, crop=16, warmup_images=20, ema_images=40, seed=3)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs to train on and two held out, of several sizes, JPEG and PNG."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name, (height, width) in {
        "a-0.jpg": (40, 61),
        "b-1.png": (33, 32),
        "c-2.jpg": (90, 70),
        "gb82-0.jpg": (48, 40),
        "gb82-1.png": (37, 59),
    }.items():
        coarse = generator.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def bank(photos: Path) -> PhotoBank:
    return load_bank(photo_files(photos, exclude=["gb82"]), 16, short_sides=(20, 28))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
