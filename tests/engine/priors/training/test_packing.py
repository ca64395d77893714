from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lmaps.engine.priors.training import packing
from lmaps.engine.priors.training.data import load_bank, photo_files, validation_crops
from lmaps.engine.priors.training.packing import pack, unpack


def test_originals_that_fit_make_the_same_bank(photos: Path, tmp_path: Path) -> None:
    files = photo_files(photos, exclude=["gb82"])
    held_out = [f for f in photo_files(photos) if f.name.startswith("gb82")]
    assert pack(files, held_out, tmp_path / "photos.zip") == "original files"
    packed = unpack(tmp_path / "photos.zip")
    assert list(packed.train) == [f.name for f in files]
    a, b = load_bank(files, 16), load_bank(packed.train.values(), 16)
    assert torch.equal(a.pixels, b.pixels)
    assert torch.equal(a.table, b.table)
    assert torch.equal(validation_crops(held_out, 32), validation_crops(list(packed.held_out.values()), 32))


@pytest.fixture
def large(tmp_path: Path) -> list[Path]:
    """Two pictures of 700x560 with detail, 1.2 MB of PNG each."""
    files = []
    for seed in range(2):
        noise = np.random.default_rng(seed).integers(0, 256, (700, 560, 3), dtype=np.uint8)
        files.append(tmp_path / f"large-{seed}.png")
        Image.fromarray(noise).save(files[-1])
    return files


def test_what_is_too_large_is_shrunk_and_the_quality_told(large: list[Path], photos: Path, tmp_path: Path) -> None:
    held_out = [photos / "gb82-1.png"]
    path, budget = tmp_path / "photos.zip", 900_000
    stored = pack(large, held_out, path, budget=budget)
    quality = int(stored.partition("quality ")[2].partition(",")[0])
    assert quality in packing.QUALITIES[1:]
    assert path.stat().st_size <= budget
    packed = unpack(path)
    assert packed.stored == stored
    assert packed.held_out["gb82-1.png"] == held_out[0].read_bytes()
    photo = Image.open(BytesIO(packed.train["large-0.jpg"]))
    assert photo.size == (512, 640)
    assert [c[1:3] for c in photo.layer] == [(1, 1)] * 3, "chroma must not be subsampled"


def test_what_fits_nowhere_is_refused(large: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 photographs do not fit into 100,000 bytes"):
        pack(large, [], tmp_path / "photos.zip", budget=100_000)
    assert not (tmp_path / "photos.zip").exists()


def test_another_file_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match="is no pack of photographs, or it is damaged"):
        unpack(tmp_path / "photos.zip")
