"""The captured step without a GPU: run again, and played back from a tape, it is the loop of Figure 2."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lmaps import operators, schedules
from lmaps.engine.captured import Turn
from lmaps.engine.graph import Recorder, Rerun
from lmaps.engine.local_map import device as local_device
from lmaps.engine.loop import Progress, run
from lmaps.engine.operators import LinearOperator, Operator
from lmaps.engine.recorded import Recorded
from lmaps.engine.solvers.lmaps import LMAPS

from .tape import TapeRecorder, no_reading

SIGMAS = [float(s) for s in schedules.edm(7, sigma_max=2.0, sigma_min=0.05)]
SHAPE = (2, 3, 16, 24)
SEEDS = (2**63 - 1, 2**63)


class Halved(Operator):
    """An operator with no more than a forward."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x + 0.1 * x**3


class Smeared(LinearOperator):
    """A linear operator without a cheap basis, in plain torch on every device."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x + 0.3 * x.roll(1, -1) * torch.linspace(0, 1, x.shape[-1])

    def adjoint(self, u: Tensor) -> Tensor:
        return 0.5 * u + 0.3 * (u * torch.linspace(0, 1, u.shape[-1])).roll(-1, -1)


# A strategy each, and every way to a basis.
PROBLEMS: dict[str, tuple[Operator, str, dict[str, object]]] = {
    "mask": (operators.Inpainting.random(), "spectral", {}),
    "separable": (operators.SuperResolution(4), "spectral", {}),
    "separable-exact": (operators.GaussianBlur(9, 1.0), "spectral", {"inner_steps": "exact"}),
    "circular": (operators.Blur(torch.arange(15.0).reshape(5, 3) / 105, "circular"), "spectral", {}),
    "polynomial": (Smeared(), "polynomial", {}),
    "onchip": (operators.HDR(), "onchip", {}),
    "stepped": (operators.PhaseRetrieval(), "stepped", {"eta": 0.02}),
    "autograd": (Halved(), "autograd", {}),
    "surrogate": (operators.Quantize(), "autograd", {"strategy": "autograd"}),
}
# What has a form in plain torch with its constants on the device.
IN_TORCH = [name for name in PROBLEMS if name not in ("onchip", "stepped")]


def solver(name: str, rho: float = 0.7) -> LMAPS:
    operator, strategy, changes = PROBLEMS[name]
    options = {"k1": 0.2, "k2": 10.0, "eta": 0.05, "inner_steps": 12, **changes}
    method = LMAPS(operator, SIGMAS, SHAPE, rho=rho, **options)  # type: ignore[arg-type]
    assert method.local_map.name == strategy
    return method


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return torch.tanh(x * 0.25 / (0.25 + sigma.reshape(-1, 1, 1, 1) ** 2))


def into(x: Tensor, sigma: Tensor, out: Tensor) -> None:
    out.copy_(denoise(x, sigma))


def measurement(name: str, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return PROBLEMS[name][0].degrade(torch.rand(SHAPE, generator=generator) * 2 - 1, 0.05, seed)


def recorded(method: LMAPS, y: Tensor, recorder: Recorder, *, loop: bool = False) -> Recorded:
    turn = Turn(into, method, SIGMAS, SHAPE, method.observe(y), torch.device("cpu"))
    return Recorded(turn, recorder, loop=loop)


def replay(
    name: str, recorder: Recorder, seeds: Sequence[int] = SEEDS, *, loop: bool = False, rho: float = 0.7
) -> Tensor:
    """Recorded for one measurement, and run for another."""
    method = solver(name, rho)
    made = recorded(method, measurement(name, 1), recorder, loop=loop)
    y = measurement(name)
    x, status, taken = made.run(method.observe(y), seeds)
    assert (status, taken) == ("ok", len(SIGMAS) - 1)
    return x


def plain(name: str, seeds: Sequence[int] = SEEDS, rho: float = 0.7) -> Tensor:
    return run(denoise, solver(name, rho), measurement(name), SIGMAS, SHAPE, seeds)[0]


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU plays the GPU: constants are gathered at an index that is not read."""
    monkeypatch.setattr(local_device, "GPU", frozenset({"cuda", "cpu"}))


@pytest.mark.parametrize("rho", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_turn_is_the_loop_bit_for_bit(name: str, rho: float) -> None:
    assert torch.equal(replay(name, Rerun(), rho=rho), plain(name, rho=rho))


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("loop", [False, True], ids=["step", "loop"])
@pytest.mark.parametrize("name", IN_TORCH)
def test_a_tape_of_one_step_serves_every_step(name: str, loop: bool) -> None:
    """Nothing of a step is fixed in the recording: replayed it gives what running the steps from Python gives."""
    assert torch.equal(replay(name, TapeRecorder(), loop=loop), replay(name, Rerun()))


@pytest.mark.parametrize("rho", [0.0, 1.0])
@pytest.mark.parametrize("name", IN_TORCH)
def test_constants_on_the_device_give_the_loops_image(name: str, rho: float, request: pytest.FixtureRequest) -> None:
    expected = plain(name, rho=rho)
    request.getfixturevalue("on_device")
    difference = (replay(name, Rerun(), rho=rho) - expected).abs().max()
    assert difference < (2e-4 if name == "polynomial" else 2e-5)


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("name", IN_TORCH)
def test_a_step_never_reads_the_device(name: str) -> None:
    method = solver(name)
    turn = Turn(into, method, SIGMAS, SHAPE, method.observe(measurement(name)), torch.device("cpu"))
    for kind in dict.fromkeys(turn.kinds):
        turn.rewind()
        turn.take(kind)
        with no_reading():
            turn.take(kind)


def test_the_guard_against_reading_can_fail() -> None:
    for read in (bool, float, lambda t: t.tolist(), lambda t: torch.tensor([1.0])):
        with pytest.raises(AssertionError, match="captured step"), no_reading():
            read(torch.ones(()))


@pytest.mark.usefixtures("on_device")
def test_polynomial_steps_come_in_few_kinds() -> None:
    method = solver("polynomial")
    degrees = method.describe()["degrees"]
    assert isinstance(degrees, list)
    kinds = [method.kind(i) for i in range(len(degrees))]
    assert all(k >= d for k, d in zip(kinds, degrees, strict=True))
    assert 1 < len(set(kinds)) <= 4
    assert max(kinds) == max(degrees)


def test_images_alone_equal_images_in_the_batch() -> None:
    together = replay("separable", Rerun(), (5, 9))
    swapped = replay("separable", Rerun(), (9, 5))
    assert not torch.equal(together, swapped)
    assert torch.equal(together, replay("separable", Rerun(), (5, 9)))


@pytest.mark.usefixtures("on_device")
def test_outputs_belong_to_the_caller() -> None:
    method = solver("mask")
    made = recorded(method, measurement("mask"), TapeRecorder())
    first, _, _ = made.run(method.observe(measurement("mask")), SEEDS)
    kept = first.clone()
    seen: list[Tensor] = []
    made.run(method.observe(measurement("mask", 3)), (1, 2), lambda p: seen.append(p.x0))
    assert torch.equal(first, kept)
    assert not torch.equal(seen[0], seen[-1])


def test_progress_and_cancelling_between_replays() -> None:
    method, y = solver("separable"), measurement("separable")
    expected: list[Progress] = []
    run(denoise, method, y, SIGMAS, SHAPE, SEEDS, expected.append)
    for loop in (False, True):
        made, seen = recorded(method, y, Rerun(), loop=loop), list[Progress]()
        made.run(method.observe(y), SEEDS, seen.append)
        assert [(p.step, p.steps, p.sigma) for p in seen] == [(p.step, p.steps, p.sigma) for p in expected]
        assert all(torch.equal(a.x0, b.x0) for a, b in zip(seen, expected, strict=True))
        x, status, taken = made.run(method.observe(y), SEEDS, lambda p: p.step < 3)
        assert (status, taken) == ("cancelled", 3)
        assert torch.equal(x, expected[2].x0)


@pytest.mark.parametrize("watched", [False, True])
def test_divergence_keeps_the_step_at_which_it_happened(watched: bool) -> None:
    """As the loop: the last finite estimate, and the steps up to the one whose state is not."""
    method, y = solver("mask"), measurement("mask")

    def breaks(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.where(sigma.reshape(-1, 1, 1, 1) < 0.3, torch.inf, denoise(x, sigma))

    def breaks_into(x: Tensor, sigma: Tensor, out: Tensor) -> None:
        out.copy_(breaks(x, sigma))

    seen: list[int] = []
    expected, status, steps = run(breaks, method, y, SIGMAS, SHAPE, SEEDS)
    turn = Turn(breaks_into, method, SIGMAS, SHAPE, method.observe(y), y.device)
    got = Recorded(turn, Rerun()).run(method.observe(y), SEEDS, (lambda p: seen.append(p.step)) if watched else None)
    assert status == "diverged"
    assert got[1:] == ("diverged", steps)
    assert 1 < steps < len(SIGMAS) - 1
    assert torch.equal(got[0], expected)
    assert torch.isfinite(expected).all()
    assert expected.abs().max() > 0
    assert seen == (list(range(1, steps)) if watched else [])


def test_a_callback_that_comes_back_is_refused() -> None:
    method, y = solver("mask"), measurement("mask")
    made = recorded(method, y, Rerun())
    with pytest.raises(RuntimeError, match="callback"):
        made.run(method.observe(y), SEEDS, lambda p: made.run(method.observe(y), SEEDS))
    assert made.run(method.observe(y), SEEDS)[1] == "ok"


@pytest.mark.usefixtures("on_device")
def test_threads_take_turns_on_one_recording() -> None:
    method = solver("separable")
    made = recorded(method, measurement("separable"), TapeRecorder())
    jobs = [(measurement("separable", i), (i, i + 100)) for i in range(8)]
    expected = [made.run(method.observe(y), seeds)[0] for y, seeds in jobs]
    got: dict[tuple[int, int], Tensor] = {}

    def work(i: int) -> None:
        for again in range(3):
            y, seeds = jobs[(i + again) % 8]
            got[i, again] = made.run(method.observe(y), seeds)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 24
    assert all(torch.equal(image, expected[(i + again) % 8]) for (i, again), image in got.items())


def test_a_solver_that_changes_rho_midway_is_refused() -> None:
    method = solver("mask")
    turn = Turn(into, method, SIGMAS, SHAPE, method.observe(measurement("mask")), torch.device("cpu"))
    with pytest.raises(ValueError, match="rho"):
        turn.arrive(torch.zeros(SHAPE), torch.zeros(SHAPE), 0.1)
