"""Methods as words, pictures of a folder, figures of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lmaps.engine import solvers, tasks
from lmaps.engine.bench import photos, published
from lmaps.engine.bench.methods import everything, parse
from lmaps.engine.files import Picture, write_image


def test_a_word_is_a_solver_and_its_settings() -> None:
    method = parse("daps:steps=50,chain=loop,lr=1e-4,backend=torch")
    assert method.solver == "daps"
    assert method.compiling == {"steps": 50, "backend": "torch"}
    assert method.options == {"chain": "loop", "lr": 1e-4}
    assert parse("dps:clip=false").options == {"clip": False}
    assert [m.label for m in everything()] == ["start", *solvers.available()]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("dasp", "did you mean 'daps'"),
        ("daps:steps", "'steps' is not of the form"),
        ("daps:", "NAME=VALUE"),
        ("daps:steps=5,,", "NAME=VALUE"),
        ("start:steps=5", "takes no options"),
    ],
)
def test_words_that_are_none(word: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(word)


def write(path: Path, height: int, width: int, value: float) -> None:
    pixels = np.full((3, height, width), value, np.float32)
    pixels[:, :, : (width - min(height, width)) // 2] = 1.0  # what the middle square leaves out
    write_image(path, Picture(pixels))


def test_pictures_come_by_name_as_middle_squares(tmp_path: Path) -> None:
    for name, value in (("b.png", 0.4), ("a.png", 0.2), ("c.png", 0.6)):
        write(tmp_path / name, 40, 70, value)
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    got = photos.load(tmp_path, 32, 2)
    assert [photo.name for photo in got] == ["a.png", "b.png"]
    for photo, value in zip(got, (0.2, 0.4), strict=True):
        torch.testing.assert_close(photo.pixels, torch.full((3, 32, 32), value), atol=0.003, rtol=0)
    assert len({photo.digest for photo in got}) == 2
    assert photos.load(tmp_path, 40, 1)[0].digest != got[0].digest


def test_bundled_pictures_and_what_does_not_fit(tmp_path: Path) -> None:
    whole = photos.load(None, 256)
    assert len(whole) >= 4
    assert whole[0].pixels.shape == (3, 256, 256)
    with pytest.raises(ValueError, match="too small for --size 512"):
        photos.load(None, 512)
    with pytest.raises(ValueError, match="holds no picture"):
        photos.load(tmp_path, 32)
    with pytest.raises(ValueError, match="is not a folder"):
        photos.load(tmp_path / "gone", 32)


def test_published_figures_are_those_of_the_paper() -> None:
    """Spot checks by hand against Table 1 and Table 3."""
    assert published.quality("deblur-gaussian", "lmaps", "ffhq") == {"psnr": [30.88], "ssim": [0.867], "lpips": [0.158]}
    assert published.quality("phase-retrieval", "daps", "imagenet")["psnr"] == [21.39, 6.59]
    assert published.quality("jpeg", "pigdm", "ffhq")["ssim"] == [0.755, 0.06]
    assert published.quality("sr4", "diffpir", "ffhq") == {"psnr": [26.64], "lpips": [0.26]}
    assert published.quality("sr4", "dcdp", "imagenet") == {}
    assert published.quality("sr4", "sitcom", "imagenet")["ssim"] == [0.746]
    assert [(r["method"], r["seconds"]) for r in published.times()["rows"]][:4] == [
        ("daps", 110),
        ("sitcom", 73),
        ("dps", 138),
        ("lmaps", 61),
    ]


def test_published_figures_have_names_that_exist() -> None:
    count = 0
    for task in tasks.TASKS:
        for solver in solvers.available():
            for network in published.networks():
                found = published.quality(task, solver, network)
                count += bool(found)
                assert set(found) <= set(published.METRICS)
                assert all(0 < value < (100 if metric == "psnr" else 1) for metric, v in found.items() for value in v)
    assert count == 108
