"""The command, rehearsed as on a rented machine: pack, train in chunks, carry away, export at home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lmaps.engine.priors import load_prior
from lmaps.engine.priors.config import UNKNOWN_LICENCE
from lmaps.engine.priors.training import carry
from lmaps.engine.priors.training.train import main

SMALL = ["--channels", "4", "6", "--blocks", "1", "1", "--batch", "4", "--crop", "16", "--report-every", "8"]


@pytest.fixture(autouse=True)
def _small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaps.engine.priors.training.train.CROP", 32)


def log(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_the_whole_way(photos: Path, tmp_path: Path) -> None:
    pack, run = str(tmp_path / "photos.zip"), tmp_path / "run"
    main(["--photos", str(photos), "--pack", pack])
    chunk = ["--packed", pack, "--run", str(run), "--recipe", "gpu", "--resume-if-any", *SMALL]
    main([*chunk, "--images", "8"])
    main([*chunk, "--images", "16", "--carry", str(tmp_path / "carried")])
    assert [row["seen"] for row in log(run)] == [8, 16]
    assert set(log(run)[-1]["psnr"]) == {"0.05", "0.1", "0.2", "0.4", "1.0"}  # type: ignore[call-overload]
    assert json.loads((run / "recipe.json").read_text())["muon_rate"] == 1.5e-3

    home = ["--start-from", str(tmp_path / "carried"), "--run", str(tmp_path / "home"), "--minutes", "0"]
    main([*home, "--export", str(tmp_path / "prior")])
    prior = load_prior(tmp_path / "prior")
    assert (prior.name, prior.config.licence) == ("prior", UNKNOWN_LICENCE)
    main([*home, "--export", str(tmp_path / "named"), "--name", "a name", "--licence", "CC-BY-SA-4.0"])
    named = load_prior(tmp_path / "named").config
    assert (named.name, named.licence) == ("a name", "CC-BY-SA-4.0")
    assert prior.config.notes["images_seen"] == "16"
    average = carry.read(tmp_path / "carried")["average"]
    for key, value in prior.module().state_dict().items():
        assert torch.equal(value, average[key].half().float() if value.ndim > 1 else average[key]), key


def test_a_chunk_begins_with_a_prior_and_goes_on_from_its_checkpoint(
    photos: Path, tiny_prior_folder: Path, tmp_path: Path
) -> None:
    given = ["--photos", str(photos), "--run", str(tmp_path), "--batch", "4", "--crop", "16", "--report-every", "8"]
    chunk = [*given, "--start-from", str(tiny_prior_folder), "--resume-if-any"]
    main([*chunk, "--images", "8"])
    main([*chunk, "--images", "16"])
    assert [row["seen"] for row in log(tmp_path)] == [8, 16]
    assert json.loads((tmp_path / "recipe.json").read_text())["started_from"].startswith("tiny ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pack", "photos.zip"], "--pack needs --photos"),
        (["--photos", "."], "--run is needed"),
        (["--run", "."], "--photos or --packed is needed to train"),
        (["--run", ".", "--photos", ".", "--packed", "x"], "not allowed with"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_shape_that_does_not_fit_the_weights(tiny_prior_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--run", str(tmp_path), "--minutes", "0", "--start-from", str(tiny_prior_folder), "--channels", "4", "6"])


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine where torch and its like are installed and this package is not, nor any hook for it."""
    libraries = Path(torch.__file__).parents[1]
    (tmp_path / "site").mkdir()
    for entry in libraries.iterdir():
        if "lmaps" not in entry.name and entry.suffix != ".pth":
            (tmp_path / "site" / entry.name).symlink_to(entry)
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    path = f"{python.parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_the_script_for_a_rented_machine(photos: Path, tmp_path: Path, bare: dict[str, str]) -> None:
    """From the root of the repository, where the folder lmaps hides the package from a plain `python3 -m`."""
    root = Path(__file__).parents[4]
    pack, run, carried = (str(tmp_path / name) for name in ("photos.zip", "run", "carried"))
    main(["--photos", str(photos), "--pack", pack])

    def call(run: str, *options: str) -> None:
        command = ["bash", "bench/train_gpu.sh", pack, run, carried, *SMALL, "--total-minutes", "0", *options]
        done = subprocess.run(command, check=False, env=bare, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    call(run, "--images", "8")
    call(run, "--images", "16")
    assert [row["seen"] for row in log(Path(carried))] == [8, 16]
    assert carry.read(Path(carried))["seen"] == 16
    call(str(tmp_path / "fresh"), "--images", "24", "--start-from", carried)
    assert carry.read(Path(carried))["seen"] == 24
    assert subprocess.run(["bash", "bench/train_gpu.sh"], check=False, cwd=root, capture_output=True).returncode == 2
