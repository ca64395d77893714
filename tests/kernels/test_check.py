"""`python -m lmaps.kernels.check`: what it says and with which exit code, and that it judges before it times."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lmaps.kernels import check, timing
from lmaps.kernels.cases import Case

pytest.importorskip("triton")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "lmaps.kernels.check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_without_a_gpu_it_says_so() -> None:
    run = _run()
    assert run.returncode == 2
    assert "no GPU" in run.stderr


def test_on_the_cpu_it_checks_and_writes_a_report(tmp_path: Path) -> None:
    run = _run("--cpu", "--only", "mask", "-o", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads((tmp_path / "kernels.json").read_text())
    assert [row["passed"] for row in report["kernels"]] == [True, True]
    assert all(0 < row["error"] < 2e-6 for row in report["kernels"])


@pytest.mark.slow
def test_on_the_cpu_every_kernel_passes() -> None:
    run = _run("--cpu")
    assert run.returncode == 0, run.stdout + run.stderr


def _case() -> Case:
    exact = torch.arange(100, dtype=torch.float64)
    return Case(
        "ramp", lambda out: out.copy_(exact), lambda: exact, lambda: exact, torch.zeros(100), 800, 100, {}, ({},)
    )


def test_a_wrong_kernel_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []
    monkeypatch.setattr(check, "captured_time", lambda call: timed.append(call) or timing.Time(2.0, 2.0, 2.0))
    assert check.check_case(_case(), 1, True, False).kernel_us == 2.0
    assert len(timed) == 2
    for wrong in (lambda out: out.copy_(torch.arange(100) * (1 + 1e-5)), lambda out: out):
        row = check.check_case(replace(_case(), kernel=wrong), 1, True, False)
        assert not row.passed
        assert row.kernel_us is None
    assert len(timed) == 2


def test_a_kernel_that_raises_is_reported_and_the_rest_goes_on() -> None:
    def raises(out: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of resources")

    row = check.check_case(replace(_case(), kernel=raises), 1, True, False)
    assert not row.passed
    assert "out of resources" in row.note
    assert "out of resources" in check.table([row], {})


def test_tipped_values_are_counted_apart() -> None:
    exact = torch.zeros(1000, dtype=torch.float64) + 1
    out = exact.float()
    out[:5] += 0.5
    error, flips = check.compare(out, exact, smooth=False)
    assert error == 0
    assert flips == pytest.approx(0.005)
    assert check.compare(out, exact, smooth=True)[0] > 0.01


def test_the_choice_needs_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="choose one of kernel, torch"):
        timing.fastest({"kernel": lambda: torch.ones(1), "torch": lambda: torch.ones(1)}, lambda: torch.ones(1))


class OutOfResources(Exception):
    """As Triton's: no RuntimeError."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU on which a way takes as many microseconds as its result has entries."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(timing, "captured_time", lambda way: timing.Time(float(way().numel()), 0.0, 0.0))


def _refused() -> torch.Tensor:
    raise OutOfResources("shared memory, Required: 300000, Hardware limit: 232448")


def _off() -> torch.Tensor:
    return torch.ones(1) * 1.1


@pytest.mark.usefixtures("clock")
def test_a_way_that_does_not_fit_the_gpu_is_passed_over() -> None:
    ways = {"ieee": _refused, "tf32x3": lambda: torch.ones(1), "torch": lambda: torch.ones(2)}
    choice = timing.fastest(ways, lambda: torch.ones(1))
    assert choice.way == "tf32x3"
    # Said though another kernel is there; a way that is only slower needs no reason.
    assert list(choice.passed_over) == ["ieee"]
    assert choice.passed_over["ieee"].startswith("OutOfResources: shared memory")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("plain", [_off, lambda: torch.ones(1)])
def test_where_no_kernel_is_right_torch_is_taken(plain: Callable[[], torch.Tensor]) -> None:
    ways = {"ieee": _refused, "tf32x3": _off, "torch fft": plain}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        choice = timing.fastest(ways, lambda: torch.ones(1))
    assert choice.way == "torch fft"
    assert choice.passed_over["tf32x3"] == "1.0e-01 off"
    if plain is _off:
        assert "ieee: OutOfResources: shared memory" in str(said[0].message)
        assert "tf32x3: 1.0e-01 off" in str(said[0].message)


@pytest.mark.usefixtures("clock")
def test_without_a_plain_way_it_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"no way is within 2e-06 .* a: OutOfResources"):
        timing.fastest({"a": _refused}, lambda: torch.ones(1))


class OnSecond:
    """A tensor on the GPU that is not the current one."""

    is_cuda, device = True, torch.device("cuda", 1)

    def double(self) -> "OnSecond":
        return self


@pytest.mark.usefixtures("clock")
def test_ways_are_timed_on_the_gpu_of_their_result(monkeypatch: pytest.MonkeyPatch) -> None:
    current, timed = [torch.device("cuda", 0)], []

    @contextmanager
    def device(wanted: torch.device) -> Iterator[None]:
        current.append(wanted)
        yield
        current.pop()

    def clock(way: Callable[[], torch.Tensor]) -> timing.Time:
        timed.append(current[-1])
        return timing.Time(1.0, 1.0, 1.0)

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(timing, "captured_time", clock)
    monkeypatch.setattr(timing, "_relative", lambda value, reference: 0.0)
    timing.fastest({"ieee": lambda: torch.ones(1)}, OnSecond)
    assert timed == [torch.device("cuda", 1)]
