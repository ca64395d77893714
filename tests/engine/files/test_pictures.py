"""Pictures in and out: every format keeps what it can, by Pillow, tifffile and the PNG specification."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from lmaps.engine.files import FileProblem, Picture, read_image, write_image

H, W = 13, 17
RNG = np.random.default_rng(0)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def ramp(channels: int, levels: int) -> np.ndarray:
    return RNG.integers(0, levels + 1, (channels, H, W)).astype(np.float32) / np.float32(levels)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transparent", [False, True])
def test_lossless_round_trip_with_8_bits(tmp_path: Path, suffix: str, channels: int, transparent: bool) -> None:
    alpha = ramp(1, 255)[0] if transparent else None
    picture = Picture(ramp(channels, 255), alpha, icc=ICC)
    path = tmp_path / f"a{suffix}"
    assert write_image(path, picture) == ()
    back = read_image(path)
    np.testing.assert_array_equal(back.rgb(), picture.rgb())
    assert (back.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha)
    assert (back.bits, back.icc) == (8, ICC)
    assert back.grey == (channels == 1) or suffix == ".webp"  # WebP has no grey


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transparent", [False, True])
def test_lossless_round_trip_with_16_bits(tmp_path: Path, suffix: str, channels: int, transparent: bool) -> None:
    alpha = ramp(1, 65535)[0] if transparent else None
    picture = Picture(ramp(channels, 65535), alpha, bits=16, icc=ICC)
    path = tmp_path / f"a{suffix}"
    assert write_image(path, picture) == ()
    back = read_image(path)
    np.testing.assert_array_equal(back.pixels, picture.pixels)
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha)
    assert (back.bits, back.icc, back.grey) == (16, ICC, channels == 1)


def test_16_bit_png_is_what_another_decoder_reads(tmp_path: Path) -> None:
    """Against a decoder written here from the PNG specification, for the bytes are ours and imagecodecs' together."""
    picture = Picture(ramp(3, 65535), bits=16, icc=ICC)
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(decode_16_bit_rgb_png((tmp_path / "a.png").read_bytes()), picture.pixels)
    with Image.open(tmp_path / "a.png") as image:  # Pillow reads the high bytes and the profile
        image.load()
        high = np.floor(picture.pixels.astype(np.float64) * 65535 + 0.5) // 256
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), high)
        assert image.info["icc_profile"] == ICC


def decode_16_bit_rgb_png(data: bytes) -> np.ndarray:
    position, packed, shape = 8, b"", (0, 0)
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert zlib.crc32(name + body) == struct.unpack(">I", data[position + 8 + length : position + 12 + length])[0]
        if name == b"IHDR":
            shape = struct.unpack(">II", body[:8])[::-1]
            assert body[8:] == bytes([16, 2, 0, 0, 0])
        packed += body if name == b"IDAT" else b""
        position += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape[0], 1 + 6 * shape[1])
    out = np.zeros((shape[0] + 1, 6 * shape[1] + 6), np.int64)  # a row above and a pixel to the left, zero
    for r, row in enumerate(rows, 1):
        for i, byte in enumerate(row[1:].tolist(), 6):
            a, b, c = int(out[r, i - 6]), int(out[r - 1, i]), int(out[r - 1, i - 6])
            paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            out[r, i] = (byte + (0, a, b, (a + b) // 2, paeth)[row[0]]) % 256
    samples = out[1:, 6:].astype(np.uint8).tobytes()
    return (np.frombuffer(samples, ">u2").reshape(*shape, 3).astype(np.float32) / np.float32(65535)).transpose(2, 0, 1)


@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate", "packbits", "zstd"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_tiff_of_other_programs(tmp_path: Path, compression: str | None, planar: str) -> None:
    samples = RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
    stored = samples if planar == "contig" else samples.transpose(2, 0, 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, compression=compression)
    picture = read_image(path)
    assert picture.bits == 16
    np.testing.assert_array_equal(np.rint(picture.pixels * 65535), samples.transpose(2, 0, 1))


def test_16_bit_tiff_white_is_zero_and_premultiplied_alpha(tmp_path: Path) -> None:
    grey = RNG.integers(0, 65536, (H, W), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    np.testing.assert_array_equal(np.rint(read_image(tmp_path / "white.tif").pixels[0] * 65535), 65535 - grey)

    rgba = np.zeros((H, W, 4), np.uint16)
    rgba[..., :3], rgba[..., 3] = 16384, 32768
    tifffile.imwrite(tmp_path / "pre.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_image(tmp_path / "pre.tif")
    assert picture.alpha is not None
    np.testing.assert_allclose(picture.pixels, 0.5, atol=1e-6)
    np.testing.assert_allclose(picture.alpha, 32768 / 65535)


def test_jpeg_is_close_and_says_what_it_cannot_hold(tmp_path: Path) -> None:
    x = np.broadcast_to(np.linspace(0, 1, W, dtype=np.float32), (3, H, W))
    notes = write_image(tmp_path / "a.jpg", Picture(x, bits=16, icc=ICC))
    assert notes
    assert "8 bits" in notes[0]
    back = read_image(tmp_path / "a.jpg")
    assert np.abs(back.pixels - x).max() < 0.02
    assert back.icc == ICC
    assert write_image(tmp_path / "opaque.jpg", Picture(x, np.ones((H, W), np.float32))) == ()
    with pytest.raises(FileProblem, match="transparency"):
        write_image(tmp_path / "clear.jpg", Picture(x, np.zeros((H, W), np.float32)))
    assert not (tmp_path / "clear.jpg").exists()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied_once(tmp_path: Path, turn: int, suffix: str) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (H, W, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = turn, "A camera", "2020:02:02 02:02:02"
    path = tmp_path / f"a{suffix}"
    image.save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    picture = read_image(path)
    np.testing.assert_allclose(picture.pixels, expected, atol=1e-6)

    write_image(tmp_path / "out.png", picture)
    with Image.open(tmp_path / "out.png") as written:
        assert written.getexif().get(0x0112, 1) == 1
        assert written.getexif()[0x010F] == "A camera"
        assert written.getexif()[0x0132] == "2020:02:02 02:02:02"
        assert 0x0111 not in written.getexif()  # no layout of a TIFF source


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exif_orientation_of_16_bit_pictures(tmp_path: Path, suffix: str) -> None:
    x = ramp(3, 65535)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        write_image(path, Picture(x, bits=16, exif=exif.tobytes()))
    else:
        samples = np.rint(x.transpose(1, 2, 0) * 65535).astype(np.uint16)
        tifffile.imwrite(path, samples, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    np.testing.assert_array_equal(read_image(path).pixels, np.rot90(x, -1, axes=(1, 2)))


def test_modes_that_are_converted(tmp_path: Path) -> None:
    rgb = Image.fromarray(RNG.integers(0, 256, (H, W, 3), dtype=np.uint8))

    one_bit = rgb.convert("1")
    one_bit.save(tmp_path / "one.png")
    picture = read_image(tmp_path / "one.png")
    assert picture.grey
    assert set(np.unique(picture.pixels)) == {0, 1}

    palette = rgb.quantize(16)
    palette.save(tmp_path / "palette.png")
    expected = np.asarray(palette.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(read_image(tmp_path / "palette.png").pixels, expected, atol=1e-7)

    palette.save(tmp_path / "clear.png", transparency=3)
    picture = read_image(tmp_path / "clear.png")
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(palette) == 3)

    cmyk = rgb.convert("CMYK")
    cmyk.save(tmp_path / "cmyk.jpg", quality=100, icc_profile=b"not a profile")
    picture = read_image(tmp_path / "cmyk.jpg")
    assert picture.pixels.shape == (3, H, W)
    assert picture.icc is None
    assert "CMYK" in picture.notes[0]

    Image.fromarray(np.zeros((H, W), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(FileProblem, match="grey or RGB with 8 or 16 bits"):
        read_image(tmp_path / "float.tif")


PILLOW_TIFFS = [
    *product(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"], [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]),
    *product(["L", "RGB", "CMYK", "YCbCr"], ["jpeg"]),
]


@pytest.mark.parametrize(("mode", "compression"), PILLOW_TIFFS)
def test_tiffs_of_pillows_are_read_as_pillow_reads_them(tmp_path: Path, mode: str, compression: str | None) -> None:
    smooth = np.linspace(0, 255, H * W * 4).reshape(H, W, 4).astype(np.uint8)
    image = Image.fromarray(smooth)
    image = image.convert("RGB").quantize(16) if mode == "P" else image.convert("RGB").convert(mode)
    path = tmp_path / "a.tif"
    image.save(path, compression=compression)
    with Image.open(path) as stored:
        grey, clear = mode in ("1", "L", "LA"), mode in ("LA", "RGBA")
        expected = np.atleast_3d(np.asarray(stored.convert(("L" if grey else "RGB") + ("A" if clear else ""))))
    picture = read_image(path)
    got = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha[None]])
    tolerance = 3 / 255 if compression == "jpeg" else 1e-6
    np.testing.assert_allclose(got, expected.transpose(2, 0, 1) / np.float32(255), atol=tolerance)


def test_odd_tiffs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for samples, options in (
        (np.zeros((H, W, 3), np.float32), {"photometric": "rgb"}),
        (np.zeros((H, W), np.int16), {}),
        (np.zeros((H, W, 6), np.uint8), {"photometric": "rgb", "extrasamples": [0, 0, 0]}),
        (np.zeros((H, W, 3), np.uint8), {"photometric": "cielab"}),
        (np.zeros((5, H, W), np.uint8), {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)}),
    ):
        tifffile.imwrite(path, samples, **options)
        with pytest.raises(FileProblem, match="unusual layout"):
            read_image(path)
    Image.new("YCbCr", (W, H)).save(path)
    with pytest.raises(FileProblem, match="unusual layout"):
        read_image(path)


@pytest.mark.parametrize("big", [False, True])
def test_orientation_of_tiffs_of_either_size_of_offset(tmp_path: Path, big: bool) -> None:
    samples = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", bigtiff=big, extratags=[(274, 3, 1, 6, True)])
    expected = np.rot90(samples.transpose(2, 0, 1), -1, axes=(1, 2)) / np.float32(255)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").pixels, expected, atol=1e-7)


def test_a_tiff_with_a_missing_tile_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint8), tile=(32, 32))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["TileByteCounts"].overwrite((1024, 1024, 0, 1024))
    with pytest.raises(FileProblem, match="parts of the picture are missing"):
        read_image(path)


def test_the_first_of_several_pictures_with_a_note(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (W, H), c) for c in ("red", "blue")]
    for name in ("a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        picture = read_image(tmp_path / name)
        np.testing.assert_array_equal(picture.pixels[:, 0, 0], [1, 0, 0])
        assert "only the first" in picture.notes[0], name


def test_a_damaged_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    image = Image.fromarray(RNG.integers(0, 256, (H, W, 3), dtype=np.uint8))
    image.save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 5)
    picture = read_image(tmp_path / "a.png")
    assert picture.pixels.shape == (3, H, W)


def test_grey_goes_through_three_channels_and_back() -> None:
    grey = Picture(ramp(1, 255))
    np.testing.assert_array_equal(grey.with_rgb(grey.rgb()).pixels, grey.pixels)
    mixed = np.stack([np.full((4, 5), v, np.float32) for v in (0.0, 0.3, 0.9)])
    np.testing.assert_allclose(grey.with_rgb(mixed).pixels, 0.4, atol=1e-6)
    clear = Picture(ramp(3, 255), np.full((H, W), 0.5, np.float32))
    larger = clear.with_rgb(np.zeros((3, 4 * H, 4 * W)))
    assert larger.alpha is not None
    np.testing.assert_allclose(larger.alpha, np.full((4 * H, 4 * W), 0.5), atol=1e-6)


def test_nothing_is_overwritten_and_no_half_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, path = Picture(ramp(3, 255)), tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(FileProblem, match="--overwrite"):
        write_image(path, picture)
    assert path.read_bytes() == b"mine"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(FileProblem, match="No space left"):
        write_image(path, picture, overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]

    write_image(path, picture, overwrite=True)
    np.testing.assert_array_equal(read_image(path).pixels, picture.pixels)
    with pytest.raises(FileProblem, match="make it first"):
        write_image(tmp_path / "nowhere" / "a.png", picture)
    with pytest.raises(FileProblem, match="suffix"):
        write_image(tmp_path / "a.gif", picture)
    with pytest.raises(FileProblem, match="not finite"):
        write_image(tmp_path / "nan.png", Picture(np.full((3, 2, 2), np.nan, np.float32)))


def test_written_files_obey_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_image(tmp_path / "a.png", Picture(ramp(3, 255)))
    finally:
        os.umask(old)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


def png_claiming(width: int, height: int) -> bytes:
    out = BytesIO()
    Image.new("L", (1, 1)).save(out, "PNG")
    data = bytearray(out.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (10_000, 9_000)])
@pytest.mark.timeout(5)
def test_a_decompression_bomb_is_refused_before_decoding(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(width, height))
    with pytest.raises(FileProblem, match=r"bomb\.png is too large"):
        read_image(path)


def test_every_bad_file_is_named_with_its_mend(tmp_path: Path) -> None:
    good = BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(good, "PNG")
    cases = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"hello, this is text", "is not a PNG, JPEG, WebP or TIFF"),
        "cut.png": (good.getvalue()[:500], "damaged"),
        "header.png": (good.getvalue()[:20], "damaged"),
        "flipped.png": (good.getvalue()[:100] + b"\xff" * 50 + good.getvalue()[150:], "damaged"),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FileProblem, match=words) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileProblem, match="does not exist"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(FileProblem, match="not a file"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # would block for ever if opened
    with pytest.raises(FileProblem, match="not a file"):
        read_image(tmp_path / "pipe.png")
