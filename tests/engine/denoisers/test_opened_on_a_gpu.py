"""What opening torch's backend on a GPU turns on and says, the GPU played by the CPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.denoisers import cuda, torch_backend
from lmaps.engine.denoisers.base import Frame
from lmaps.engine.denoisers.torch_backend import TorchDenoiser
from lmaps.engine.priors import Prior, load_prior, norm

CPU = torch.device("cpu")
FRAME = Frame(1, 3, 16, 24, 8)


@pytest.fixture(scope="module")
def prior(tiny_prior_folder: Path) -> Prior:
    return load_prior(tiny_prior_folder)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for on a GPU comes on the CPU, and memory is not measured."""
    zeros, laid_out = torch.zeros, torch_backend._laid_out
    facts = ("allocated_bytes", "peak_rise_bytes", "device_bytes")
    monkeypatch.setattr(torch, "zeros", lambda *shape, device=None, **options: zeros(*shape, **options))
    monkeypatch.setattr(torch_backend, "_laid_out", lambda prior, p, last, device: laid_out(prior, p, last, CPU))
    monkeypatch.setattr(cuda, "_memory", lambda device: dict.fromkeys(facts, 0))
    monkeypatch.setattr(cuda, "wait", lambda device: None)


def opened(prior: Prior) -> TorchDenoiser:
    return TorchDenoiser(prior, FRAME, precision="float32", device=torch.device("cuda", 0), threads=1)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("users", [False, True])
def test_cudnn_is_tuned_while_it_is_opened_and_left_as_the_user_had_it(
    prior: Prior, users: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every thread that calls it would tune again, and might find other algorithms."""
    tuning: list[bool] = []
    run = TorchDenoiser._run

    def watched(self: TorchDenoiser, x: Tensor, sigma: Tensor) -> Tensor:
        tuning.append(torch.backends.cudnn.benchmark)
        return run(self, x, sigma)

    monkeypatch.setattr(TorchDenoiser, "_run", watched)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", users)
    denoiser = opened(prior)
    assert tuning == [True]
    with torch.no_grad():
        denoiser(torch.zeros(FRAME.shape), torch.ones(1))
    assert tuning == [True, users]


def test_one_thread_at_a_time_turns_tuning_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that overlapped might leave it on."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    first_in, first_may_go, second_in = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with cuda.tuning():
            first_in.set()
            first_may_go.wait(10)

    def second() -> None:
        with cuda.tuning():
            second_in.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert first_in.wait(10)
    threads[1].start()
    assert not second_in.wait(0.1)
    first_may_go.set()
    for thread in threads:
        thread.join(10)
    assert torch.backends.cudnn.benchmark is False
    with pytest.raises(KeyError), cuda.tuning():
        raise KeyError
    assert torch.backends.cudnn.benchmark is False


@pytest.mark.usefixtures("gpu")
def test_it_says_how_many_norms_are_fused(prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = opened(prior).describe()["norms"]
    assert plain["fused"] == 0
    assert plain["plain"] > 2
    # As if one of them had come in another layout than the others.
    decisions = iter([False, *[True] * (plain["plain"] - 1)])
    monkeypatch.setattr(norm, "fused_runs", lambda *tensors: next(decisions))
    from lmaps.kernels import group_norm, modulate

    monkeypatch.setattr(modulate, "apply", lambda x, *rest, **options: x)
    monkeypatch.setattr(group_norm, "apply", lambda x, *rest, **options: x)
    assert opened(prior).describe()["norms"] == {"fused": plain["plain"] - 1, "plain": 1}


def test_norms_are_counted_where_it_was_asked_for() -> None:
    x, layer = torch.randn(1, 4, 3, 3), nn.GroupNorm(2, 4)
    found: list[dict[str, int]] = []

    def elsewhere() -> None:
        with norm.counts() as other:
            norm.norm_scale_shift_silu(x, layer)
        found.append(other)

    with norm.counts() as outer:
        norm.norm_scale_shift_silu(x, layer)
        with norm.counts() as inner:
            norm.scale_shift_silu(x, torch.ones(1, 4), torch.ones(1, 4))
            norm.norm_scale_shift_silu(x, layer)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    norm.norm_scale_shift_silu(x, layer)
    assert [c["plain"] for c in (outer, inner, *found)] == [1, 2, 1]


def test_counting_does_not_break_a_compiled_network() -> None:
    """One graph, and nothing counted: its compiler decides how it runs."""
    layer = nn.GroupNorm(2, 4)
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(lambda x: norm.norm_scale_shift_silu(x, layer), backend=backend, fullgraph=True)
    with norm.counts() as found, torch.no_grad():
        compiled(torch.randn(1, 4, 3, 3))
    assert len(graphs) == 1
    assert found == {"fused": 0, "plain": 0}
