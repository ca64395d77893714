"""What a kernel that is passed over leaves in the stats: the reason, for all but the slower ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lmaps import operators
from lmaps.engine.local_map import LocalMAP, Strategy, build, gpu_linear, gpu_steps
from lmaps.engine.local_map import device as local_device
from lmaps.engine.operators import Blur, Operator
from lmaps.kernels import timing

SIGMAS = [3.0, 0.5, 0.1]
SHAPE = (1, 3, 16, 24)
KERNEL = torch.arange(1.0, 16.0).reshape(5, 3) / 120


class OutOfResources(Exception):
    """As Triton's: no RuntimeError."""


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU passes for a GPU with Triton, on which every way takes equally long."""
    monkeypatch.setattr(local_device, "GPU", frozenset({"cpu"}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(timing, "captured_time", lambda way: timing.Time(1.0, 1.0, 1.0))
    for module in (gpu_linear, gpu_steps):
        monkeypatch.setattr(module, "available", lambda: (True, "Triton"))


def built(operator: Operator, shape: tuple[int, ...] = SHAPE, strategy: str = "auto") -> Strategy:
    return build(operator, LocalMAP(0.4, 5.0, 0.1, 3, strategy), SIGMAS, shape)


def refused(x: Tensor) -> Tensor:
    raise OutOfResources("shared memory, Required: 300000")


@pytest.mark.parametrize(
    ("direct", "reason"),
    [
        (refused, "OutOfResources: shared memory, Required: 300000"),
        (lambda x: x * 1.1, " off"),
    ],
    ids=["raises", "wrong"],
)
def test_a_kernel_that_fails_is_named(
    direct: Callable[[Tensor], Tensor], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_linear, "direct_normal", lambda *_: direct)
    facts = built(Blur(KERNEL)).describe()
    assert (facts["strategy"], facts["kernel"]) == ("polynomial", "torch fft")
    passed_over = facts["kernels_passed_over"]
    assert isinstance(passed_over, dict)
    assert passed_over["triton blur"].endswith(reason)


def test_nothing_is_said_where_all_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Blur(KERNEL)
    monkeypatch.setattr(gpu_linear, "direct_normal", lambda *_: operator.normal)
    facts = built(operator).describe()
    assert facts["kernel"] in ("triton blur", "torch fft")
    assert "kernels_passed_over" not in facts


def test_a_size_that_the_kernels_do_not_take_is_named() -> None:
    facts = built(Blur(torch.eye(9) / 9), (1, 3, 4, 24)).describe()
    assert facts["kernel"] == "torch"
    assert "height of at least 5" in str(facts["kernels_passed_over"])
    facts = built(operators.PhaseRetrieval(), (1, 1, 23, 41)).describe()
    assert facts["kernel"] == "phase-retrieval torch"
    assert "kernels" in facts["kernels_passed_over"]  # type: ignore[operator]


def test_the_steps_pass_on_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = timing.Choice("tf32x3", {"ieee": "OutOfResources: registers"})
    monkeypatch.setattr(gpu_steps, "_quickest", lambda device, measure: measured)
    maps = torch.ones(2, 32, 32, dtype=torch.complex64) / 2
    for operator, shape, kernel in (
        (operators.PhaseRetrieval(oversample=0.0), (1, 1, 32, 64), "phase-retrieval tf32x3"),
        (operators.MRI(maps, operators.MRI.mask(32, 4)), (1, 2, 32, 32), "mri tf32x3"),
    ):
        facts = built(operator, shape, "stepped").describe()
        assert facts["kernel"] == kernel
        assert facts["kernels_passed_over"] == {"ieee": "OutOfResources: registers"}
