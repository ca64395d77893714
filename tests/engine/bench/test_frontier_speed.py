"""Curves and frontiers, percentiles, rounds, and a restoration in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmaps.engine.bench import frontier, plots, quality, speed
from lmaps.engine.bench.journal import Journal
from lmaps.engine.bench.methods import parse
from lmaps.engine.bench.runs import Setting
from lmaps.engine.priors import load_prior


def record(label: str, seconds: float, psnr: float, status: str = "ok") -> dict[str, Any]:
    scores = {"psnr": psnr, "ssim": 0.5} if status == "ok" else {}
    made = {"denoiser_calls": int(label != "start"), "own_calls": int(label != "start"), "total_s": seconds}
    return {"task": "sr4", "method": label, "status": status, **made, **scores}


RECORDS = [
    record("start", 0.0, 19.0),
    record("lmaps:steps=5", 1.0, 25.0),
    record("lmaps:steps=9", 2.0, 27.0),
    record("daps:ode_steps=2,steps=5", 3.0, 26.0),
    record("ddrm:steps=5", 0.5, 24.0),
    record("ddrm:steps=9", 2.0, 26.5),
    record("tmpd:steps=5", 9.0, 0.0, "diverged"),
]


def test_each_method_is_run_at_each_number_of_steps() -> None:
    cells = frontier.plan(
        [parse(word) for word in ("start", "lmaps", "daps:ode_steps=2", "ddrm:steps=7")], "sr4", [5, 9]
    )
    assert [cell.method.label for cell in cells] == [
        "start",
        "lmaps:steps=5",
        "lmaps:steps=9",
        "daps:ode_steps=2,steps=5",
        "daps:ode_steps=2,steps=9",
        "ddrm:steps=7",
    ]


def test_curves_and_the_frontier() -> None:
    cells = quality.summaries(RECORDS)
    assert frontier.curves(cells) == {
        "lmaps": [(1.0, 25.0, "5"), (2.0, 27.0, "9")],
        "daps:ode_steps=2": [(3.0, 26.0, "5")],
        "ddrm": [(0.5, 24.0, "5"), (2.0, 26.5, "9")],
    }
    assert frontier.best(cells) == {"ddrm:steps=5", "lmaps:steps=5", "lmaps:steps=9"}


def test_figures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cells = quality.summaries(RECORDS)
    plots.quality(cells, tmp_path / "q.png", "title")
    plots.frontier(frontier.curves(cells), tmp_path / "f.png", "title")
    plots.speed({"a": [0.1, 0.2, 0.3], "b": [0.4, 0.5, 0.6]}, tmp_path / "s.png", "title")
    for name in "qfs":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("p", "expected"), [(50, 10), (90, 18), (99, 20), (100, 20), (1, 1)])
def test_percentiles_are_of_nearest_rank(p: float, expected: float) -> None:
    assert speed.percentile([float(v) for v in range(20, 0, -1)], p) == expected


@pytest.fixture
def setting(tiny_prior_folder: Path) -> Setting:
    return Setting(
        load_prior(str(tiny_prior_folder)), str(tiny_prior_folder), 32, steps=2, backend="torch", precision="float32"
    )


def test_rounds_take_turns_and_are_resumed(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [speed.Candidate(parse(word), batch) for word in ("lmaps", "ddrm") for batch in (1, 2)]
    told: list[str] = []
    rounds: list[dict[str, object]] = []
    speed.warm(candidates, "hdr", setting, 3, Journal(tmp_path / "j"), rounds, lambda what, _: told.append(what))
    assert told == ["warm round 1", "warm round 2", "warm round 3"]
    assert list(speed.series(rounds)) == ["lmaps", "lmaps, batch 2"]
    assert "is for linear operators" in rounds[0]["refused"]["ddrm"]  # type: ignore[index]
    monkeypatch.setattr(speed, "compile", None)
    again: list[dict[str, object]] = []
    speed.warm(candidates, "hdr", setting, 3, Journal(tmp_path / "j"), again, lambda what, _: None)
    assert speed.series(again) == speed.series(rounds)


def test_the_table_takes_ratios_within_a_round_and_a_batch_size() -> None:
    rounds: list[dict[str, Any]] = [
        {"seconds": {"a": 1.0, "a, batch 2": 3.0, "b": 2.0, "b, batch 2": 3.0}, "refused": {"c": "cannot"}},
        {"seconds": {"a": 4.0, "a, batch 2": 6.0, "b": 12.0, "b, batch 2": 3.0}, "refused": {}},
        {"seconds": {"a": 2.0, "a, batch 2": 4.0, "b": 20.0, "b, batch 2": 8.0}, "refused": {}},
    ]
    parts = {"a": {"import": 1.0, "compile": 2.0, "first": 3.0, "whole": 7.0}}
    told = {"command": "", "date": "", "machine": "", "versions": {}, "code": "", "prior": {"name": "", "digest": ""}}
    page = "\n".join(
        speed.report(
            {**told, "size": 32}, "sr4", rounds, [{"parts": parts}], {"a": 1, "a, batch 2": 2, "b": 1, "b, batch 2": 2}
        )
    )
    assert "| a | 2000.0 | 4000.0 | 4000.0 | 0.50 | 1.00x |" in page
    assert "| b | 12000.0 | 20000.0 | 20000.0 | 0.08 | 3.00x |" in page
    assert "| b, batch 2 | 3000.0 | 8000.0 | 8000.0 | 0.67 | 1.00x |" in page
    assert "- c: cannot" in page
    assert "| a | 1.00 | 2.00 | 3.00 | 7.00 |" in page


def test_a_fresh_process_restores_and_tells_its_times(setting: Setting) -> None:
    parts = speed.fresh_process(speed.Candidate(parse("ddrm"), 1), "sr4", setting)
    assert parts["whole"] > parts["import"] + parts["compile"] + parts["first"]
    assert min(parts.values()) > 0
