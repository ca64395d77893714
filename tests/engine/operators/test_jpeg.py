"""JPEG against the definition (scipy's DCT, block by block) and against Pillow's own codec."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from PIL import Image

from lmaps.engine.operators import JPEG
from lmaps.engine.operators.jpeg import TO_YCBCR
from lmaps.engine.operators.jpeg_tables import SUBSAMPLING, standard_tables

from .cases import pictures, relative

# Zig-zag position -> (row, column), walked as T.81 figure A.6 draws it.
ZIGZAG = sorted(((i, j) for i in range(8) for j in range(8)), key=lambda p: (sum(p), p[0] if sum(p) % 2 else p[1]))


def smooth_picture(height: int, width: int) -> np.ndarray:
    """A colourful 8-bit picture with edges, uint8 [H, W, 3]."""
    i, j = np.mgrid[:height, :width]
    waves = [np.sin(i / 9 + 2 * c) + np.cos(j / (5 + c)) + 0.8 * ((i + 2 * j) % 40 > 20) for c in range(3)]
    return np.clip(128 + 45 * (np.stack(waves, -1) - 0.4), 0, 255).astype(np.uint8)


def to_state(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float64) / 127.5 - 1).permute(2, 0, 1)[None]


def to_levels(x: torch.Tensor) -> np.ndarray:
    return ((x[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.float64)


def encoded(image: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


def tables_in(data: bytes) -> dict[int, np.ndarray]:
    """Quantisation tables of a JPEG file, read from its DQT segments without Pillow."""
    found, at = {}, 2
    while data[at + 1] != 0xDA:
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        body = data[at + 4 : at + 2 + length]
        while marker == 0xDB and body:
            assert body[0] >> 4 == 0
            table = np.zeros((8, 8))
            for place, value in zip(ZIGZAG, body[1:65], strict=True):
                table[place] = value
            found[body[0] & 15], body = table, body[65:]
        at += 2 + length
    return found


def by_the_book(x: np.ndarray, tables: np.ndarray, down: int, across: int) -> np.ndarray:
    """encode and decode [3, H, W] in 0 .. 255, one block at a time, chroma decimated."""
    matrix = np.asarray(TO_YCBCR)
    planes = np.tensordot(matrix, x, 1)
    out = np.empty_like(planes)
    for c, plane in enumerate(planes):
        rows, columns = (1, 1) if c == 0 else (down, across)
        offset = 0 if c == 0 else 128
        kept = plane[::rows, ::columns] + offset
        for i in range(0, kept.shape[0], 8):
            for j in range(0, kept.shape[1], 8):
                block = scipy.fft.dctn(kept[i : i + 8, j : j + 8] - 128, norm="ortho")
                block = np.rint(block / tables[c]) * tables[c]
                kept[i : i + 8, j : j + 8] = scipy.fft.idctn(block, norm="ortho") + 128
        out[c] = np.kron(kept - offset, np.ones((rows, columns)))
    return np.tensordot(np.linalg.inv(matrix), out, 1)


@pytest.mark.parametrize("subsampling", SUBSAMPLING)
@pytest.mark.parametrize("quality", [5, 40, 92])
def test_is_the_definition(subsampling: str, quality: int) -> None:
    down, across = SUBSAMPLING[subsampling]
    x = pictures((32, 64), batch=1)
    y = JPEG(quality, subsampling)(x)
    expected = by_the_book((x[0].numpy() + 1) * 127.5, standard_tables(quality).numpy(), down, across) / 127.5 - 1
    np.testing.assert_allclose(y[0].numpy(), expected, atol=1e-12)


def test_colour_matrices_are_those_of_the_reference_set_up() -> None:
    inverse = np.linalg.inv(np.asarray(TO_YCBCR))
    expected = [[1, -3.68e-5, 1.40198758], [1, -0.344113281, -0.714103821], [1, 1.77197812, -1.34583413e-4]]
    np.testing.assert_allclose(inverse, expected, atol=2e-7)


def test_quality_5_is_ten_times_the_tables_of_annex_k() -> None:
    tables = standard_tables(5)
    assert tables[0, 0].tolist() == [160, 110, 100, 160, 240, 255, 255, 255]
    assert tables[1, 0].tolist()[:4] == [170, 180, 240, 255]


@pytest.mark.parametrize("quality", [1, 3, 5, 10, 33, 49, 50, 51, 75, 95, 100])
def test_tables_are_those_of_libjpeg(quality: int) -> None:
    found = tables_in(encoded(smooth_picture(16, 16), quality=quality))
    tables = standard_tables(quality).numpy()
    np.testing.assert_array_equal(tables[0], found[0])
    np.testing.assert_array_equal(tables[1], found[1])


@pytest.mark.parametrize("quality", [10, 50, 90])
def test_colour_444_is_pillows_codec_up_to_its_rounding(quality: int) -> None:
    """Pillow rounds YCbCr, its integer DCT and the result to whole numbers; a coefficient on the edge may tip over."""
    image = smooth_picture(64, 80)
    theirs = np.asarray(Image.open(io.BytesIO(encoded(image, quality=quality, subsampling=0)))).astype(float)
    ours = np.clip(to_levels(JPEG(quality, "4:4:4")(to_state(image))), 0, 255)
    difference = np.abs(ours - theirs)
    assert np.median(difference) <= 1.0
    assert difference.mean() <= 1.6
    assert np.abs(ours - image).mean() > difference.mean()


def test_grey_is_pillows_codec_up_to_its_rounding() -> None:
    grey = smooth_picture(64, 48)[..., 0]
    theirs = np.asarray(Image.open(io.BytesIO(encoded(grey, quality=20)))).astype(float)
    x = torch.from_numpy(grey.astype(np.float64) / 127.5 - 1)[None, None]
    ours = np.clip((JPEG(20)(x)[0, 0].numpy() + 1) * 127.5, 0, 255)
    difference = np.abs(ours - theirs)
    # A coefficient near a rounding edge may tip over in its integer DCT: then a whole block differs, but few do.
    blocks = difference.reshape(8, 8, 6, 8).max((1, 3))
    assert (blocks <= 1.01).mean() >= 0.9
    assert difference.mean() <= 0.5


@pytest.mark.parametrize(("name", "option"), [("4:2:0", 2), ("4:2:2", 1)])
def test_averaged_chroma_is_closer_to_a_real_file_than_decimated(name: str, option: int) -> None:
    image = smooth_picture(64, 96)
    theirs = np.asarray(Image.open(io.BytesIO(encoded(image, quality=60, subsampling=option)))).astype(float)
    error = {
        chroma: np.abs(np.clip(to_levels(JPEG(60, name, chroma=chroma)(to_state(image))), 0, 255) - theirs).mean()
        for chroma in ("average", "decimate")
    }
    assert error["average"] < error["decimate"]
    assert error["average"] < 4


@pytest.mark.parametrize(("option", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_from_file_reads_tables_and_sampling(tmp_path: Path, option: int, name: str) -> None:
    path = tmp_path / "picture.jpg"
    luma, chroma = np.arange(1, 65), np.arange(101, 165)
    data = encoded(smooth_picture(33, 50), subsampling=option, qtables=[luma.tolist(), chroma.tolist()])
    path.write_bytes(data)
    found = tables_in(data)
    operator = JPEG.from_file(path)
    assert operator.subsampling == name
    assert operator.chroma == "average"
    np.testing.assert_array_equal(operator.tables[0].numpy(), found[0])
    np.testing.assert_array_equal(operator.tables[1].numpy(), found[1])
    np.testing.assert_array_equal(operator.tables[2].numpy(), found[1])
    assert operator(pictures((33, 50))).shape == (2, 3, 33, 50)
    assert JPEG.from_file(str(path), chroma="decimate").chroma == "decimate"


def test_from_file_of_a_given_quality_is_that_quality(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(smooth_picture(16, 16), quality=7, subsampling=2))
    x = pictures((32, 32))
    assert torch.equal(JPEG.from_file(path, chroma="decimate")(x), JPEG(7)(x))


def test_from_grey_file(tmp_path: Path) -> None:
    path = tmp_path / "grey.jpg"
    path.write_bytes(encoded(smooth_picture(16, 16)[..., 0], quality=30))
    operator = JPEG.from_file(path)
    assert torch.equal(operator.tables[0], standard_tables(30)[0])
    x = pictures((16, 24))[:, :1]
    assert torch.equal(operator(x), JPEG(30)(x))


def test_from_file_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JPEG.from_file(tmp_path / "none.jpg")
    png = tmp_path / "picture.png"
    Image.fromarray(smooth_picture(8, 8)).save(png)
    with pytest.raises(ValueError, match=r"picture\.png is a PNG file"):
        JPEG.from_file(png)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0rubbish")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        JPEG.from_file(broken)
    cmyk = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (8, 8)).save(cmyk)
    with pytest.raises(ValueError, match="CMYK"):
        JPEG.from_file(cmyk)


@pytest.mark.parametrize("size", [(17, 24), (9, 33), (1, 1)])
def test_any_size_extends_by_the_last_pixel(size: tuple[int, int]) -> None:
    x = pictures(size, batch=1)
    down, right = -size[0] % 16, -size[1] % 16
    whole = np.pad(x[0].numpy(), ((0, 0), (0, down), (0, right)), mode="edge")
    expected = JPEG(20)(torch.from_numpy(whole)[None])[..., : size[0], : size[1]]
    assert relative(JPEG(20)(x), expected) <= 1e-14


def test_nothing_is_clipped_and_the_gradient_is_the_identity() -> None:
    operator = JPEG(5)
    x = pictures((64, 64)).sign()
    y = operator(x)
    assert float(y.max()) > 1.2
    assert float(y.min()) < -1.2
    assert torch.equal(operator.surrogate_vjp(x, y), y)
    assert torch.equal(operator.start(y), y)
    assert not operator.differentiable


def test_float32_is_float64_but_for_tipping_coefficients() -> None:
    x = pictures((64, 64))
    difference = (JPEG(50)(x.float()).double() - JPEG(50)(x)).abs()
    assert float((difference > 1e-4).double().mean()) < 0.02
