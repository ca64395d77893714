"""OpenVINO's compiled graphs in the artefact cache: the same numbers, and never what is not its own."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmaps.export.cache import ArtefactCache
from lmaps.export.external_data import GraphError
from lmaps.export.openvino import OpenVINOGraph

SHAPE = (2, 3, 24, 40)


@pytest.fixture
def cache(tmp_path: Path) -> ArtefactCache:
    return ArtefactCache(tmp_path / "cache")


def compiled(folder: Path, cache: ArtefactCache | None, **change: Any) -> OpenVINOGraph:
    options = {"shapes": {"x": SHAPE, "sigma": (2,)}, "precision": "float32", "threads": 1, "name": "tiny", **change}
    return OpenVINOGraph(folder / "model.onnx", cache=cache, **options)


def answer(graph: OpenVINOGraph, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(5)
    x = draw.standard_normal(shape, dtype=np.float32)
    out = np.full(shape, np.nan, np.float32)
    graph.run({"x": x, "sigma": np.linspace(0.1, 3, shape[0], dtype=np.float32)}, out)
    return out


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_read_back_it_gives_the_same_bits(tiny_prior_folder: Path, cache: ArtefactCache, precision: str) -> None:
    plain = compiled(tiny_prior_folder, None, precision=precision)
    built = compiled(tiny_prior_folder, cache, precision=precision)
    read = compiled(tiny_prior_folder, cache, precision=precision)
    assert [graph.outcome for graph in (plain, built, read)] == ["off", "built", "hit"]
    assert np.array_equal(answer(read), answer(built))
    assert np.array_equal(answer(built), answer(plain))
    assert built.prepare["build_s"] > 0
    assert built.prepare["load_s"] == 0 == read.prepare["build_s"]
    assert read.prepare["load_s"] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"shapes": {"x": (1, 3, 24, 40), "sigma": (1,)}},
        {"precision": "bfloat16"},
        {"threads": 2},
    ],
)
def test_other_shapes_precision_or_threads_are_other_artefacts(
    tiny_prior_folder: Path, cache: ArtefactCache, change: dict[str, Any]
) -> None:
    compiled(tiny_prior_folder, cache)
    assert compiled(tiny_prior_folder, cache, **change).outcome == "built"
    assert len(cache.entries()) == 2


def test_a_changed_weight_is_another_artefact(tiny_prior_folder: Path, cache: ArtefactCache, tmp_path: Path) -> None:
    compiled(tiny_prior_folder, cache)
    weights = bytearray((tiny_prior_folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(weights)
    (tmp_path / "model.onnx").write_bytes((tiny_prior_folder / "model.onnx").read_bytes())
    assert compiled(tmp_path, cache).outcome == "built"


def test_one_flipped_byte_and_it_is_compiled_anew(tiny_prior_folder: Path, cache: ArtefactCache) -> None:
    want = answer(compiled(tiny_prior_folder, cache))
    (entry,) = cache.entries()
    blob = cache.folder / "artefacts" / entry.key / "compiled.blob"
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 0x80
    blob.write_bytes(data)
    again = compiled(tiny_prior_folder, cache)
    assert again.outcome == "built"
    assert np.array_equal(answer(again), want)


def test_an_artefact_that_openvino_cannot_read_is_compiled_anew(
    tiny_prior_folder: Path, cache: ArtefactCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole and with the right digest, but no compiled graph: as if OpenVINO had changed its format unannounced."""
    want = answer(compiled(tiny_prior_folder, cache))
    (entry,) = cache.entries()
    facts = {name: value for name, value in entry.facts.items() if name not in ("lmaps", "cache_format")}

    def build(folder: Path) -> None:
        (folder / "compiled.blob").write_bytes(b"no graph" * 100)

    cache.replace(facts, build)
    again = compiled(tiny_prior_folder, cache)
    assert again.outcome == "built"
    assert "compiled anew" in caplog.text
    assert np.array_equal(answer(again), want)
    assert compiled(tiny_prior_folder, cache).outcome == "hit"


def test_a_cache_that_cannot_be_written_is_said_and_costs_nothing_else(
    tiny_prior_folder: Path, cache: ArtefactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    graph = compiled(tiny_prior_folder, cache)
    assert graph.outcome == "off"
    assert "No space left" in graph.reason
    assert np.isfinite(answer(graph)).all()
    assert cache.entries() == []


def test_what_was_read_outlives_the_cache(tiny_prior_folder: Path, cache: ArtefactCache) -> None:
    want = answer(compiled(tiny_prior_folder, cache))
    read = compiled(tiny_prior_folder, cache)
    cache.clear()
    assert np.array_equal(answer(read), want)


def test_a_graph_that_does_not_compile_leaves_nothing(
    tiny_prior_folder: Path, cache: ArtefactCache, tmp_path: Path
) -> None:
    with pytest.raises(GraphError, match="OpenVINO cannot compile"):
        compiled(tiny_prior_folder, cache, shapes={"x": (2, 5, 24, 40), "sigma": (2,)})
    assert cache.entries() == []
