"""Methods as words, pictures of a folder, figures of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lmaps.engine import solvers, tasks
from lmaps.engine.bench import grids, photos, published
from lmaps.engine.bench.checked import check
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


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("daps:chian=loop", "did you mean 'chain'"),
        ("daps:noise=0.1", "use --noise"),
        ("sitcom:inner_steps=abc", "inner_steps takes a whole number, got 'abc'"),
        ("fps:particles=0", "particles must be a whole number from 1"),
        ("lmaps:steps=0", "steps must be a whole number"),
        ("daps:lr=true", "lr takes a number, got True"),
        ("daps:chain=lop", "chain must be one of"),
        ("dps:clip=1", "clip takes true or false"),
        ("ddrm:grid=lmap", "grid takes 'own', 'lmaps', got 'lmap'"),
        ("ddrm:sigma_max=-1", "need sigma_max > sigma_min > 0"),
        ("lmaps:k1=-1", "k1 must be"),
        ("lmaps:largest=1", "lmaps has no option 'largest'"),
    ],
)
def test_settings_are_looked_at_before_anything_runs(word: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as told:
        check([parse("start"), parse(word)])
    assert f"method {word!r}" in str(told.value)


def test_settings_that_some_task_allows_are_let_through() -> None:
    words = (
        "lmaps:strategy=stepped daps:chain=collapsed,steps=9 sitcom:penalty=1 lmaps:inner_steps=exact ddrm:sigma_max=2"
    )
    check([parse(word) for word in f"{words} vml-map:precondition=true fps:share=0.5,grid=lmaps".split()])
    check(everything())


def test_methods_are_put_on_lmapss_noise_levels() -> None:
    methods = [parse(word) for word in ("start", "lmaps", "ddrm", "daps:steps=9", "dps:grid=own", "tmpd:sigma_max=3")]
    assert [m.label for m in grids.expand(methods, "both")] == [
        *("start", "lmaps", "ddrm", "ddrm:grid=lmaps", "daps:steps=9", "daps:steps=9,grid=lmaps"),
        *("dps:grid=own", "tmpd:sigma_max=3"),
    ]
    moved = grids.expand(methods, "lmaps")[2]
    assert moved.label == "ddrm:grid=lmaps"
    assert moved.options == {}
    assert grids.ends(moved, "sr4", "photo") == (0.7, 0.03)
    assert grids.ends(parse("ddrm"), "sr4", "photo") is None
    top, bottom = grids.ends(parse("daps:sigma_min=0.5"), "sr4", "photo") or (0, 0)
    assert (top, bottom) == pytest.approx((100, 0.5))
    assert grids.expand(methods, "own") == methods


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
