"""torch's inference mode, held by a caller around everything, spoils neither gradients nor what is kept for later calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import inference, operators, tasks
from lmaps.engine.operators import Operator
from lmaps.engine.priors import Prior

OPTIONS: dict[str, Any] = {"backend": "torch", "steps": 3, "device": "cpu"}
LINEAR: dict[str, Operator] = {
    "sr4": operators.SuperResolution(4),
    "inpaint-random": operators.Inpainting.random(),
    "deblur-gaussian": operators.GaussianBlur(),
    "deblur-motion": operators.MotionBlur(),
    "circular": operators.MotionBlur(padding="circular"),
    "scattering": operators.InverseScattering(side=16, receivers=24, transmitters=6),
    "mri": operators.MRI(),
}


@pytest.fixture(scope="module")
def prior(tiny_prior_folder: Path) -> Prior:
    return lmaps.load_prior(tiny_prior_folder)


def picture(name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    channels, side = {"mri": (2, 32), "scattering": (1, 16)}.get(name, (3, 32))
    return 2 * torch.rand(1, channels, side, side, dtype=dtype) - 1


def restored(prior: Prior, task: str, y: Tensor, **options: Any) -> Tensor:
    with lmaps.compile(task, prior, size=(32, 32), **OPTIONS, **options) as restorer:
        return restorer(y).image


@pytest.mark.parametrize(
    ("task", "solver"),
    [("deblur-nonlinear", "lmaps"), ("jpeg", "lmaps"), ("sr4", "dps"), ("sr4", "sitcom"), ("sr4", "tmpd")],
)
def test_restorations_are_those_without_it(task: str, solver: str, prior: Prior) -> None:
    y = tasks.build(task)(picture("sr4")).detach()
    wanted = restored(prior, task, y, solver=solver)
    with torch.inference_mode():
        got = restored(prior, task, y.clone(), solver=solver)
    assert torch.equal(got, wanted)
    assert not got.is_inference()


@pytest.mark.parametrize("solver", ["pigdm", "lgd", "dps"])
def test_sample_too(solver: str, prior: Prior) -> None:
    operator, schedule = operators.SuperResolution(4), lmaps.schedules.edm(3)
    given: dict[str, Any] = {"schedule": schedule, "solver": solver}
    if solver != "dps":
        given["noise"] = 0.05
    y = operator(picture("sr4"))
    wanted = lmaps.sample(prior.denoise, operator, y, **given)
    with torch.inference_mode():
        assert torch.equal(lmaps.sample(prior.denoise, operator, y.clone(), **given), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LINEAR)
def test_what_an_operator_keeps_serves_autograd_later(name: str, dtype: torch.dtype) -> None:
    operator = LINEAR[name]
    x = picture(name, dtype)
    with torch.inference_mode():
        operator.normal(x)  # type: ignore[operator]
        operator.spectrum(tuple(x.shape))  # type: ignore[operator]
    leaf = x.clone().requires_grad_()
    operator.normal(leaf).sum().backward()  # type: ignore[operator]
    if basis := operator.spectrum(tuple(x.shape)):  # type: ignore[operator]
        (basis.eigenvalues * basis.to_basis(leaf)).abs().sum().backward()
    assert leaf.grad is not None


def test_jpeg_keeps_tables_that_serve_autograd_later() -> None:
    operator = operators.JPEG(5)
    with torch.inference_mode():
        operator(picture("jpeg"))
    leaf = picture("jpeg").requires_grad_()
    operator(leaf).sum().backward()
    assert leaf.grad is not None


def test_gradients_of_an_operator_in_inference_mode() -> None:
    operator, x = operators.NonlinearBlur(), picture("nonlinear")
    wanted = operator.vjp(x, operator(x))
    with torch.inference_mode():
        y = x.clone()
        assert torch.equal(operator.vjp(y, operator(y)), wanted)


def test_a_network_first_used_in_inference_mode_is_differentiable_later(tiny_prior_folder: Path) -> None:
    x = picture("sr4")
    with torch.inference_mode():
        prior = lmaps.load_prior(tiny_prior_folder)
        prior.denoise(x, torch.ones(1))
    leaf = x.clone().requires_grad_()
    prior.denoise(leaf, torch.ones(1)).sum().backward()
    assert leaf.grad is not None


def test_leaving_asks_for_no_gradients_and_changes_nothing_elsewhere() -> None:
    with torch.inference_mode(), inference.left():
        assert not torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
    with inference.left():
        assert torch.is_grad_enabled()
    with torch.no_grad(), inference.left():
        assert not torch.is_grad_enabled()
