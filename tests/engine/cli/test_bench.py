"""`lmaps bench` as a person runs it, on the random prior."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Lmaps, one_line


@pytest.fixture
def words(tiny_prior_folder: Path, tmp_path: Path) -> list[object]:
    return ["--prior", tiny_prior_folder, "--backend", "torch", "-o", tmp_path / "out"]


def test_quality_writes_tables_and_resumes(lmaps: Lmaps, words: list[object], tmp_path: Path) -> None:
    command = [
        "bench",
        "quality",
        "-m",
        "start lmaps",
        "-m",
        "ddrm:eta=1",
        "-t",
        "sr4 jpeg",
        "--count",
        1,
        "--size",
        32,
    ]
    result = lmaps(*command, "--budget", 2, *words)
    assert result.exit_code == 0, result.output
    assert "## PSNR in dB" in result.stdout
    assert len(result.stderr.splitlines()) == 6
    page = (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    assert page.strip() in result.stdout
    whole = json.loads((tmp_path / "out" / "quality.json").read_text(encoding="utf-8"))
    assert [r["status"] for r in whole["records"]] == ["ok", "ok", "ok", "ok", "ok", "undefined"]
    assert whole["complete"] is True
    assert whole["records"][1]["denoiser_calls"] == 2
    again = lmaps(*command, "--budget", 2, *words)
    assert again.stderr == ""  # nothing was run
    lines = (tmp_path / "out" / "quality.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6


def test_frontier_draws_what_it_tells(lmaps: Lmaps, words: list[object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = ["bench", "frontier", "-m", "lmaps ddrm", "-t", "sr4", "--steps", "1,2", "--count", 1, "--size", 32]
    result = lmaps(*command, *words)
    assert result.exit_code == 0, result.output
    assert "| lmaps:steps=2 |" in result.stdout
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"frontier.{kind}" for kind in ("md", "json", "jsonl", "png")
    }


def test_speed_tells_percentiles(lmaps: Lmaps, words: list[object], tmp_path: Path) -> None:
    command = ["bench", "speed", "-m", "lmaps", "-t", "denoise", "--rounds", 2, "--cold", 0, "--size", 32, "--steps", 1]
    result = lmaps(*command, *words)
    assert result.exit_code == 0, result.output
    assert "| method | p50, ms | p90, ms | p99, ms | images a second | ratio |" in result.stdout
    assert "## Cold" not in result.stdout


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (["quality", "-m", "dasp"], ["did you mean 'daps'"]),
        (["quality", "-t", "srr4"], ["did you mean 'sr4'"]),
        (["quality", "--images", "{out}/gone"], ["gone is not a folder"]),
        (["quality", "--size", "512"], ["too small for --size 512"]),
        (["quality", "--lpips", "lpips-resnet"], ["lpips-resnet", "st-lpips-alex"]),
        (["quality", "-m", "ddrm:wrong=1", "-t", "sr4", "--count", "1", "--size", "32"], ["ddrm", "wrong"]),
        (["quality", "-m", "start daps:chian=loop"], ["daps:chian=loop", "did you mean 'chain'"]),
        (["quality", "-m", "fps:particles=0"], ["particles"]),
        (["speed", "-m", "daps:noise=0.1"], ["use --noise"]),
        (["quality", "--grid", "mine"], ["--grid", "own, lmaps, both"]),
        (["frontier", "--steps", "5,many"], ["--steps", "5,many"]),
        (["speed", "--batches", "0"], ["--batches"]),
        (["quality", "--budget=-3"], ["--budget"]),
    ],
)  # fmt: skip
def test_refusals_are_one_line(
    lmaps: Lmaps, words: list[object], tmp_path: Path, given: list[str], parts: list[str]
) -> None:
    line = one_line(lmaps("bench", *[word.format(out=tmp_path) for word in given], *words))
    for part in parts:
        assert part in line


def test_an_interrupt_is_reported_and_can_be_gone_on_from(
    lmaps: Lmaps, words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmaps.engine.bench import runs

    command = ["bench", "quality", "-m", "start lmaps", "-t", "sr4", "--count", 1, "--size", 32, "--budget", 2, *words]
    with monkeypatch.context() as patched:

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(runs, "compile", interrupted)
        result = lmaps(*command)
    assert result.exit_code == 1
    assert "stopped before the end; repeat the command to go on" in result.stderr
    assert "incomplete" in (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    assert lmaps(*command).exit_code == 0
    assert "incomplete" not in (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
