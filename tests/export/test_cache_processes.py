"""The artefact cache between fresh processes: one builds while others wait, and one is killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lmaps.export.cache import ArtefactCache

FACTS = {"kind": "onnx", "graph": "ab" * 32}

# Builds the artefact, slowly, and reports what it got. It writes half a file first and then waits, so that a process killed
# meanwhile is killed in the middle of its build.
WORKER = """
import json, sys, time
from pathlib import Path
from lmaps.export.cache import ArtefactCache

folder, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def build(target):
    with open(target / "blob.bin", "wb") as file:
        file.write(b"first half,")
        file.flush()
        with log.open("a") as lines:
            lines.write("building\\n")
        time.sleep(pause)
        file.write(b" second half")

made = ArtefactCache(folder).get_or_build({"kind": "onnx", "graph": "ab" * 32}, build)
assert "torch" not in sys.modules and "onnx" not in sys.modules, "a cache needs neither"
print(json.dumps([made.outcome, bytes(made.views["blob.bin"]).decode()]))
"""


def start(tmp_path: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "cache"), str(tmp_path / "log"), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return json.loads(out)


def builds(tmp_path: Path) -> int:
    return len((tmp_path / "log").read_text().splitlines())


def wait_until_building(tmp_path: Path) -> None:
    last = time.monotonic() + 60
    while not (tmp_path / "log").exists():
        assert time.monotonic() < last
        time.sleep(0.02)


def test_processes_that_start_together_build_once(tmp_path: Path) -> None:
    processes = [start(tmp_path, 0.5) for _ in range(3)]
    answers = [answer(process) for process in processes]
    assert sorted(outcome for outcome, _ in answers) == ["built", "hit", "hit"]
    assert {content for _, content in answers} == {"first half, second half"}
    assert builds(tmp_path) == 1
    assert answer(start(tmp_path, 0.5))[0] == "hit"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_process_killed_in_its_build_leaves_no_half_artefact(tmp_path: Path) -> None:
    process = start(tmp_path, 60)
    wait_until_building(tmp_path)
    waiting = start(tmp_path, 0)  # this one waits for the first, and takes over when it dies
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert answer(waiting) == ["built", "first half, second half"]
    cache = ArtefactCache(tmp_path / "cache")
    assert list((cache.folder / "building").iterdir()) == []
    assert [entry.facts["graph"] for entry in cache.entries()] == [FACTS["graph"]]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_what_a_killed_process_left_is_swept_by_other_builds_but_work_in_progress_is_not(tmp_path: Path) -> None:
    dead = start(tmp_path, 60)
    wait_until_building(tmp_path)
    os.kill(dead.pid, signal.SIGKILL)
    dead.communicate()
    cache = ArtefactCache(tmp_path / "cache")
    left = list((cache.folder / "building").iterdir())
    assert len(left) == 1
    seen = []

    def build(folder: Path) -> None:
        other = {"kind": "onnx", "graph": "cd" * 32}
        cache.get_or_build(other, lambda inner: (inner / "b").touch())
        seen.append(folder.is_dir())
        (folder / "a").write_bytes(b"a")

    cache.get_or_build({"kind": "openvino"}, build)
    assert seen == [True]
    assert not left[0].exists()
