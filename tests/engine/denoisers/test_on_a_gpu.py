"""Every backend that runs on this GPU, against the prior's own module in float32, eager and inside a CUDA graph.

Needs a CUDA device: skipped elsewhere, so what is not recorded in the README as run on one has not been.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lmaps.engine.denoisers import Denoiser, available, open_denoiser
from lmaps.engine.denoisers.base import Frame
from lmaps.engine.denoisers.measure import milliseconds
from lmaps.engine.priors import Prior, load_prior

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
RUNS = [(name, precision) for name, runs, _ in available("cuda") if runs for precision in ("float32", "bfloat16")]
runs = pytest.mark.parametrize(("backend", "precision"), RUNS)
LIMITS = {"float32": 1e-4, "bfloat16": 3e-2}  # float32 is not TF32, on any backend


@pytest.fixture(scope="module")
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("LMAPS_CACHE", str(tmp_path_factory.getbasetemp() / "gpu-cache"))


def opened(prior: Prior, backend: str, precision: str, size: tuple[int, int], batch: int = 2) -> Denoiser:
    from lmaps.engine.denoisers.backends import BACKENDS

    if precision not in BACKENDS[backend].precisions:
        pytest.skip(f"{backend} has no {precision}")
    return open_denoiser(prior, backend=backend, precision=precision, size=size, batch=batch, device="cuda")


def inputs(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor]:
    sigma = torch.tensor([0.3, 5.0])[:batch]
    x = torch.rand(batch, 3, *size) * 2 - 1 + sigma.reshape(-1, 1, 1, 1) * torch.randn(batch, 3, *size)
    return x.cuda(), sigma.cuda()


def error(prior: Prior, got: Tensor, x: Tensor, sigma: Tensor) -> float:
    """Relative to what the network adds to c_skip x, against float32 on the CPU."""
    with torch.no_grad():
        want = prior.denoise(x.cpu(), sigma.cpu())
    s = sigma.cpu().reshape(-1, 1, 1, 1)
    added = want - 0.25 / (0.25 + s**2) * x.cpu()
    return float(((got.cpu() - want).flatten(1).norm(dim=1) / added.flatten(1).norm(dim=1)).max())


@runs
@pytest.mark.parametrize("size", [(16, 24), (33, 57)])
def test_agrees_with_the_module(prior: Prior, backend: str, precision: str, size: tuple[int, int]) -> None:
    denoiser = opened(prior, backend, precision, size)
    x, sigma = inputs(size)
    out = torch.full_like(x, float("nan"))
    denoiser.into(x, sigma, out)
    assert error(prior, out, x, sigma) < LIMITS[precision]
    with torch.no_grad():
        assert torch.equal(denoiser(x, sigma.cpu()), out)
    assert denoiser.describe()["device"].startswith("cuda")


@runs
@pytest.mark.parametrize("size", [(16, 24), (33, 57)])
def test_replays_equal_eager_calls(prior: Prior, backend: str, precision: str, size: tuple[int, int]) -> None:
    denoiser = opened(prior, backend, precision, size)
    if not denoiser.capturable:
        pytest.skip(f"{backend} cannot be captured")
    x, sigma = inputs(size)
    out, graph = torch.full_like(x, float("nan")), torch.cuda.CUDAGraph()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        denoiser.into(x, sigma, out)
    torch.cuda.current_stream().wait_stream(side)
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        denoiser.into(x, sigma, out)
    for seed in range(3):
        torch.manual_seed(seed)
        other, _ = inputs(size)
        want = torch.empty_like(x)
        denoiser.into(other, sigma, want)
        x.copy_(other)
        out.fill_(float("nan"))
        graph.replay()
        assert torch.equal(out, want)


@runs
def test_threads_and_streams_get_the_serial_answers(prior: Prior, backend: str, precision: str) -> None:
    """Up to rounding, since torch has cuDNN choose its algorithms for each thread; within a thread bit for bit."""
    denoiser = opened(prior, backend, precision, (24, 40), batch=1)
    _, sigma = inputs((24, 40), 1)
    pictures = [torch.randn(1, 3, 24, 40, device="cuda") for _ in range(4)]
    with torch.no_grad():
        want = [denoiser(x, sigma) for x in pictures]
    torch.cuda.synchronize()
    same = [False] * 4

    def work(i: int) -> None:
        with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
            answers = [denoiser(pictures[i], sigma) for _ in range(10)]
            off = torch.linalg.vector_norm(answers[0] - want[i]) / torch.linalg.vector_norm(want[i])
            same[i] = float(off) < LIMITS[precision] and all(torch.equal(a, answers[0]) for a in answers)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same)


@runs
def test_it_can_be_timed(prior: Prior, backend: str, precision: str) -> None:
    denoiser = opened(prior, backend, precision, (16, 24), batch=1)
    assert 0 < milliseconds(denoiser, Frame(1, 3, 16, 24, prior.multiple)) < 1000


def test_auto_measures_once(prior: Prior) -> None:
    first = open_denoiser(prior, size=(16, 24), batch=1, device="cuda").describe()
    second = open_denoiser(prior, size=(16, 24), batch=1, device="cuda").describe()
    assert first["chosen_by"] == second["chosen_by"] == "measurement"
    assert first["milliseconds"] == pytest.approx(second["milliseconds"], rel=1e-3)
    assert first["allocated_bytes"] > 0
