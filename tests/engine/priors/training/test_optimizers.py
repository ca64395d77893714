"""A step that is not finite changes nothing, one that is too long is shortened, and the layout of weights does not matter."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lmaps.engine.priors.edm import EDMDenoiser
from lmaps.engine.priors.training import optimizers
from lmaps.engine.priors.training.optimizers import Optimizers
from lmaps.engine.priors.training.recipe import Recipe
from lmaps.engine.priors.unet import UNet

from .conftest import same


@pytest.fixture
def model(recipe: Recipe) -> EDMDenoiser:
    model = EDMDenoiser(UNet(recipe.network))
    for parameter in model.parameters():
        parameter.data.normal_()
    return model


def with_gradients(model: EDMDenoiser, seed: int) -> EDMDenoiser:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).mul_(0.01)
    return model


def weights(model: EDMDenoiser) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_the_weights(model: EDMDenoiser, recipe: Recipe, bad: float) -> None:
    both = Optimizers(model, recipe)
    with_gradients(model, 0)
    both.step(1.0)
    before = weights(model)
    with_gradients(model, 1).network.stem.weight.grad[0, 0, 0, 0] = bad  # type: ignore[union-attr, index]
    both.step(1.0)
    assert same(weights(model), before)
    assert both.take_skipped() == 1
    with_gradients(model, 2)
    both.step(1.0)
    assert both.take_skipped() == 0
    assert not same(weights(model), before)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_the_guard_changes_no_bit_of_a_normal_step(
    model: EDMDenoiser, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = copy.deepcopy(model)
    guarded, plain = Optimizers(model, recipe), Optimizers(bare, recipe)
    monkeypatch.setattr(plain, "_guard", lambda: None)
    for seed in range(3):
        with_gradients(model, seed)
        guarded.step(1.0)
        with_gradients(bare, seed)
        plain.step(1.0)
    assert same(weights(model), weights(bare))


def test_a_gradient_beyond_the_bound_is_shortened(
    model: EDMDenoiser, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Optimizers(model, recipe)
    monkeypatch.setattr(both.adamw, "zero_grad", lambda: None)
    for parameter in with_gradients(model, 0).parameters():
        parameter.grad *= 1e6  # type: ignore[operator]
    both.step(1.0)
    gradients = [p.grad for p in both._stepped if p.grad is not None]
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(optimizers.GRADIENT_BOUND, rel=1e-4)


def test_weights_with_the_channels_last_take_the_same_steps(model: EDMDenoiser, recipe: Recipe) -> None:
    turned = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = replace(recipe, muon_rate=0.1, rate=0.1)
    pair = (model, Optimizers(model, recipe)), (turned, Optimizers(turned, recipe))
    before = weights(model)
    for seed in range(3):
        for module, both in pair:
            with_gradients(module, seed)
            both.step(1.0)
    assert turned.network.stem.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
    for name, value in weights(model).items():
        step, other = value - before[name], turned.state_dict()[name] - before[name]
        # Muon multiplies in bfloat16, and the order of the columns is the order of its sums.
        assert (step - other).norm() <= 0.02 * step.norm(), name
        assert name.endswith("frequencies") or step.norm() > 0
