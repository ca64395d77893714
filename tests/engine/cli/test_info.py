"""`lmaps info`: what is kept, and clearing it."""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from pathlib import Path

import pytest

from lmaps.engine.cli.amounts import age_text, bytes_text
from lmaps.export.cache import ArtefactCache

from .conftest import Lmaps, one_line

DAY = 86400


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArtefactCache:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    return ArtefactCache()


def keep(cache: ArtefactCache, unused_days: float, size: int = 3000, **facts: object) -> None:
    def build(folder: Path) -> None:
        (folder / "blob").write_bytes(bytes(size))

    made = cache.get_or_build({"kind": "openvino", "name": "photo", "device": {"name": "A CPU"}, **facts}, build)
    then = time.time() - unused_days * DAY
    os.utime(made.folder, (then, then))


def test_info_lists_what_is_kept(lmaps: Lmaps, cache: ArtefactCache) -> None:
    keep(cache, 0, shapes={"x": [1, 3, 256, 256]}, precision="bfloat16")
    keep(
        cache,
        9,
        kind="tensorrt",
        gpu={"name": "A GPU"},
        device=None,
        profile={"opt": "sigma:1,x:1x3x64x64"},
        size=2 << 20,
    )
    keep(cache, 20, kind="onnx", name=None, prior="ab" * 32)  # a graph that a prior's folder did not have
    lines = lmaps("info").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("cache: "))
    assert lines[at] == f"cache: {cache.folder}, 2.0 MiB of 8.0 GiB"
    first, second = (line.split() for line in lines[at + 1 : at + 3])
    assert first[:4] == ["openvino", "photo", "bfloat16", "1x3x256x256"]
    assert first[-2:] == ["A", "CPU"]
    assert second[:4] == ["tensorrt", "photo", "float32", "sigma:1,x:1x3x64x64"]
    assert second[-2:] == ["A", "GPU"]
    assert lines[at + 3].split()[:3] == ["onnx", "abababababab", "float32"]
    kept = json.loads(lmaps("info", "--json").stdout)["cache"]
    assert kept["folder"] == str(cache.folder)
    assert [artefact["kind"] for artefact in kept["artefacts"]] == ["openvino", "tensorrt", "onnx"]
    assert kept["artefacts"][1]["unused_s"] == pytest.approx(9 * DAY, abs=60)
    assert kept["size"] == sum(artefact["size"] for artefact in kept["artefacts"])


def test_clearing_by_age_and_all(lmaps: Lmaps, cache: ArtefactCache) -> None:
    keep(cache, 0, number=1)
    keep(cache, 10, number=2)
    result = lmaps("info", "--clear-cache", "--older-than", 5)
    assert result.stdout.startswith(f"{cache.folder}: removed 1 artefact, 3.")
    assert [entry.facts["number"] for entry in cache.entries()] == [1]
    assert "removed 1 artefact," in lmaps("info", "--clear-cache").stdout
    assert "removed 0 artefacts, 0 bytes" in lmaps("info", "--clear-cache").stdout


def test_damaged_artefacts_are_shown_and_go_too(lmaps: Lmaps, cache: ArtefactCache) -> None:
    keep(cache, 0)
    (cache.folder / "artefacts" / cache.entries()[0].key / "manifest.json").write_text("{")
    assert "damaged" in lmaps("info").stdout
    assert "removed 1 artefact," in lmaps("info", "--clear-cache").stdout


def test_info_works_without_a_cache(lmaps: Lmaps, cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.folder.chmod(0o777)
    assert "cache: none: others may write" in lmaps("info").stdout
    assert "others may write" in one_line(lmaps("info", "--clear-cache"))
    monkeypatch.setenv("LMAPS_CACHE", "off")
    assert "cache: none: LMAPS_CACHE is 'off'" in lmaps("info").stdout
    monkeypatch.setenv("LMAPS_CACHE_LIMIT", "lots")
    monkeypatch.setenv("LMAPS_CACHE", str(cache.folder))
    assert "cache: none: LMAPS_CACHE_LIMIT must be a number of bytes" in lmaps("info").stdout


def test_older_than_alone_means_nothing(lmaps: Lmaps) -> None:
    assert one_line(lmaps("info", "--older-than", 3)) == "error: --older-than goes with --clear-cache"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (3 << 19, "1.5 MiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes_as_text(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "under a minute"), (60, "1 minute"), (7199, "1 hour"), (2 * DAY, "2 days")]
)
def test_ages_as_text(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_two_onnx_runtimes_in_one_folder_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages own the folder `onnxruntime`."""
    info = import_module("lmaps.engine.cli.info")
    versions = {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.29.0"}
    monkeypatch.setattr(info, "_version", versions.get)
    (problem,) = info._problems()
    assert problem.startswith("onnxruntime and onnxruntime-gpu are both installed, and own one folder")
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in problem
    versions.pop("onnxruntime")
    assert info._problems() == []
