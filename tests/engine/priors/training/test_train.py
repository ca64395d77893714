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


@pytest.mark.slow
def test_the_script_for_a_rented_machine(photos: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[4] / "bench" / "train_gpu.sh"
    pack, run, carried = (str(tmp_path / name) for name in ("photos.zip", "run", "carried"))
    main(["--photos", str(photos), "--pack", pack])
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for images in ("8", "16"):
        command = ["bash", str(script), pack, run, carried, *SMALL, "--images", images]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    assert [row["seen"] for row in log(Path(carried))] == [8, 16]
    assert carry.read(Path(carried))["seen"] == 16
    fresh = [*command, "--start-from", carried, "--images", "24"]
    fresh[3] = str(tmp_path / "fresh")
    subprocess.run(fresh, check=True, env=environment, capture_output=True)
    assert carry.read(Path(carried))["seen"] == 24
    assert subprocess.run(["bash", str(script)], check=False, capture_output=True).returncode == 2
