"""Bad usage and bad input: exit code 2, one line on stderr that names the thing and the mend, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lmaps.engine import plan
from lmaps.engine.cli import app
from lmaps.engine.files import Picture, write_image
from lmaps.engine.local_map import STRATEGIES

from .conftest import Lmaps, one_line


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["restore"], ["'IN'"]),
        (["restore", "{photo}", "--task", "hdr"], ["--output"]),
        (["restroe", "{photo}"], ["restroe", "'restore'"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--frames", "3"], ["--frames"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--noise", "loud"], ["--noise", "valid number"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--noise=-1"], ["--noise", "greater than or equal to 0"]),
        (["restore", "{photo}", "-o", "{out}"], ["photo.png", "--task", "hdr"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "deblur-gausian"], ["did you mean 'deblur-gaussian'"]),
        (["degrade", "{photo}", "-o", "{out}", "--task", "srr4"], ["srr4", "did you mean 'sr4'"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "inpaint-box"], ["inpaint-box", "--mask"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "deblur-motion"], ["deblur-motion", "--kernel"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "phase-retrieval"], ["photo.png", ".npz"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--mask", "{photo}"], ["--mask", "hdr", "leave it out"]),
        (["degrade", "{photo}", "-o", "{out}", "--task", "hdr", "--kernel", "{photo}"], ["--kernel", "leave it out"]),
        (["degrade", "{photo}", "-o", "{out}", "--task", "jpeg", "--param", "quality"], ["--param", "NAME=VALUE"]),
        (["degrade", "{photo}", "-o", "{out}", "--task", "jpeg", "--param", "quality=500"], ["quality", "500"]),
        (["degrade", "{photo}", "-o", "{out}", "--task", "jpeg", "--param", "tempo=5"], ["tempo"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--inner-steps", "many"], ["--inner-steps", "many"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--strategy", "magic"], ["photo.png", "magic"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--solver", "magic"], ["photo.png", "magic"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--device", "tpu"], ["photo.png", "tpu"]),
        (["restore", "{photo}", "-o", "{photo}", "--task", "hdr"], ["photo.png exists", "--overwrite"]),
        (["restore", "{photo}", "-o", "{out}.gif", "--task", "hdr"], [".gif", ".png"]),
        (["restore", "{photo}", "-o", "{folder}/no/x.png", "--task", "hdr"], ["no", "make it first"]),
        (["restore", "{folder}/gone.png", "-o", "{out}", "--task", "hdr"], ["gone.png does not exist"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--compare", "{folder}/gone.png"], ["gone.png"]),
        (["restore", "{photo}", "-o", "{out}", "--task", "hdr", "--max-megapixels", "0.001"], ["photo.png is too large"]),
        (["demo", "-o", "{out}", "--task", "hrd"], ["did you mean 'hdr'"]),
    ],
)  # fmt: skip
def test_one_line(lmaps: Lmaps, photo: Path, tmp_path: Path, words: list[str], parts: list[str]) -> None:
    before = photo.read_bytes()
    places = {"photo": photo, "out": tmp_path / "out.png", "folder": tmp_path}
    line = one_line(lmaps(*[word.format(**places) for word in words]))
    for part in parts:
        assert part in line
    assert photo.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_missing_prior_is_named_once(photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    words = ["restore", folder, "-o", tmp_path / "out", "--task", "hdr", "--prior", "nobody"]
    line = one_line(CliRunner().invoke(app, [str(word) for word in words]))
    assert "'nobody'" in line


@pytest.mark.parametrize(("wide", "high"), [(48, 31), (32, 48)])
def test_a_mask_of_another_size_names_both(lmaps: Lmaps, photo: Path, tmp_path: Path, wide: int, high: int) -> None:
    write_image(tmp_path / "mask.png", Picture(np.ones((1, high, wide), np.float32)))
    for command in ("degrade", "restore"):
        words = (command, photo, "-o", tmp_path / "x.png", "--task", "inpaint-random", "--mask", tmp_path / "mask.png")
        line = one_line(lmaps(*words))
        assert f"mask.png is {wide}x{high}" in line
        assert "48x32" in line


@pytest.mark.parametrize(("shape", "words"), [((4, 4), "odd"), ((63, 3), "3x63")])
def test_a_kernel_that_does_not_fit_is_named(
    lmaps: Lmaps, photo: Path, tmp_path: Path, shape: tuple[int, int], words: str
) -> None:
    np.save(tmp_path / "k.npy", np.ones(shape))
    line = one_line(
        lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "deblur-motion", "--kernel", tmp_path / "k.npy")
    )
    assert "k.npy" in line
    assert words in line


def test_a_measurement_of_something_else(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    lmaps("degrade", photo, "-o", tmp_path / "y.png", "--task", "sr4")
    assert "for task sr4, not hdr" in one_line(
        lmaps("restore", tmp_path / "y.npz", "-o", tmp_path / "x.png", "--task", "hdr")
    )
    line = one_line(lmaps("restore", tmp_path / "y.npz", "-o", tmp_path / "x.png", "--mask", photo))
    assert "leave --mask" in line
    line = one_line(lmaps("restore", tmp_path / "y.png", "-o", tmp_path / "x.png", "--task", "inpaint-box"))
    assert "y.npz" in line  # the exact measurement lies beside it
    (tmp_path / "y.npz").write_bytes(b"PK rubbish")
    assert "y.npz is not a readable .npz" in one_line(lmaps("restore", tmp_path / "y.npz", "-o", tmp_path / "x.png"))


def test_transparency_for_a_jpeg_is_refused_before_any_work(
    lmaps: Lmaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("nothing should have been compiled")

    monkeypatch.setattr(plan, "compile", never)
    half = np.full((32, 48), 0.5, np.float32)
    write_image(tmp_path / "clear.png", Picture(np.zeros((3, 32, 48), np.float32), half))
    line = one_line(lmaps("restore", tmp_path / "clear.png", "-o", tmp_path / "x.jpg", "--task", "hdr"))
    assert "x.jpg cannot hold transparency" in line


def test_help_names_every_strategy() -> None:
    shown = CliRunner().invoke(app, ["restore", "--help"], env={"COLUMNS": "400"}).output
    assert [name for name in ("auto", *STRATEGIES) if name not in shown.partition("--strategy")[2]] == []


def test_a_diverging_restoration_is_not_written(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    done = lmaps(
        "restore", photo, "-o", tmp_path / "x.png", "--task", "hdr", "--eta", "1e30", "--strategy", "reference"
    )
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert "diverged" in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_running_out_of_memory_says_what_to_do(
    lmaps: Lmaps, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(plan, "compile", greedy)
    done = lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "hdr")
    assert done.exit_code == 1
    assert (
        done.stderr
        == f"error: {photo}: not enough memory for a picture of this size; use --tile 256, or shrink the picture\n"
    )


def test_a_bug_is_not_dressed_up(lmaps: Lmaps, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(plan, "compile", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        lmaps("restore", photo, "-o", tmp_path / "x.png", "--task", "hdr")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    done = lmaps("restore", folder, "-o", tmp_path / "out", "--task", "hdr")
    assert done.exit_code == 1
    assert "a.png: RuntimeError: a bug" in done.stderr


def test_folders_whose_results_would_collide(lmaps: Lmaps, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.webp"):
        (folder / name).write_bytes(photo.read_bytes())
    line = one_line(lmaps("restore", folder, "-o", tmp_path / "out", "--task", "hdr", "--suffix", ".png"))
    assert "a.png" in line
    assert "a.webp" in line
    assert "a.npz" in one_line(lmaps("degrade", folder, "-o", tmp_path / "out", "--task", "hdr"))
    (tmp_path / "empty").mkdir()
    assert "no file to read" in one_line(lmaps("degrade", tmp_path / "empty", "-o", tmp_path / "out", "--task", "hdr"))
    assert "is a file" in one_line(lmaps("degrade", folder, "-o", photo, "--task", "hdr"))


def program(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lmaps", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_program_itself(photo: Path, tmp_path: Path) -> None:
    done = program("--version")
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "lmaps", "")
    done = program("degrade", photo, "-o", photo, "--task", "hdr")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {photo} exists already; name another file, or pass --overwrite\n"
    done = program("degrade", photo, "-o", tmp_path / "y.png", "--task", "hdr")
    assert (done.returncode, done.stderr) == (0, "")


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lmaps.engine.cli import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['restore', '--help']).exit_code == 0\n"
        "print(sorted({'torch', 'openvino', 'numpy', 'PIL', 'triton'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
