"""The captured step on a GPU: replays, threads, engines beside each other, the eager path and the CPU's answer."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps import operators
from lmaps.engine import restorer
from lmaps.engine.graph_cache import GraphCache
from lmaps.engine.operators import Operator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SIZE = (64, 64)
OPTIONS: dict[str, Any] = {"size": SIZE, "steps": 6, "device": "cuda", "precision": "float32", "backend": "torch"}


class Softened(Operator):
    """Differentiable, and with nothing but a forward."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(0.8 * x + 0.1 * x.roll(1, -1))


OPERATORS: dict[str, Operator] = {
    "sr4": operators.SuperResolution(4),
    "inpaint-random": operators.Inpainting.random(),
    "denoise": operators.Denoise(),
    "deblur-gaussian": operators.GaussianBlur(21, 2.0),
    "deblur-circular": operators.Blur(torch.arange(15.0).reshape(5, 3) / 105, "circular"),
    "deblur-motion": operators.MotionBlur(15),
    "hdr": operators.HDR(),
    "jpeg": operators.JPEG(20),
    "quantize": operators.Quantize(3),
    "phase-retrieval": operators.PhaseRetrieval(),
    "deblur-nonlinear": operators.NonlinearBlur(),
    "own": Softened(),
}
# A quantiser jumps: a rounding difference may put a value on the other side of a step.
JUMPS = ("jpeg", "quantize")


@pytest.fixture(autouse=True)
def _fresh_recordings() -> Iterator[None]:
    """No test's recordings count against another's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restorer, "_recordings", GraphCache())
        yield


@pytest.fixture(autouse=True)
def _exact_float32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def pictures(count: int, seed: int = 0) -> Tensor:
    small = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size=SIZE, mode="bicubic").clamp(0, 1) * 2 - 1


def measured(name: str, count: int = 1, seed: int = 0) -> Tensor:
    return OPERATORS[name].degrade(pictures(count, seed), 0.05, seed)


def compiled(name: str, **changes: Any) -> lmaps.Restorer:
    return lmaps.compile(OPERATORS[name], **{**OPTIONS, **changes})


@pytest.mark.parametrize("name", OPERATORS)
def test_graph_loop_and_eager_give_one_image_and_the_cpus(name: str) -> None:
    y = measured(name, 3)
    results = {g: compiled(name, batch=2, graph=g)(y, seed=11) for g in (True, "loop", False)}
    assert results[True].stats["graph"] == "step"
    assert results["loop"].stats["graph"].startswith("loop: ")
    assert results[False].stats["graph"] == "off: not asked for"
    allowed = 1e-3 if name in JUMPS else 1e-5
    for graph in (True, "loop"):
        assert (results[graph].image - results[False].image).abs().mean() < allowed, graph
    here = compiled(name, batch=2, device="cpu")(y, seed=11)
    assert (results[False].image.cpu() - here.image).abs().mean() < max(allowed, 2e-4)
    assert results[True].status == here.status == "ok"
    assert results[True].stats["peak_bytes"] > 0


@pytest.mark.parametrize("name", ["sr4", "deblur-motion", "jpeg", "phase-retrieval", "deblur-nonlinear"])
def test_a_hundred_replays_are_one_image(name: str) -> None:
    plan, y = compiled(name, precision="auto"), measured(name)
    first = plan(y, seed=1).image
    for _ in range(100):
        assert torch.equal(plan(y, seed=1).image, first)
    assert not torch.equal(plan(y, seed=2).image, first)


def test_eight_threads_with_fifty_requests_each_equal_the_serial_results() -> None:
    """On two restorers; half of the threads on streams of their own."""
    names = ("sr4", "hdr")
    plans = [compiled(name) for name in names]
    inputs = [[measured(name, 1, seed) for seed in range(5)] for name in names]
    expected = {(p, i): plans[p](inputs[p][i], seed=i).image for p in range(2) for i in range(5)}
    wrong: list[tuple[int, int]] = []
    done: list[int] = []

    def work(thread: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream() if thread % 2 else torch.cuda.default_stream()):
            for request in range(50):
                p, i = (thread + request) % 2, (thread + 3 * request) % 5
                if not torch.equal(plans[p](inputs[p][i], seed=i).image, expected[p, i]):
                    wrong.append((p, i))
                done.append(thread)

    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(done) == 400


def test_recording_leaves_other_threads_their_gpu() -> None:
    """A restorer runs in one thread while others are compiled in two more."""
    plan, y = compiled("sr4"), measured("sr4")
    expected = plan(y, seed=3).image
    stop, failures = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            while not stop.is_set():
                assert torch.equal(plan(y, seed=3).image, expected)
                # Not random: torch's own generator belongs to whoever records.
                a = torch.full((256, 256), 0.5, device="cuda")
                float((a @ a).sum())
        except BaseException as error:
            failures.append(error)

    def record(name: str) -> None:
        try:
            for _ in range(3):
                compiled(name, graph=True)(measured(name))
        except BaseException as error:
            failures.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    recorders = [threading.Thread(target=record, args=(name,)) for name in ("hdr", "inpaint-random")]
    for thread in recorders:
        thread.start()
    for thread in recorders:
        thread.join()
    stop.set()
    runner.join()
    assert not failures, failures


def test_the_least_used_recording_makes_room_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restorer, "_recordings", GraphCache(2))
    plans = [compiled("sr4"), compiled("hdr")]
    expected = plans[0](measured("sr4")).image
    with pytest.warns(RuntimeWarning, match="more than 2 restorations"):
        plans.append(compiled("jpeg"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plans[1](measured("hdr"))
        assert torch.equal(plans[0](measured("sr4")).image, expected)


def test_progress_cancelling_and_ownership() -> None:
    plan, y = compiled("sr4"), measured("sr4")
    seen: list[Tensor] = []
    whole = plan(y, callback=lambda p: seen.append(p.x0))
    assert len(seen) == 6
    assert torch.equal(((seen[-1] + 1) / 2).clamp(0, 1), whole.image)
    kept = whole.image.clone()
    part = plan(y, callback=lambda p: p.step < 2)
    assert (part.status, part.stats["steps"]) == ("cancelled", 2)
    assert torch.equal(((seen[1] + 1) / 2).clamp(0, 1), part.image)
    assert torch.equal(whole.image, kept)
    looped = compiled("sr4", graph="loop")
    assert torch.equal(looped(y, callback=lambda p: None).image, looped(y).image)


def test_divergence_is_seen_without_a_callback() -> None:
    plan = compiled("hdr", eta=1e30)
    result = plan(measured("hdr"))
    assert result.stats["graph"] == "step"
    assert result.status == "diverged"
    assert torch.isfinite(result.image).all()


def test_noise_and_transition_are_those_of_the_cpu() -> None:
    from lmaps.engine.noise import standard_normal

    seeds = (0, 7, 2**63 - 1, 2**63 + 5)
    there = standard_normal((3, 16, 20), seeds, step=5, device="cuda")
    assert (there.cpu() - standard_normal((3, 16, 20), seeds, step=5)).abs().max() < 1e-5
