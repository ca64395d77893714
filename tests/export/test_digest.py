from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

import pytest

from lmaps.export import digest
from lmaps.export.external_data import GraphError


def test_of_file_is_sha256_and_sees_every_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    for content in (b"one", b"two", b"", bytes(5000)):  # written within the resolution of a file's times
        path.write_bytes(content)
        assert digest.of_file(path) == hashlib.sha256(content).hexdigest()


def test_a_file_that_has_rested_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"weights")
    monkeypatch.setattr(time, "time", lambda clock=time.time: clock() + 10)
    reads = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: reads.append(1) or real(*given))
    first = digest.of_file(path)
    assert digest.of_file(path) == first
    assert len(reads) == 1
    then = path.stat()
    path.write_bytes(b"Weights")
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))  # the time of the change of the file itself still tells
    time.sleep(0.02)
    path.chmod(0o600)
    assert digest.of_file(path) == hashlib.sha256(b"Weights").hexdigest() != first


def test_of_graph_follows_the_graph_and_its_weights(tiny_prior_folder: Path, tmp_path: Path) -> None:
    want = digest.of_graph(tiny_prior_folder / "model.onnx")
    for name in ("model.onnx", "weights.safetensors"):
        shutil.copy(tiny_prior_folder / name, tmp_path)
    assert digest.of_graph(tmp_path / "model.onnx") == want  # wherever it lies
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    assert digest.of_graph(tmp_path / "model.onnx") != want
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(GraphError, match=r"weights\.safetensors"):
        digest.of_graph(tmp_path / "model.onnx")


def test_of_facts_is_canonical() -> None:
    assert digest.of_facts({"a": 1, "b": [2, 3]}) == digest.of_facts({"b": (2, 3), "a": 1})
    assert digest.of_facts({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()
    assert len({digest.of_facts({"a": value}) for value in (1, 2, "1", None, True, [1], 1.5)}) == 7
