"""What stats say of the cache, and what happens where there is none."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import lmaps
from lmaps.engine.denoisers import artefacts, open_denoiser
from lmaps.engine.priors import Prior, load_prior
from lmaps.export.cache import CacheError


@pytest.fixture
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture(autouse=True)
def _fresh_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "_warned", set())


def test_compile_says_what_it_did_and_how_long(
    tiny_prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    for outcome, spent, idle in (("built", "build_s", "load_s"), ("hit", "load_s", "build_s")):
        restorer = lmaps.compile(
            "sr4", str(tiny_prior_folder), size=(32, 40), steps=2, backend="openvino", device="cpu"
        )
        stats = restorer(torch.zeros(1, 3, 8, 10)).stats
        assert stats["cache"] == outcome
        assert stats["prepare"][spent] > 0 == stats["prepare"][idle]
        assert stats["prepare"]["export_s"] >= 0
        assert "cache_reason" not in stats


def test_onnx_runtime_keeps_nothing_and_says_so(prior: Prior) -> None:
    facts = open_denoiser(prior, backend="onnxruntime", size=(16, 16), batch=1, device="cpu").describe()
    assert facts["cache"] == "off"
    assert facts["prepare"]["build_s"] > 0


def test_switched_off_by_the_user_there_is_nothing_to_warn_of(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAPS_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = open_denoiser(prior, backend="openvino", size=(16, 16), batch=1, device="cpu").describe()
    assert (facts["cache"], facts["cache_reason"]) == ("off", "LMAPS_CACHE is 'off'")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_warned_of_once(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match=r"compiled graphs are not kept: the cache folder .* LMAPS_CACHE"):
        facts = open_denoiser(prior, backend="openvino", size=(16, 16), batch=1, device="cpu").describe()
    assert facts["cache"] == "off"
    assert "cannot be used" in facts["cache_reason"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_denoiser(prior, backend="openvino", size=(16, 16), batch=1, device="cpu")


def test_an_unsafe_folder_is_an_error_even_where_backends_are_chosen(
    prior: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "open"))
    with pytest.raises(CacheError, match="others may write"):
        open_denoiser(prior, size=(16, 16), batch=1, device="cpu")
