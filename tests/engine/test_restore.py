"""`lmaps.restore`: what it needs to know of a degradation, and the pictures it takes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lmaps
from lmaps.engine.files import read_image
from lmaps.engine.operators import JPEG, Blur, SuperResolution
from lmaps.engine.pictures import pictures
from lmaps.engine.restore import operator_for

GREY = np.full((16, 24, 3), 128, np.uint8)
Y = torch.zeros(1, 3, 16, 24)


@pytest.fixture
def quick(tiny_prior_folder: Path) -> dict[str, Any]:
    return {"prior": tiny_prior_folder, "steps": 2, "preset": "paper", "precision": "float32", "backend": "torch"}


def noise_picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8))


def reopened(picture: Image.Image, kind: str, **options: Any) -> Image.Image:
    data = BytesIO()
    picture.save(data, kind, **options)
    return Image.open(data)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("inpaint-box", "inpaint-box of a picture needs mask="),
        ("inpaint-random", "inpaint-random of a picture needs mask="),
        ("deblur-motion", "deblur-motion of a picture needs kernel="),
        ("jpeg", r"its compression is unknown: give lmaps\.operators\.JPEG"),
    ],
)
def test_a_degradation_that_the_picture_does_not_show_is_not_invented(task: str, words: str, tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "in.png")
    for image in (GREY, tmp_path / "in.png", Image.open(tmp_path / "in.png"), Image.fromarray(GREY), Y):
        with pytest.raises(ValueError, match=words):
            lmaps.restore(image, task)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mask": np.zeros((16, 24))}, "mask marks no pixel as known"),
        ({"mask": torch.zeros(1, 16, 24)}, "mask marks no pixel as known"),
        ({"kernel": np.ones((4, 5))}, "kernel is 5x4; make both sides odd"),
        ({"kernel": np.zeros((3, 3))}, "kernel sums to 0"),
        ({"kernel": torch.ones(17, 3)}, "the picture only 24x16"),
    ],
)
def test_arrays_are_refused_as_their_files_are(given: dict[str, Any], words: str) -> None:
    task = "inpaint-random" if "mask" in given else "deblur-motion"
    with pytest.raises(ValueError, match=words):
        lmaps.restore(GREY, task, **given)


@pytest.mark.parametrize("kernel", [np.ones((5, 5)), torch.ones(5, 5, requires_grad=True), [[1] * 5] * 5])
def test_a_kernel_sums_to_one_in_a_file_or_not(kernel: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "k.npy", np.ones((5, 5)))
    for task in ("deblur-motion", "deblur-gaussian"):
        blur, same = (operator_for(task, GREY, Y, kernel=k) for k in (kernel, tmp_path / "k.npy"))
        assert isinstance(blur, Blur)
        assert isinstance(same, Blur)
        assert torch.equal(blur.kernel, same.kernel)
        assert float(blur.kernel.sum()) == pytest.approx(1)


def test_an_operator_of_ones_own_has_its_mask_in_it() -> None:
    with pytest.raises(ValueError, match="leave them out"):
        lmaps.restore(GREY, SuperResolution(4), mask=np.ones((16, 24)))


def test_a_pil_image_of_a_jpeg_file_has_its_tables(tmp_path: Path) -> None:
    noise_picture().save(tmp_path / "in.jpg", quality=30)
    image = Image.open(tmp_path / "in.jpg")
    image.load()
    operator = operator_for("jpeg", image, Y)
    expected = JPEG.from_file(tmp_path / "in.jpg")
    assert isinstance(operator, JPEG)
    assert torch.equal(operator.tables, expected.tables)
    assert (operator.subsampling, operator.chroma) == (expected.subsampling, expected.chroma)
    with pytest.raises(ValueError, match="compression is unknown"):
        operator_for("jpeg", image.copy(), Y)  # its pixels may have been worked on


def test_a_jpeg_file_is_known_by_its_content_and_comes_back_upright(tmp_path: Path, quick: dict[str, Any]) -> None:
    exif = Image.Exif()
    for turn in (1, 3, 5, 6):
        exif[0x0112] = turn
        path = tmp_path / f"{turn}.png"
        noise_picture().save(path, "JPEG", quality=30, exif=exif)
        result = lmaps.restore(path, "jpeg", **quick)
        lying = lmaps.restore(Image.open(path), "jpeg", **quick)
        assert lying.image.shape == (1, 3, 16, 24)
        expected = {
            1: lying.image,
            3: lying.image.flip(-1, -2),
            5: lying.image.mT,
            6: lying.image.mT.flip(-1),
        }[turn]
        assert torch.equal(result.image, expected)
        assert result.x.shape[-2:] == read_image(path).size


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_pil_images_are_not_clipped(mode: str) -> None:
    values = np.linspace(0, 65535, 16 * 24).astype(np.uint16).reshape(16, 24)
    image = Image.frombytes(mode, (24, 16), values.astype(">u2" if mode.endswith("B") else "<u2").tobytes())
    expected = torch.from_numpy(values.astype(np.float32) / 65535)
    assert torch.equal(pictures(image), expected.expand(1, 3, 16, 24))


def test_a_16_bit_file_is_the_same_picture_by_any_way(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 16 * 24).astype(np.uint16).reshape(16, 24)
    Image.fromarray(values).save(tmp_path / "in.png")
    image = Image.open(tmp_path / "in.png")
    expected = pictures(tmp_path / "in.png")
    assert torch.equal(pictures(image), expected)
    wide = image.convert("I")
    wide.format = "PNG"  # as older Pillows open it
    assert torch.equal(pictures(wide), expected)
    assert torch.equal(pictures(values.astype(">u2")), expected)


def test_pil_images_of_unknown_depth_are_refused() -> None:
    values = np.linspace(0, 4095, 16 * 24).reshape(16, 24)
    with pytest.raises(ValueError, match=r"mode I does not say which value is white \(this one holds 0 \.\. 4095\)"):
        pictures(Image.fromarray(values.astype(np.int32)))
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        pictures(Image.fromarray(values.astype(np.float32)))
    floats = (values / 4095).astype(np.float32)
    assert torch.equal(pictures(Image.fromarray(floats)), torch.from_numpy(floats).expand(1, 3, 16, 24))


def test_a_picture_may_be_part_of_a_gradient(quick: dict[str, Any]) -> None:
    image = torch.rand(3, 16, 24)
    traced = lmaps.restore(image.clone().requires_grad_(True), "hdr", **quick)
    assert torch.equal(traced.image, lmaps.restore(image, "hdr", **quick).image)
