"""A run that is cut in two equals the run in one piece; the other ways to begin keep what they promise."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from lmaps.engine.priors import load_prior
from lmaps.engine.priors.training import carry, history
from lmaps.engine.priors.training.data import PhotoBank
from lmaps.engine.priors.training.recipe import RECIPES, Recipe
from lmaps.engine.priors.training.run import Run, saved_recipe, weight_layout
from lmaps.engine.priors.training.train import export
from lmaps.engine.priors.training.validation import denoising_psnr
from lmaps.engine.priors.unet import UNet, UNetConfig

from .conftest import same

CPU = torch.device("cpu")


def steps(run: Run, bank: PhotoBank, count: int) -> Run:
    for _ in range(count):
        run.step(bank)
    return run


def test_a_resumed_run_equals_the_uncut_one_to_the_last_bit(recipe: Recipe, bank: PhotoBank, tmp_path: Path) -> None:
    whole = steps(Run.start(recipe, CPU), bank, 7)
    steps(Run.start(recipe, CPU), bank, 4).save(tmp_path / "half.pt")
    resumed = steps(Run.resume(tmp_path / "half.pt", CPU, {}), bank, 3)
    assert resumed.seen == whole.seen == 28
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert same(resumed.average.state_dict(), whole.average.state_dict())
    assert not same(whole.model.state_dict(), whole.average.state_dict())
    assert torch.equal(resumed.generator.get_state(), whole.generator.get_state())


def test_training_teaches_denoising(recipe: Recipe, bank: PhotoBank) -> None:
    clean = bank.crops(8, 16, torch.Generator().manual_seed(9))
    run = Run.start(replace(recipe, network=UNetConfig((8, 12), (1, 1), 8), muon_rate=1e-2, rate=1e-2, batch=16), CPU)
    before = denoising_psnr(run.average, clean, 0.4)
    steps(run, bank, 80)
    assert denoising_psnr(run.average, clean, 0.4) > before + 1


def test_settings_change_on_resuming_and_old_checkpoints_lack_new_ones(recipe: Recipe, tmp_path: Path) -> None:
    Run.start(recipe, CPU).save(tmp_path / "run.pt")
    assert Run.resume(tmp_path / "run.pt", CPU, {"images": 800}).recipe == replace(recipe, images=800)
    old = {k: v for k, v in asdict(recipe).items() if k not in ("warmup_from", "started_from", "total_minutes")}
    assert saved_recipe(old) == recipe
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    del state["seconds"]
    torch.save(state, tmp_path / "old.pt")
    assert Run.resume(tmp_path / "old.pt", CPU, {}).seconds == 0


def test_every_stretch_is_kept_and_exported(recipe: Recipe, bank: PhotoBank, tmp_path: Path) -> None:
    path, changed = tmp_path / "run.pt", replace(recipe, rate=1e-4)
    steps(Run.start(recipe, CPU), bank, 2).save(path)
    same_settings = steps(Run.resume(path, CPU, {}), bank, 1)
    assert same_settings.stretches == history.begun(recipe)
    same_settings.save(path)
    run = steps(Run.resume(path, CPU, {"rate": 1e-4}), bank, 1)
    want = (*history.begun(recipe), *history.begun(changed, 12))
    assert run.stretches == want
    carry.write(tmp_path / "carried", run)
    carried = Run.from_carried(tmp_path / "carried", CPU, {})
    assert carried.stretches == (*want, *history.begun(replace(changed, warmup_from=16), 16))
    export(run, tmp_path / "prior", name="tiny", licence="CC0-1.0")
    noted = json.loads(load_prior(tmp_path / "prior").config.notes["history"])
    assert [(stretch["seen"], stretch["settings"]["rate"]) for stretch in noted] == [(0, recipe.rate), (12, 1e-4)]


def test_an_old_checkpoint_is_known_from_where_it_was_resumed(recipe: Recipe, bank: PhotoBank, tmp_path: Path) -> None:
    steps(Run.start(recipe, CPU), bank, 2).save(tmp_path / "run.pt")
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    del state["history"]
    torch.save(state, tmp_path / "run.pt")
    assert Run.resume(tmp_path / "run.pt", CPU, {}).stretches == history.begun(recipe, 8)


def test_the_layout_that_a_gpu_gets_trains_the_same_and_exports(
    recipe: Recipe, bank: PhotoBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weight_layout(torch.device("cuda")) == torch.channels_last
    plain = steps(Run.start(recipe, CPU), bank, 3)
    monkeypatch.setattr("lmaps.engine.priors.training.run.weight_layout", lambda _: torch.channels_last)
    turned = steps(Run.start(recipe, CPU), bank, 3)
    for weights in (turned.model.network.stem.weight, turned.average.network.stem.weight):
        assert weights.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
        assert not weights.is_contiguous()  # type: ignore[operator]
    for key, value in plain.model.state_dict().items():
        assert torch.allclose(turned.model.state_dict()[key], value, atol=3e-4), key
    turned.save(tmp_path / "run.pt")
    resumed = Run.resume(tmp_path / "run.pt", CPU, {})
    assert same(resumed.model.state_dict(), turned.model.state_dict())
    assert same(steps(resumed, bank, 1).model.state_dict(), steps(turned, bank, 1).model.state_dict())
    export(turned, tmp_path / "prior", name="turned", licence="CC0-1.0")
    prior = load_prior(tmp_path / "prior")
    assert (prior.name, prior.config.licence) == ("turned", "CC0-1.0")
    stem = turned.average.state_dict()["network.stem.weight"]
    assert torch.equal(prior.module().state_dict()["network.stem.weight"], stem.half().float())


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="start without --resume"):
        Run.resume(tmp_path / "run.pt", CPU, {})


def test_a_prior_gives_its_weights_and_network(tiny_prior_folder: Path, recipe: Recipe, bank: PhotoBank) -> None:
    prior = load_prior(tiny_prior_folder)
    run = Run.from_prior(str(tiny_prior_folder), CPU, recipe)
    assert same(run.model.state_dict(), dict(prior.module().state_dict()))
    assert same(run.average.state_dict(), dict(prior.module().state_dict()))
    assert run.recipe.network == prior.module().network.config  # type: ignore[union-attr]
    assert run.recipe.started_from.startswith(f"tiny {prior.digest[:12]}")
    assert run.recipe.batch == recipe.batch
    before = {key: value.clone() for key, value in prior.module().state_dict().items()}
    steps(run, bank, 2)
    assert not same(run.model.state_dict(), before)
    assert same(dict(prior.module().state_dict()), before), "the shared module of the prior must not be trained"


def test_a_carried_run_goes_on_with_its_weights_and_crops(recipe: Recipe, bank: PhotoBank, tmp_path: Path) -> None:
    run = steps(Run.start(recipe, CPU), bank, 5)
    carry.write(tmp_path / "carried", run)
    back = Run.from_carried(tmp_path / "carried", CPU, {"images": 1000})
    assert same(back.model.state_dict(), run.model.state_dict())
    assert same(back.average.state_dict(), run.average.state_dict())
    assert back.seen == run.seen
    assert torch.equal(bank.crops(2, 16, back.generator), bank.crops(2, 16, run.generator))
    assert back.recipe == replace(recipe, images=1000, warmup_from=run.seen)
    assert back.recipe.rate_factor(back.seen) < 0.5 < back.recipe.rate_factor(back.seen + recipe.warmup_images)


def test_rate_rises_stays_and_falls_to_nothing() -> None:
    recipe = Recipe(images=1000, batch=10, warmup_images=100, cooldown=0.2)
    assert recipe.rate_factor(0) == pytest.approx(0.1)
    assert recipe.rate_factor(90) == recipe.rate_factor(500) == recipe.rate_factor(800) == 1
    assert recipe.rate_factor(900) == pytest.approx(0.5)
    assert recipe.rate_factor(1000) == 0
    assert recipe.finished(1000, 0)
    assert not recipe.finished(990, 1e9)


def test_the_rate_follows_the_minutes_where_they_are_given() -> None:
    recipe = Recipe(images=1000, batch=10, warmup_images=100, cooldown=0.2, total_minutes=10)
    assert recipe.rate_factor(0, 0) == pytest.approx(0.1)
    assert recipe.rate_factor(5000, 480) == 1
    assert recipe.rate_factor(5000, 540) == pytest.approx(0.5)
    assert recipe.rate_factor(5000, 600) == recipe.rate_factor(5000, 700) == 0
    assert recipe.finished(10, 600)
    assert not recipe.finished(5000, 599)
    with pytest.raises(ValueError, match="total_minutes must not be negative"):
        Recipe(total_minutes=-1)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_fit_into_the_repository(name: str) -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in UNet(RECIPES[name].network).parameters())
    assert 2 * parameters <= 32e6
