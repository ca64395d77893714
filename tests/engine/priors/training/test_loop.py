"""What a chunk leaves behind: when it is cut, when its time is up, and when the run has gone wrong."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmaps.engine.priors.training import carry, loop
from lmaps.engine.priors.training.data import PhotoBank
from lmaps.engine.priors.training.loop import CHECKPOINT, Chunk, DivergedError, train
from lmaps.engine.priors.training.recipe import Recipe
from lmaps.engine.priors.training.run import Run

from .conftest import same

CPU = torch.device("cpu")


@pytest.fixture
def crops(bank: PhotoBank) -> torch.Tensor:
    return bank.crops(1, 16, torch.Generator().manual_seed(0))


def chunk(folder: Path, seconds: float = 1e9, **given: object) -> Chunk:
    return Chunk(folder, time.monotonic(), seconds, 8, **given)  # type: ignore[arg-type]


def test_every_checkpoint_writes_the_carried_weights_and_the_log(
    recipe: Recipe, bank: PhotoBank, crops: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.start(replace(recipe, images=12), CPU)
    there: list[int] = []
    step = run.step

    def watched(photos: PhotoBank) -> torch.Tensor:
        if (tmp_path / "carried" / carry.INDEX).is_file():
            there.append(carry.read(tmp_path / "carried")["seen"])
        return step(photos)

    monkeypatch.setattr(run, "step", watched)
    monkeypatch.setattr(loop, "SAVE_EVERY_SECONDS", -1.0)
    train(run, bank, crops, chunk(tmp_path, carried=tmp_path / "carried"))
    assert there == [4, 8]
    assert carry.read(tmp_path / "carried")["seen"] == 12
    assert (tmp_path / "carried" / "log.jsonl").read_text() == (tmp_path / "log.jsonl").read_text()
    previous = Run.resume(tmp_path / "checkpoint.previous.pt", CPU, {})
    assert previous.seen <= Run.resume(tmp_path / CHECKPOINT, CPU, {}).seen == 12


def poisoned(run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From now on the loss, or a weight of the average, is not finite."""
    step = run.step

    def bad(photos: PhotoBank) -> torch.Tensor:
        if name == "loss":
            run.model.network.head.weight.register_hook(lambda g: g * torch.nan)  # type: ignore[union-attr, operator]
        loss = step(photos)
        if name == "average":
            run.average.network.stem.weight.data[0] = torch.inf  # type: ignore[union-attr, operator, index]
        return loss

    monkeypatch.setattr(run, "step", bad)


@pytest.mark.parametrize(("name", "why"), [("loss", "2 of 2 steps had a gradient"), ("average", "a weight is not")])
def test_a_run_gone_wrong_ends_and_its_checkpoint_stays(
    name: str,
    why: str,
    recipe: Recipe,
    bank: PhotoBank,
    crops: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run.start(replace(recipe, images=8), CPU)
    train(run, bank, crops, chunk(tmp_path, carried=tmp_path / "carried"))
    good = Run.resume(tmp_path / CHECKPOINT, CPU, {"images": 80})
    run = Run.resume(tmp_path / CHECKPOINT, CPU, {"images": 80})
    poisoned(run, monkeypatch, name)
    with pytest.raises(DivergedError, match=f"went wrong after 16 crops: {why}.*{CHECKPOINT}.* are from before"):
        train(run, bank, crops, chunk(tmp_path, carried=tmp_path / "carried"))
    kept = Run.resume(tmp_path / CHECKPOINT, CPU, {})
    assert kept.seen == carry.read(tmp_path / "carried")["seen"] == 8
    assert same(kept.model.state_dict(), good.model.state_dict())
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_one_step_that_is_not_finite_is_left_out_and_counted(
    recipe: Recipe, bank: PhotoBank, crops: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.start(replace(recipe, images=8), CPU)
    step, calls = run.step, 0

    def bad(photos: PhotoBank) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            hook = run.model.network.head.weight.register_hook(lambda g: g * torch.nan)  # type: ignore[union-attr, operator]
            step(photos)
            hook.remove()
            return torch.tensor(torch.nan)
        return step(photos)

    monkeypatch.setattr(run, "step", bad)
    train(run, bank, crops, chunk(tmp_path))
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert (row["seen"], row["skipped"]) == (8, 1)
    assert 0 < row["loss"] < 10


def test_a_run_measured_in_minutes_ends_with_rate_zero_over_several_chunks(
    recipe: Recipe, bank: PhotoBank, crops: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second of this clock, the run two minutes, the first chunk one and a half."""
    now = 1000.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)
    rates: list[float] = []

    def timed(run: Run) -> Run:
        step = run.step

        def second(photos: PhotoBank) -> torch.Tensor:
            nonlocal now
            loss = step(photos)
            rates.append(run.optimizers.adamw.param_groups[0]["lr"])
            now += 1
            return loss

        monkeypatch.setattr(run, "step", second)
        return run

    run = timed(Run.start(replace(recipe, total_minutes=2.0), CPU))
    now += 10  # reading photographs counts too
    train(run, bank, crops, Chunk(tmp_path, now - 10, 90, 10_000, tmp_path / "carried"))
    assert run.seconds == 90
    assert len(rates) == 80
    for resumed in (Run.resume(tmp_path / CHECKPOINT, CPU, {}), Run.from_carried(tmp_path / "carried", CPU, {})):
        assert resumed.seconds == 90
    run = timed(Run.resume(tmp_path / CHECKPOINT, CPU, {}))
    train(run, bank, crops, Chunk(tmp_path, now, 1e9, 10_000))
    assert run.finished
    assert run.seconds == 120
    assert len(rates) == 110
    full = recipe.rate
    assert rates[79] == full
    assert rates[80 + 6] == pytest.approx(full)
    assert rates[-1] == pytest.approx(full / 24)
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1
