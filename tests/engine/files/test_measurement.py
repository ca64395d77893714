"""Measurements, masks and kernels on disk: exact, and refused by name when they are not what they should be."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lmaps.engine.files import (
    FileProblem,
    Measurement,
    Picture,
    read_kernel,
    read_mask,
    read_measurement,
    write_image,
    write_measurement,
)
from lmaps.engine.files import measurement as measurement_module

RNG = np.random.default_rng(1)


def measurement(**changes: object) -> Measurement:
    fields: dict[str, object] = {
        "y": RNG.standard_normal((3, 5, 7)).astype(np.float32),
        "task": "deblur-motion",
        "operator": {"operator": "Blur", "kernel": RNG.random((3, 5)), "padding": "reflect"},
        "size": (5, 7),
        "noise": 0.05,
        "seed": 7,
    }
    return Measurement(**{**fields, **changes})


@pytest.mark.parametrize("kind", [np.float32, np.complex64])
def test_every_bit_survives(tmp_path: Path, kind: type) -> None:
    y = RNG.standard_normal((3, 5, 7)).astype(kind) * (1 + 1j if kind is np.complex64 else 1)
    alpha = RNG.random((5, 7), np.float32)
    source = Picture(np.zeros((1, 5, 7), np.float32), alpha, 16, b"profile", b"Exif\0\0block", "TIFF")
    before = measurement(y=y.astype(kind), source=source)
    write_measurement(tmp_path / "m.npz", before)
    after = read_measurement(tmp_path / "m.npz")
    assert after.y.dtype == kind
    np.testing.assert_array_equal(after.y, before.y)
    np.testing.assert_array_equal(after.operator["kernel"], before.operator["kernel"])
    assert (after.operator["operator"], after.operator["padding"]) == ("Blur", "reflect")
    assert (after.task, after.size, after.noise, after.seed) == ("deblur-motion", (5, 7), 0.05, 7)
    assert after.source is not None
    np.testing.assert_array_equal(after.source.alpha, alpha)
    assert (after.source.bits, after.source.icc, after.source.exif) == (16, b"profile", b"Exif\0\0block")
    assert after.source.grey
    with pytest.raises(FileProblem, match="--overwrite"):
        write_measurement(tmp_path / "m.npz", before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": np.full((3, 2, 2), np.nan, np.float32)}, "finite"),
        ({"y": np.zeros((3, 2, 2))}, "float64"),
        ({"size": (0, 3)}, "size"),
        ({"noise": -1.0}, "noise"),
        ({"operator": {"kernel": np.array([np.inf])}}, "kernel"),
        ({"operator": {"model": object()}}, "model"),
    ],
)
def test_the_constructor_refuses(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measurement(**change)


def rewritten(path: Path, edit: dict[str, object]) -> None:
    """Replace arrays of a .npz, and entries of its header."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(str(arrays["header"]))
    for key, value in edit.items():
        if key in arrays:
            arrays[key] = value  # type: ignore[assignment]
        else:
            header[key] = value
    arrays["header"] = np.array(json.dumps(header))
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "edit",
    [
        {"version": 99},
        {"size": [5]},
        {"size": "big"},
        {"noise": "loud"},
        {"seed": 1.5},
        {"task": 3},
        {"operator": [1, 2]},
        {"y": np.full((3, 5, 7), np.nan, np.float32)},
        {"y": np.array(["text"])},
        {"header": np.zeros(3)},
    ],
)
def test_a_tampered_measurement_is_refused(tmp_path: Path, edit: dict[str, object]) -> None:
    path = tmp_path / "m.npz"
    write_measurement(path, measurement())
    if "header" in edit:
        np.savez(path, header=edit["header"], y=np.zeros(3, np.float32))
    else:
        rewritten(path, edit)
    with pytest.raises(FileProblem, match=r"m\.npz"):
        read_measurement(path)


def test_pickles_and_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object), y=np.zeros(3))
    with pytest.raises(FileProblem, match="not a readable"):
        read_measurement(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", bytes(1 << 21))
    monkeypatch.setattr(measurement_module, "MAX_EXPANDED", 1 << 20)
    with pytest.raises(FileProblem, match="too large"):
        read_measurement(path)
    path.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(FileProblem, match="not a readable"):
        read_measurement(path)


def test_masks_are_thresholded_and_must_fit(tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (1, 9, 11)).astype(np.float32) / 255
    write_image(tmp_path / "mask.png", Picture(grey))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (9, 11)), grey[0] * 255 >= 128)
    with pytest.raises(FileProblem, match=r"mask\.png is 11x9, the picture is 9x11"):
        read_mask(tmp_path / "mask.png", (11, 9))
    write_image(tmp_path / "black.png", Picture(np.zeros((3, 4, 4), np.float32)))
    with pytest.raises(FileProblem, match="no pixel as known"):
        read_mask(tmp_path / "black.png", (4, 4))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt", ".png"])
def test_kernels_sum_to_one_whatever_holds_them(tmp_path: Path, suffix: str) -> None:
    kernel = RNG.integers(1, 256, (3, 5)).astype(np.float64)
    path = tmp_path / f"k{suffix}"
    if suffix == ".npy":
        np.save(path, kernel)
    elif suffix == ".npz":
        np.savez(path, kernel=kernel, other=np.zeros(3))
    elif suffix == ".txt":
        np.savetxt(path, kernel)
    else:
        write_image(path, Picture((kernel[None] / 255).astype(np.float32)))
    got = read_kernel(path, (32, 32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, kernel / kernel.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((4, 5)), "5x4; make both sides odd"),
        (np.ones((65, 3)), r"3x65, the picture only 32x32"),
        (np.zeros((3, 3)), "positive sum"),
        (np.full((3, 3), np.nan), "not finite"),
        (np.ones(9), "not a table"),
        (np.array([["a"]]), "not a table"),
        (np.array([[None]], dtype=object), "cannot be read"),
    ],
)
def test_kernels_that_cannot_blur_are_refused(tmp_path: Path, kernel: np.ndarray, words: str) -> None:
    np.save(tmp_path / "k.npy", kernel, allow_pickle=True)
    with pytest.raises(FileProblem, match=words):
        read_kernel(tmp_path / "k.npy", (32, 32))


@pytest.mark.parametrize("name", ["k.npy", "k.npz", "k.txt", "k.png", "k.gif"])
def test_kernel_files_of_rubbish_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00 rubbish")
    with pytest.raises(FileProblem, match=name.replace(".", r"\.")):
        read_kernel(tmp_path / name, (32, 32))
