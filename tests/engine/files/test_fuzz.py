"""Mutated files: whatever is in a file, reading it gives a picture or a FileProblem, soon, and prints nothing."""

from __future__ import annotations

import random
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lmaps.engine.files import (
    FileProblem,
    Measurement,
    Picture,
    read_image,
    read_kernel,
    read_measurement,
    write_image,
    write_measurement,
)

RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small valid file of each kind."""
    folder = tmp_path_factory.mktemp("seeds")
    colour = Picture(RNG.random((3, 19, 23), np.float32), icc=b"p" * 300, exif=exif())
    deep = Picture(colour.pixels, RNG.random((19, 23), np.float32), bits=16)
    for name, picture in {
        "a.png": colour, "b.jpg": colour, "c.webp": colour, "d.tif": colour, "e.png": deep, "f.tif": deep,
    }.items():  # fmt: skip
        write_image(folder / name, picture)
    samples = RNG.integers(0, 65536, (19, 23, 3), dtype=np.uint16)
    tifffile.imwrite(folder / "g.tif", samples, photometric="rgb", tile=(16, 16), compression="lzw")
    Image.fromarray(samples.astype(np.uint8)).quantize(8).save(folder / "h.png")
    kernel = RNG.random((3, 3))
    y = RNG.random((3, 5, 7), np.float32)
    write_measurement(folder / "m.npz", Measurement(y, "hdr", {"kernel": kernel}, (5, 7), 0.05, 0, colour_like()))
    np.save(folder / "k.npy", kernel)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def exif() -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "camera"
    return block.tobytes()


def colour_like() -> Picture:
    return Picture(np.zeros((3, 5, 7), np.float32), icc=b"p" * 20)


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Bytes changed, mostly in the header; blocks cut out, doubled, or the end missing."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        reach = min(len(out), dice.choice((32, 128, 512, len(out))))
        at = dice.randrange(max(1, reach))
        kind = dice.randrange(6)
        if kind == 0:
            del out[at : at + dice.randrange(1, 40)]
        elif kind == 1:
            out[at:at] = out[at : at + dice.randrange(1, 40)]
        elif kind == 2:
            out = out[: max(1, dice.randrange(len(out)))] if len(out) > 1 else out
        elif at < len(out):
            out[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(out)


def attack(name: str, data: bytes, path: Path) -> None:
    path.write_bytes(data)
    began = time.perf_counter()
    said = path.name
    try:
        if path.suffix == ".npz":
            read_measurement(path)
        elif path.suffix == ".npy":
            read_kernel(path, (64, 64))
        else:
            assert np.isfinite(read_image(path).pixels).all()
    except FileProblem as problem:
        said = str(problem)
    assert path.name in said, name
    assert "\n" not in said, name
    assert time.perf_counter() - began < 5, name


def run(seeds: dict[str, bytes], folder: Path, cases: int, start: int) -> None:
    for name, data in seeds.items():
        for case in range(start, start + cases):
            dice = random.Random(f"{name} {case}")
            attack(f"{name} {case}", mutated(data, dice), folder / f"x{Path(name).suffix}")


def test_a_few_hundred_mutated_files(
    seeds: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    run(seeds, tmp_path, cases=40, start=0)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
    assert not recwarn.list


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_mutated_files(seeds: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import resource

    run(seeds, tmp_path, cases=20, start=1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(seeds, tmp_path, cases=1000, start=2000)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100 * 1024  # KiB
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_every_truncation_of_a_small_png_and_tiff(seeds: dict[str, bytes], tmp_path: Path) -> None:
    out = BytesIO()
    Image.fromarray(RNG.integers(0, 256, (3, 3, 3), dtype=np.uint8)).save(out, "PNG")
    for name, data in {"s.png": out.getvalue(), "f.tif": seeds["f.tif"][:400]}.items():
        for length in range(1, len(data)):
            attack(f"{name} cut to {length}", data[:length], tmp_path / f"x{Path(name).suffix}")
