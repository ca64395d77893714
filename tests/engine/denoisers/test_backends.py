"""Every backend against the prior's own module in float32."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmaps.engine.denoisers import Denoiser, open_denoiser
from lmaps.engine.graph_check import NoReading
from lmaps.engine.priors import Prior, load_prior

from .. import fake_cuda

# (backend, precision, largest relative difference from the float32 module)
RUNS = [
    ("torch", "float32", 1e-6),
    ("torch", "bfloat16", 3e-2),
    ("onnxruntime", "float32", 1e-5),
    ("openvino", "float32", 1e-5),
    ("openvino", "bfloat16", 3e-2),
]
backends = pytest.mark.parametrize(("backend", "precision", "tolerance"), RUNS)
exact = pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])


@pytest.fixture(scope="module")
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


def picture(*shape: int, sigma: Tensor) -> Tensor:
    return torch.rand(shape) * 2 - 1 + sigma.reshape(-1, 1, 1, 1) * torch.randn(shape)


def network_error(prior: Prior, got: Tensor, x: Tensor, sigma: Tensor) -> float:
    """Largest error of one image relative to what the network adds to c_skip x, the part a backend can get wrong."""
    with torch.no_grad():
        want = prior.denoise(x, sigma)
    s = sigma.reshape(-1, 1, 1, 1)
    added = want - 0.25 / (0.25 + s**2) * x
    return float(((got - want).flatten(1).norm(dim=1) / added.flatten(1).norm(dim=1)).max())


@backends
@pytest.mark.parametrize("size", [(40, 24), (33, 57), (5, 64), (1, 1)])
def test_agrees_with_the_module(
    prior: Prior, backend: str, precision: str, tolerance: float, size: tuple[int, int]
) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=size, batch=2)
    for levels in ([0.05, 0.3], [2.0, 80.0]):
        sigma = torch.tensor(levels)
        x = picture(2, 3, *size, sigma=sigma)
        y = denoiser(x, sigma)
        assert y.shape == x.shape
        assert y.dtype == torch.float32
        assert y.is_contiguous()
        assert network_error(prior, y, x, sigma) < tolerance


@backends
@pytest.mark.parametrize("size", [(16, 24), (13, 21)])
def test_into_writes_the_callers_buffer(
    prior: Prior, backend: str, precision: str, tolerance: float, size: tuple[int, int]
) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=size, batch=2)
    sigma = torch.tensor([0.4, 3.0])
    x = picture(2, 3, *size, sigma=sigma)
    given, out = x.clone(), torch.full_like(x, float("nan"))
    denoiser.into(x.requires_grad_(), sigma, out)  # no gradient asked for, none refused
    assert not out.requires_grad
    assert torch.equal(out, denoiser(x.detach(), sigma).detach())
    assert torch.equal(x, given)
    for bad in (out[:1], out.double(), out.transpose(2, 3).contiguous().transpose(2, 3)):
        with pytest.raises(ValueError, match=r"out must be contiguous float32 of shape \(2, 3,"):
            denoiser.into(x, sigma, bad)
    with pytest.raises(ValueError, match="must share a device, got cpu, meta and cpu"):
        denoiser.into(x, sigma.to("meta"), out)
    with pytest.raises(ValueError, match="opened on cpu; x, sigma and out are on meta"):
        denoiser.into(x.to("meta"), sigma.to("meta"), out.to("meta"))


@backends
def test_output_scaling_stays_in_float32(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    """At a low noise level the answer is nearly x; bfloat16 there would cost 2e-3 of it."""
    sigma = torch.full((1,), 0.004)
    x = picture(1, 3, 32, 32, sigma=sigma)
    y = open_denoiser(prior, backend=backend, precision=precision, size=(32, 32), batch=1)(x, sigma)
    with torch.no_grad():
        want = prior.denoise(x, sigma)
    assert float((y - want).norm() / want.norm()) < 2e-4


@exact
def test_a_batch_equals_its_images_alone(prior: Prior, backend: str) -> None:
    sigma = torch.tensor([0.02, 0.7, 30.0])
    x = picture(3, 3, 29, 43, sigma=sigma)
    together = open_denoiser(prior, backend=backend, precision="float32", size=(29, 43), batch=3)(x, sigma)
    single = open_denoiser(prior, backend=backend, precision="float32", size=(29, 43), batch=1)
    for i in range(3):
        alone = single(x[i : i + 1], sigma[i : i + 1])
        assert float((together[i : i + 1] - alone).norm() / alone.norm()) < 1e-5


@backends
def test_results_belong_to_the_caller(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    for size in ((16, 24), (13, 21)):
        denoiser = open_denoiser(prior, backend=backend, precision=precision, size=size, batch=1)
        sigma = torch.tensor([0.4])
        x = picture(1, 3, *size, sigma=sigma)
        given = x.clone()
        first = denoiser(x, sigma)
        kept = first.clone()
        first.add_(1)  # a solver may work in place
        second = denoiser(x, sigma)
        assert torch.equal(second, kept)
        assert torch.equal(first, kept + 1)
        assert torch.equal(x, given)


@backends
def test_threads_get_the_serial_answers(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=(24, 31), batch=1)
    sigma = torch.tensor([0.4])
    pictures = [picture(1, 3, 24, 31, sigma=sigma) for _ in range(4)]
    with torch.no_grad():
        want = [denoiser(x, sigma) for x in pictures]
    same = [False] * 4

    def work(i: int) -> None:
        with torch.no_grad():
            same[i] = all(torch.equal(denoiser(pictures[i], sigma), want[i]) for _ in range(3))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same)


@backends
def test_takes_inputs_as_solvers_make_them(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=(16, 24), batch=2)
    sigma = torch.tensor([0.4, 0.4])
    x = picture(2, 3, 16, 24, sigma=sigma)
    want = denoiser(x, sigma)
    strided = x.transpose(2, 3).contiguous().transpose(2, 3)
    assert not strided.is_contiguous()
    assert torch.equal(denoiser(strided, sigma), want)
    # Another memory layout may take another convolution routine: equal but for rounding.
    interleaved = denoiser(x.contiguous(memory_format=torch.channels_last), sigma)
    assert torch.allclose(interleaved, want, atol=max(tolerance, 1e-5))
    assert torch.equal(denoiser(x, torch.tensor(0.4).expand(2)), want)
    assert torch.equal(denoiser(x, sigma.double().float()), want)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, s: (x[:1], s[:1]), r"x must be float32 of shape \(2, 3, 16, 24\).*\(1, 3, 16, 24\)"),
        (lambda x, s: (x[..., :16], s), r"got torch\.float32 of shape \(2, 3, 16, 16\)"),
        (lambda x, s: (x.double(), s), r"got torch\.float64"),
        (lambda x, s: (x, s[:1]), r"sigma must have shape \(2,\), got \(1,\)"),
        (lambda x, s: (x, s * 0), r"sigma must be positive, got \[0\.0, 0\.0\]"),
        (lambda x, s: (x, s * float("nan")), "sigma must be positive, got"),
    ],
)
@exact
def test_wrong_inputs_are_named(prior: Prior, backend: str, change: Callable[..., Any], message: str) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision="float32", size=(16, 24), batch=2)
    with pytest.raises(ValueError, match=message):
        denoiser(*change(torch.zeros(2, 3, 16, 24), torch.ones(2)))


@backends
def test_gradient_or_a_clear_refusal(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=(17, 24), batch=1)
    sigma = torch.tensor([0.7])
    x, direction = picture(1, 3, 17, 24, sigma=sigma).requires_grad_(), torch.randn(1, 3, 17, 24)
    if denoiser.supports_gradient:
        (got,) = torch.autograd.grad(denoiser(x, sigma), x, direction)
        (want,) = torch.autograd.grad(prior.denoise(x, sigma), x, direction)
        assert float((got - want).norm() / want.norm()) < tolerance
    else:
        with pytest.raises(ValueError, match=f"backend '{backend}' has no gradient"):
            denoiser(x, sigma)
    with torch.no_grad():
        assert not denoiser(x, sigma).requires_grad


def test_nothing_is_recorded_where_no_gradient_can_be_asked_for(prior: Prior) -> None:
    denoiser = open_denoiser(prior, backend="torch", precision="bfloat16", size=(16, 24), batch=1)
    modes: list[bool] = []
    denoiser._module.register_forward_pre_hook(lambda *_: modes.append(torch.is_grad_enabled()))  # type: ignore[attr-defined]
    x, sigma = torch.zeros(1, 3, 16, 24), torch.ones(1)
    denoiser(x, sigma)
    denoiser(x.requires_grad_(), sigma)
    with torch.no_grad():
        denoiser(x, sigma)
    denoiser.into(x, sigma, torch.empty(1, 3, 16, 24))
    assert modes == [False, True, False, False]


@backends
def test_describe(prior: Prior, backend: str, precision: str, tolerance: float) -> None:
    denoiser = open_denoiser(prior, backend=backend, precision=precision, size=(17, 24), batch=1, threads=1)
    assert isinstance(denoiser, Denoiser)
    facts = denoiser.describe()
    assert facts["backend"] == denoiser.backend == backend
    assert facts["precision"] == denoiser.precision == precision
    assert (facts["batch"], facts["size"], facts["padded_size"]) == (1, (17, 24), (24, 24))
    assert facts["backend_version"]
    weights = sum(p.numel() for p in prior.module().parameters())
    assert 2 * weights <= facts["weights_bytes"] <= 4 * weights + 100_000
    assert facts["prepare"].keys() >= {"export_s", "build_s", "load_s"}
    assert facts["threads"] == (torch.get_num_threads() if backend == "torch" else 1)


def test_every_shape_is_compiled_and_none_runs_eagerly(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch keeps 8 compiled shapes of a code object, and runs a ninth eagerly without a word."""
    compiled: list[object] = []

    def count(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, dynamic=options["dynamic"], backend=count))
    opened = []
    for number in range(10):
        size = (8 * (1 + number), 16)
        opened.append(open_denoiser(prior, backend="torch-compile", precision="float32", size=size, batch=1))
        assert len(compiled) == number + 1
    for denoiser in opened:
        shape = denoiser._frame.shape  # type: ignore[attr-defined]
        x, sigma = torch.randn(shape), torch.full((1,), 0.5)
        with torch.no_grad():
            torch.testing.assert_close(denoiser(x, sigma), prior.denoise(x, sigma), rtol=1e-4, atol=1e-5)
    assert len(compiled) == 10


def test_a_compiled_network_stays_compiled_while_a_step_is_checked(
    prior: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a recording a step runs under `NoReading`. A compiled function called there would be eager for good."""
    fake_cuda.install(monkeypatch)
    compiled: list[object] = []
    real = torch.compile

    def count(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return lambda *args: (calls.append(1), graph.forward(*args))[1]

    calls: list[int] = []
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, dynamic=options["dynamic"], backend=count))
    denoiser = open_denoiser(prior, backend="torch-compile", precision="float32", size=(16, 24), batch=1)
    x, sigma, out = torch.randn(1, 3, 16, 24), torch.ones(1), torch.empty(1, 3, 16, 24)
    for check in (False, True, False):
        calls.clear()
        with NoReading() if check else nullcontext():
            denoiser.into(x, sigma, out)
        assert len(compiled) == 1
        assert len(calls) == (0 if check else 1)


@pytest.mark.slow
def test_torch_compile(prior: Prior) -> None:
    denoiser = open_denoiser(prior, backend="torch-compile", precision="float32", size=(17, 24), batch=1)
    sigma = torch.tensor([0.7])
    x = picture(1, 3, 17, 24, sigma=sigma)
    with torch.no_grad():
        assert network_error(prior, denoiser(x, sigma), x, sigma) < 1e-5
    facts = denoiser.describe()
    assert (facts["backend"], facts["compile_mode"]) == ("torch-compile", "default")
    assert facts["prepare"]["warm_up_s"] > 0.1
    out = torch.empty_like(x)
    denoiser.into(x, sigma, out)
    with torch.no_grad():
        assert torch.equal(out, denoiser(x, sigma))
    gradient = torch.autograd.grad(denoiser(x.requires_grad_(), sigma).sum(), x)[0]
    want = torch.autograd.grad(prior.denoise(x, sigma).sum(), x)[0]
    assert float((gradient - want).norm() / want.norm()) < 1e-4
