"""A run that is cut in two equals the run in one piece; the other ways to begin keep what they promise."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from lmaps.engine.priors import load_prior
from lmaps.engine.priors.training import carry
from lmaps.engine.priors.training.data import PhotoBank
from lmaps.engine.priors.training.recipe import RECIPES, Recipe
from lmaps.engine.priors.training.run import Run, saved_recipe
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
    old = {k: v for k, v in asdict(recipe).items() if k not in ("warmup_from", "started_from")}
    assert saved_recipe(old) == recipe


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


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_fit_into_the_repository(name: str) -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in UNet(RECIPES[name].network).parameters())
    assert 2 * parameters <= 32e6
