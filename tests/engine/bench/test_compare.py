"""`bench.compare` on made-up runs, and the suites themselves at a tiny size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import compare

ROOT = Path(__file__).parents[3]


def run(
    medians: dict[str, float], *, machine: str = "CPU, 2 cores, avx2, torch 2.13.0", **extra: Any
) -> dict[str, Any]:
    return {
        "machine_info": {"lmaps": {"machine": machine, "threads": 2}},
        "datetime": "2026-11-22T07:00:00",
        "benchmarks": [
            {
                "fullname": name,
                "stats": {"median": m, "min": 0.9 * m, "iqr": 0.1, "rounds": 5, "data": [m] * 5},
                "extra_info": extra,
            }
            for name, m in medians.items()
        ],
    }


def test_only_what_is_slower_by_more_than_a_fifth_counts() -> None:
    before = compare.trimmed(run({"a": 1.0, "b": 1.0, "c": 1.0, "gone": 1.0}))
    now = compare.trimmed(run({"a": 1.19, "b": 1.25, "c": 0.5, "new": 9.0}))
    now["benchmarks"]["a"]["min"] = 5.0  # its median is not slower enough
    lines, slower = compare.report(now, before)
    assert slower
    assert [line.split()[-1] for line in lines if line.startswith("SLOWER")] == ["b"]
    assert "not run: gone" in lines
    now["benchmarks"]["b"]["min"] = 1.0  # a slow spell: its best is as good as it was
    assert compare.report(now, before)[1] is False


def test_a_baseline_is_of_one_kind_of_machine(tmp_path: Path) -> None:
    mine = compare.trimmed(run({"a": 1.0}))
    path = compare.save(mine, tmp_path)
    assert path.name == "baseline-cpu-2-cores-avx2-2-threads.json"
    assert compare.stored(mine["kind"], tmp_path) == mine
    assert "data" not in path.read_text(encoding="utf-8")
    newer = compare.trimmed(run({"a": 9.0}, machine="CPU, 2 cores, avx2, torch 3.0.0"))
    assert compare.stored(newer["kind"], tmp_path) is not None
    other = compare.trimmed(run({"a": 9.0}, machine="CPU, 8 cores, avx2, torch 2.13.0"))
    assert compare.stored(other["kind"], tmp_path) is None
    lines, slower = compare.report(other, None)
    assert not slower
    assert "no baseline" in lines[-1]


def test_promises_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "FOLDER", tmp_path)
    file = tmp_path / "run.json"
    file.write_text(json.dumps(run({"a": 1.0}, figure="fast", ratio=19.0, at_least=20.0)), encoding="utf-8")
    assert compare.main([str(file)]) == 0
    assert "MISSED        19  >= 20     fast" in capsys.readouterr().out
    assert compare.main([str(file), "--strict"]) == 1
    file.write_text(json.dumps(run({"a": 1.0}, figure="share", ratio=0.1, at_most=0.15)), encoding="utf-8")
    assert compare.main([str(file), "--strict"]) == 0
    assert "kept         0.1  <= 0.15   share" in capsys.readouterr().out


def test_stored_baselines_are_small_and_whole() -> None:
    for path in (ROOT / "bench").glob("baseline*.json"):
        assert path.stat().st_size < 60_000
        baseline = json.loads(path.read_text(encoding="utf-8"))
        assert compare.stored(baseline["kind"]) == baseline
        assert all(set(compare.KEPT) <= set(one) for one in baseline["benchmarks"].values())


@pytest.mark.slow
def test_the_suites_run() -> None:
    command = [sys.executable, "-m", "pytest", "bench", "--benchmark-disable", "--bench-size", "48", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
