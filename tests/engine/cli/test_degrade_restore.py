"""Degrade, then restore: every task, every kind of picture, one file and folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lmaps.engine import metrics, plan, tasks
from lmaps.engine.cli import app
from lmaps.engine.files import Picture, read_image, read_measurement, write_image
from lmaps.engine.operators import HDR, JPEG, SuperResolution, from_config

from .conftest import Lmaps, one_line

SMALL = {
    "inpaint-box": ["--param", "hole=8"],
    "deblur-gaussian": ["--param", "size=7"],
    "deblur-motion": ["--param", "size=7"],
}


@pytest.mark.parametrize("task", list(tasks.TASKS))
def test_every_task_there_and_back(lmaps: Lmaps, photo: Path, tmp_path: Path, task: str) -> None:
    done = lmaps("degrade", photo, "-o", tmp_path / "y.png", "--task", task, "--seed", 3, *SMALL.get(task, []))
    assert done.exit_code == 0, done.output
    measurement = read_measurement(tmp_path / "y.npz")
    assert (measurement.task, measurement.size, measurement.seed) == (task, (32, 48), 3)

    done = lmaps("restore", tmp_path / "y.npz", "-o", tmp_path / "x.png", "--compare", photo)
    assert done.exit_code == 0, done.output
    assert read_image(tmp_path / "x.png").size == (32, 48)
    assert "PSNR" in done.stdout
    assert "2 steps" in done.stdout
    assert "LPIPS (AlexNet)" in done.stdout or done.stderr.startswith("note: no LPIPS: ")


@pytest.mark.parametrize(("said", "asked"), [((), "quick"), (("--backend", "fastest"), "auto")])
def test_a_single_picture_does_not_wait_for_backends_to_be_timed(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[str, ...], asked: str
) -> None:
    seen: list[str] = []

    def compile(*_: object, backend: str, **options: object) -> None:
        seen.append(backend)
        raise ValueError("far enough")

    monkeypatch.setattr(plan, "compile", compile)
    CliRunner().invoke(app, ["restore", str(photo), "-o", str(tmp_path / "x.png"), "--task", "denoise", *said])
    assert seen == [asked]


def test_a_metric_that_cannot_run_is_a_note(
    lmaps: Lmaps, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise RuntimeError("no weights here")

    monkeypatch.setattr(metrics, "perceptual", missing)
    done = lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "denoise", "--compare", photo)
    assert "PSNR" in done.stdout
    assert "LPIPS" not in done.stdout
    assert done.stderr == "note: no LPIPS: no weights here\n"


def test_the_measurement_is_exactly_the_operators(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    lmaps("degrade", photo, "-o", tmp_path / "y.png", "--task", "sr4", "--noise", 0.1, "--seed", 5)
    x = torch.from_numpy(2 * read_image(photo).pixels - 1)[None]
    expected = SuperResolution(4).degrade(x, 0.1, 5)[0]
    measurement = read_measurement(tmp_path / "y.npz")
    np.testing.assert_array_equal(measurement.y, expected.numpy())
    shown = read_image(tmp_path / "y.png").pixels
    np.testing.assert_allclose(shown, ((expected + 1) / 2).clamp(0, 1).numpy(), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize("task", ["inpaint-box", "inpaint-random", "deblur-motion"])
def test_what_a_seed_drew_is_written_out(lmaps: Lmaps, photo: Path, tmp_path: Path, task: str) -> None:
    lmaps("degrade", photo, "-o", tmp_path / "y.png", "--task", task, "--noise", 0, *SMALL.get(task, []))
    measurement = read_measurement(tmp_path / "y.npz")
    assert any(isinstance(value, np.ndarray) for value in measurement.operator.values())
    x = torch.from_numpy(2 * read_image(photo).pixels - 1)[None]
    again = from_config(measurement.operator)(x)[0].numpy()
    np.testing.assert_allclose(measurement.y, again, atol=1e-6)


def test_the_same_seed_gives_the_same_picture(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    lmaps("degrade", photo, "-o", tmp_path / "y.png", "--task", "hdr")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        lmaps("restore", tmp_path / "y.npz", "-o", tmp_path / f"{name}.png", "--seed", seed)
    a, b, c = (read_image(tmp_path / f"{name}.png").pixels for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01


def test_restoring_a_picture_is_the_engines_restoration(
    lmaps: Lmaps, photo: Path, tmp_path: Path, tiny_prior_folder: Path
) -> None:
    import lmaps as package

    done = lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "hdr", "--noise", 0.1, "--k1", 0.2)
    assert done.exit_code == 0, done.output
    y = torch.from_numpy(2 * read_image(photo).pixels - 1)[None]
    restorer = package.compile(
        HDR(), str(tiny_prior_folder), size=(32, 48), steps=2, backend="torch", noise=0.1, k1=0.2
    )
    expected = restorer(y).image[0].numpy()
    np.testing.assert_allclose(read_image(tmp_path / "x.png").pixels, expected, atol=0.5 / 255 + 1e-6)


def test_super_resolution_of_a_picture_is_four_times_its_size(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    assert lmaps("restore", photo, "-o", tmp_path / "x.webp", "--task", "sr4").exit_code == 0
    assert read_image(tmp_path / "x.webp").size == (128, 192)


def test_a_large_picture_in_tiles(lmaps: Lmaps, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    compile = plan.compile
    monkeypatch.setattr(plan, "compile", lambda *a, **options: seen.append(options["tile"]) or compile(*a, **options))
    assert lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "denoise", "--tile", 32).exit_code == 0
    assert seen == [32]
    assert read_image(tmp_path / "x.png").size == (32, 48)


def test_grey_alpha_depth_profile_and_exif_come_through(lmaps: Lmaps, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    alpha = (rng.integers(0, 65536, (32, 32)) / 65535).astype(np.float32)
    exif = Image.Exif()
    exif[0x010F] = "camera"
    source = Picture(rng.random((1, 32, 32), np.float32), alpha, 16, b"p" * 200, exif.tobytes())
    write_image(tmp_path / "x.png", source)
    assert lmaps("degrade", tmp_path / "x.png", "-o", tmp_path / "y.png", "--task", "denoise").exit_code == 0
    y = read_measurement(tmp_path / "y.npz").y
    np.testing.assert_array_equal(y[0], y[1])
    for given, extra in (("y.npz", []), ("y.png", ["--task", "denoise"])):
        done = lmaps("restore", tmp_path / given, "-o", tmp_path / "r.png", "--overwrite", *extra)
        assert done.exit_code == 0, done.output
        restored = read_image(tmp_path / "r.png")
        assert restored.grey
        assert (restored.bits, restored.icc) == (16, b"p" * 200)
        np.testing.assert_array_equal(restored.alpha, alpha)
        with Image.open(tmp_path / "r.png") as image:
            assert image.getexif()[0x010F] == "camera"


def test_a_jpeg_file_is_restored_by_its_own_tables_in_its_own_orientation(
    lmaps: Lmaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(samples).save(tmp_path / "y.jpg", quality=30, exif=exif)
    asked: list[str] = []
    from_file = JPEG.from_file.__func__  # type: ignore[attr-defined]

    def watched(cls: type[JPEG], path: Path, **options: object) -> JPEG:
        asked.append(Path(path).name)
        return from_file(cls, path, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(JPEG, "from_file", classmethod(watched))
    done = lmaps("restore", tmp_path / "y.jpg", "-o", tmp_path / "x.png", "--task", "jpeg")
    assert done.exit_code == 0, done.output
    assert asked == ["y.jpg"]
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (40, 24)
        assert image.getexif()[0x0112] == 6
    write_image(tmp_path / "y.png", read_image(tmp_path / "y.jpg"))
    line = one_line(lmaps("restore", tmp_path / "y.png", "-o", tmp_path / "z.png", "--task", "jpeg"))
    assert "not a JPEG file" in line
    assert "quality=N" in line


def test_a_jpeg_on_its_side_is_compared_upright(lmaps: Lmaps, tmp_path: Path) -> None:
    y, x = np.mgrid[0:32, 0:48]
    truth = Image.fromarray(np.stack([5 * x, 7 * y, 2 * (x + y)], -1).astype(np.uint8))
    truth.save(tmp_path / "truth.png")
    for turn, stored in ((1, truth), (3, truth.rotate(180)), (6, truth.rotate(90, expand=True))):
        exif = Image.Exif()
        exif[0x0112] = turn
        stored.save(tmp_path / f"{turn}.jpg", quality=95, exif=exif)
        words = ("--task", "jpeg", "--compare", tmp_path / "truth.png")
        done = lmaps("restore", tmp_path / f"{turn}.jpg", "-o", tmp_path / f"{turn}.png", *words)
        assert done.exit_code == 0, done.output
        upright = read_image(tmp_path / f"{turn}.png").pixels
        expected = -10 * np.log10(np.square(upright - read_image(tmp_path / "truth.png").pixels).mean())
        assert float(done.stdout.partition("PSNR ")[2].split()[0]) == pytest.approx(expected, abs=0.1)


def test_a_picture_too_small_for_ssim_is_compared_without(lmaps: Lmaps, tmp_path: Path) -> None:
    for size in ("8x40", "40x8"):
        high, wide = map(int, size.split("x"))
        write_image(tmp_path / f"{size}.png", Picture(np.full((3, high, wide), 0.5, np.float32)))
    (tmp_path / "in").mkdir()
    for name in ("8x40", "40x8"):
        (tmp_path / f"{name}.png").rename(tmp_path / "in" / f"{name}.png")
    words = ("--task", "denoise", "--compare", tmp_path / "in")
    done = lmaps("restore", tmp_path / "in", "-o", tmp_path / "out", *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("PSNR") == 3
    assert "mean of 2  PSNR" in done.stdout
    assert "SSIM" not in done.stdout


def test_masks_and_kernels_of_ones_own(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    mask = np.ones((1, 32, 48), np.float32)
    mask[:, 8:16, 8:24] = 0
    write_image(tmp_path / "mask.png", Picture(mask))
    np.savetxt(tmp_path / "k.txt", np.ones((3, 5)))
    for task, option, name in (("inpaint-box", "--mask", "mask.png"), ("deblur-motion", "--kernel", "k.txt")):
        for command in ("degrade", "restore"):
            done = lmaps(
                command, photo, "-o", tmp_path / f"{command}-{task}.png", "--task", task, option, tmp_path / name
            )
            assert done.exit_code == 0, done.output
    measurement = read_measurement(tmp_path / "degrade-inpaint-box.npz")
    np.testing.assert_array_equal(np.squeeze(measurement.operator["mask"]), mask[0])
    measurement = read_measurement(tmp_path / "degrade-deblur-motion.npz")
    np.testing.assert_allclose(measurement.operator["kernel"], np.full((3, 5), 1 / 15), rtol=1e-6)


def test_a_folder_goes_on_after_a_bad_file(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("c.png", "a.png"):
        (folder / name).write_bytes(photo.read_bytes())
    (folder / "b.png").write_bytes(b"rubbish")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "sub").mkdir()
    done = lmaps("restore", folder, "-o", tmp_path / "out", "--task", "hdr", "--suffix", ".tif", "--compare", photo)
    assert done.exit_code == 2
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.tif", "c.tif"]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "b.png is not a PNG" in errors[0]
    assert errors[1] == "error: 1 of 3 files failed"
    assert done.stdout.index("a.tif") < done.stdout.index("c.tif")
    assert "mean of 2" in done.stdout


def test_a_degraded_folder_is_restored_from_its_measurements(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    assert lmaps("degrade", folder, "-o", tmp_path / "y", "--task", "denoise", "--quiet").stdout == ""
    assert sorted(path.name for path in (tmp_path / "y").iterdir()) == ["a.npz", "a.png", "b.npz", "b.png"]
    done = lmaps("restore", tmp_path / "y", "-o", tmp_path / "x", "--compare", folder)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["a.png", "b.png"]
    line = one_line(lmaps("restore", folder, "-o", tmp_path / "z"))
    assert "--task" in line
