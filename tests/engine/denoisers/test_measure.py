"""The choice by measurement, with invented times: who wins, what is remembered, what is said. No GPU is timed here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from lmaps.engine.denoisers import BackendUnavailable, Denoiser, choose, cuda, measure, open_denoiser, torch_backend
from lmaps.engine.denoisers.base import Frame
from lmaps.engine.denoisers.measure import Choice
from lmaps.engine.priors import Prior, load_prior

FRAME = Frame(2, 3, 16, 24, 8)
DEVICE = torch.device("cpu")


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A GPU's identity without a GPU, a cache of the test's own, no warnings given before."""
    facts: dict[str, Any] = {"name": "invented", "capability": [9, 0], "cuda": "13.0"}
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cuda, "identity", lambda device: dict(facts))
    monkeypatch.setattr(choose, "_warned", set())
    return facts


def invented(monkeypatch: pytest.MonkeyPatch, **times: float) -> list[str]:
    """Lets candidates "take" these milliseconds; the list of those opened."""
    opened: list[str] = []
    monkeypatch.setattr(measure, "milliseconds", lambda denoiser, frame: times[denoiser.name])
    return opened


def fastest(prior: Prior, opened: list[str], frame: Frame = FRAME, **candidates: str) -> tuple[Choice, Any]:
    def open_one(name: str) -> Any:
        if name == "broken":
            raise ValueError("no such kernel")
        opened.append(name)
        return Named(name)

    return measure.fastest(prior, frame, DEVICE, candidates, open_one)


def test_the_fastest_is_taken_with_its_times(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = invented(monkeypatch, a=3.0, b=2.0, c=2.5)
    choice, denoiser = fastest(prior, opened, a="bfloat16", b="bfloat16", c="float32")
    assert (choice.backend, denoiser.name, opened) == ("b", "b", ["a", "b", "c"])
    assert choice.describe() == {"chosen_by": "measurement", "milliseconds": {"a": 3.0, "b": 2.0, "c": 2.5}}


def test_a_later_one_must_be_clearly_faster(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = invented(monkeypatch, a=1.0, b=0.98)
    assert fastest(prior, opened, a="bfloat16", b="bfloat16")[0].backend == "a"


def test_the_winner_is_remembered_for_just_this_case(
    prior: Prior, monkeypatch: pytest.MonkeyPatch, gpu: dict[str, Any]
) -> None:
    opened = invented(monkeypatch, a=3.0, b=2.0)
    fastest(prior, opened, a="bfloat16", b="bfloat16")
    opened.clear()
    choice, denoiser = fastest(prior, opened, a="bfloat16", b="bfloat16")
    assert (choice.backend, denoiser, opened) == ("b", None, [])
    assert choice.milliseconds == {"a": 3.0, "b": 2.0}
    for change in (
        {"frame": Frame(1, 3, 16, 24, 8)},
        {"frame": Frame(2, 3, 16, 32, 8)},
        {"b": "float32"},
    ):
        opened.clear()
        fastest(prior, opened, **{"a": "bfloat16", "b": "bfloat16", **change})  # type: ignore[arg-type]
        assert opened == ["a", "b"]
    gpu["name"] = "another"
    opened.clear()
    fastest(prior, opened, a="bfloat16", b="bfloat16")
    assert opened == ["a", "b"]


def test_one_that_fails_does_not_take_the_others_with_it(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = invented(monkeypatch, a=3.0)
    choice, _ = fastest(prior, opened, broken="bfloat16", a="bfloat16")
    assert choice.backend == "a"
    assert choice.describe()["failed"] == {"broken": "ValueError: no such kernel"}
    again, _ = fastest(prior, opened, broken="bfloat16", a="bfloat16")
    assert opened == ["a"]  # remembered with its failure: no process times again
    assert again.describe() == choice.describe()
    monkeypatch.setattr(measure, "_versions", lambda: {"torch": "another"})
    fastest(prior, opened, broken="bfloat16", a="bfloat16")
    assert opened == ["a", "a"]  # with other versions it may work
    with pytest.raises(
        BackendUnavailable, match="no backend could be opened on cpu: broken: ValueError: no such kernel"
    ):
        fastest(prior, opened, broken="bfloat16")


def test_running_out_of_memory_is_not_remembered(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = invented(monkeypatch, a=3.0)

    def full(name: str) -> Any:
        if name == "b":
            raise torch.OutOfMemoryError("CUDA out of memory")
        opened.append(name)
        return Named(name)

    for _ in range(2):
        choice, _ = measure.fastest(prior, FRAME, DEVICE, {"a": "bfloat16", "b": "bfloat16"}, full)
        assert "out of memory" in choice.failed["b"]
    assert opened == ["a", "a"]


def test_nothing_is_remembered_for_a_prior_made_of_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its digest is drawn anew in every process: what was kept for it would never be found again."""
    module = torch.nn.Conv2d(3, 3, 1)
    made = Prior.from_module(module, prediction="denoised", channels=3, multiple=1)
    opened = invented(monkeypatch, a=3.0)
    fastest(made, opened, a="bfloat16")
    assert not list((tmp_path / "cache").rglob("choice.json"))


def test_quick_takes_the_winner_that_is_known_and_times_nothing(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch, {"torch": 2.0, "torch-compile": 1.0})
    options: dict[str, Any] = {"size": (16, 24), "batch": 1, "device": "cpu", "precision": "float32"}
    first = open_denoiser(prior, backend="auto", **options)
    monkeypatch.setattr(choose, "_first_that_works", choose._quick)
    monkeypatch.setattr(measure, "_measured", lambda *_: pytest.fail("timed"))
    known = open_denoiser(prior, backend="quick", **options)
    assert (first.backend, known.backend) == ("torch-compile", "torch-compile")
    assert known.describe()["chosen_by"] == "measurement"
    other = open_denoiser(prior, backend="quick", **{**options, "size": (24, 24)})
    assert (other.backend, other.describe()["chosen_by"]) == ("torch", "default, not timed")


def test_without_a_cache_it_measures_each_time(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAPS_CACHE", "off")
    opened = invented(monkeypatch, a=3.0)
    for _ in range(2):
        assert fastest(prior, opened, a="bfloat16")[0].backend == "a"
    assert opened == ["a", "a"]


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch, times: dict[str, float]) -> None:
    """`auto` chooses on the CPU as it would on a GPU."""
    monkeypatch.setitem(choose._ORDER, "cpu", ("torch", "torch-compile", "tensorrt"))
    monkeypatch.setattr(choose, "_first_that_works", choose._fastest)
    monkeypatch.setattr(torch_backend.torch, "compile", lambda module, **options: module)
    monkeypatch.setattr(measure, "milliseconds", lambda denoiser, frame: times[denoiser.backend])


def test_auto_says_how_it_chose(
    prior: Prior, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    as_on_a_gpu(monkeypatch, {"torch": 2.0, "torch-compile": 1.0})
    options: dict[str, Any] = {"size": (13, 21), "batch": 1, "device": "cpu", "precision": "float32"}
    with caplog.at_level(logging.INFO, "lmaps.denoisers"):
        first = open_denoiser(prior, **options)
        second = open_denoiser(prior, **options)
    assert caplog.text.count("timing torch, torch-compile for batch 1, 13x21") == 1
    for denoiser in (first, second):
        assert isinstance(denoiser, Denoiser)
        facts = denoiser.describe()
        assert (denoiser.backend, facts["backend"]) == ("torch-compile", "torch-compile")
        assert facts["chosen_by"] == "measurement"
        assert facts["milliseconds"] == {"torch": 2.0, "torch-compile": 1.0}
        assert facts["passed_over"] == {"tensorrt": "TensorRT runs on a CUDA GPU, not on cpu"}
    x, sigma = torch.randn(1, 3, 13, 21), torch.tensor([0.4])
    out = torch.empty_like(x)
    first.into(x, sigma, out)
    with torch.no_grad():
        assert torch.equal(out, first(x, sigma))
        torch.testing.assert_close(out, prior.denoise(x, sigma), rtol=1e-5, atol=1e-6)


def test_auto_warns_once_of_a_candidate_that_fails(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch, {"torch": 2.0})
    options: dict[str, Any] = {"size": (16, 24), "batch": 1, "device": "cpu", "precision": "float32"}
    with pytest.warns(RuntimeWarning, match="running on torch; torch-compile was to be timed and failed: KeyError"):
        denoiser = open_denoiser(prior, **options)
    assert denoiser.backend == "torch"
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_denoiser(prior, **options)
