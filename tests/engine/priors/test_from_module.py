"""Priors that are a module of the user's own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lmaps
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import NoiseSchedule, Prior, PriorError
from lmaps.engine.priors.error import NoGraph

from .graphs import Network
from .test_from_onnx import TABLE, denoised, error, noisy


class Sampled(nn.Module):
    """Answers as diffusers' networks do, and only takes whole steps."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Network(out=6)

    def forward(self, u: Tensor, t: Tensor) -> Any:
        if t.dtype != torch.int64:
            raise TypeError("whole steps only")
        return SimpleNamespace(sample=self.inner(u, t))


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample"])
def test_the_formulas_around_a_module(prediction: str) -> None:
    network = Network(out=6)
    prior = Prior.from_module(network, prediction=prediction, schedule=TABLE, channels=3, multiple=2)
    x, sigma = noisy((9, 14))
    want = denoised(network, nn.functional.pad(x, (0, 0, 0, 1), mode="reflect"), sigma, prediction, TABLE)[..., :9, :]
    assert error(prior.denoise(x, sigma), want) < 1e-5


def test_whole_steps_and_wrapped_answers() -> None:
    module = Sampled()
    prior = Prior.from_module(
        module, prediction="epsilon", schedule=TABLE, timestep="nearest", whole_steps=True, channels=3, multiple=2
    )
    x, sigma = noisy((8, 12))
    assert error(prior.denoise(x, sigma), denoised(module.inner, x, sigma, "epsilon", TABLE, nearest=True)) < 1e-5


def test_it_runs_everywhere_a_prior_does_and_gives_gradients() -> None:
    network = Network().train()
    prior = Prior.from_module(network, prediction="epsilon", channels=3, multiple=2, name="mine", licence="MIT")
    assert not network.training
    assert (prior.name, prior.config.licence) == ("mine", "MIT")
    x, sigma = noisy((12, 10))
    want = denoised(network, x, sigma, "epsilon", NoiseSchedule())
    for backend in ("torch", "onnxruntime", "openvino"):
        denoiser = open_denoiser(prior, backend=backend, precision="float32", size=(12, 10), batch=2, device="cpu")
        assert error(denoiser(x, sigma), want) < 1e-5
    restorer = lmaps.compile("sr4", prior, size=(16, 16), steps=2, device="cpu", solver="dps")
    assert restorer(torch.zeros(1, 3, 4, 4)).stats["backend"] == "torch"


def test_a_module_that_cannot_be_exported_runs_in_torch_and_says_why() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x * 0.5 if float(x.sum()) > 0 else x * 0.25

    prior = Prior.from_module(Branching(), prediction="denoised", channels=3, multiple=1)
    with pytest.raises(NoGraph, match="only backend 'torch' can run it"):
        prior.onnx_path()
    with pytest.warns(RuntimeWarning, match="running on torch"):
        denoiser = open_denoiser(prior, size=(8, 8), batch=1, device="cpu", precision="float32")
    assert denoiser.backend == "torch"
    x = torch.ones(1, 3, 8, 8)
    assert torch.equal(denoiser(x, torch.ones(1)), x * 0.5)


def test_every_prior_of_a_module_is_its_own() -> None:
    """Nothing kept under a digest may outlive the code of the module."""
    network = Network()
    first, second = (Prior.from_module(network, prediction="sample", channels=3, multiple=2) for _ in range(2))
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prediction": "score"}, "one of epsilon"),
        ({"channels": 0}, "'channels' must lie in"),
        ({"multiple": 0}, "'multiple' must lie in"),
        ({"schedule": "sine"}, "schedule must be one of"),
        ({"prediction": "denoised", "schedule": "linear"}, "goes without a schedule"),
        ({"timestep": "exact"}, "'timestep' must be interpolated or nearest"),
        ({"whole_steps": True}, "needs timestep='nearest'"),
        ({"value_range": (1, 1)}, "lower first"),
    ],
)
def test_nonsense_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Prior.from_module(Network(), **{"prediction": "epsilon", "channels": 3, "multiple": 2, **options})


def test_what_is_no_module_is_named() -> None:
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got function"):
        Prior.from_module(lambda x, t: x, prediction="epsilon", channels=3, multiple=2)  # type: ignore[arg-type]


def test_an_answer_of_another_shape_is_named() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x.flatten()

    prior = Prior.from_module(Flat(), prediction="epsilon", channels=3, multiple=1)
    with pytest.raises((PriorError, TypeError), match="must answer with a tensor"):
        prior.denoise(torch.zeros(1, 3, 4, 4), torch.ones(1))
