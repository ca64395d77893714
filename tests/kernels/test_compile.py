"""Every kernel compiled for sm_80 and sm_90 without a GPU, at the tile it runs with, against its register budget.

`registers.toml` holds the budgets. They belong to one version of Triton: others allocate differently.
"""

import tomllib
from pathlib import Path

import pytest
import torch

from lmaps.kernels import _triton
from lmaps.kernels.cases import all_cases
from lmaps.kernels.offline import Resources, compile_launch

triton = pytest.importorskip("triton")
BUDGETS = tomllib.loads((Path(__file__).parent / "registers.toml").read_text())
VERSION = BUDGETS.pop("triton")

pytestmark = [
    pytest.mark.skipif(_triton.interpreted(), reason="interpreted kernels cannot be compiled"),
    pytest.mark.skipif(not triton.__version__.startswith(VERSION), reason=f"the budgets are for Triton {VERSION}"),
]


@pytest.fixture(scope="module")
def cases() -> dict[str, _triton.Launch]:
    return {case.name: case for case in all_cases("cpu", 1, small=False)}


def _compiled(case: object, capability: int) -> list[Resources]:
    with _triton.recording() as launches:
        case.kernel(torch.empty_like(case.like))
    different = {str((launch.kernel, sorted(launch.options.items()))): launch for launch in launches}
    return [compile_launch(launch, capability) for launch in different.values()]


def _parameters() -> list[object]:
    """Slow: the larger kernels for the older GPU, MRI (whose small sizes compile below), the tensor-core variants."""
    found = []
    for name, budget in BUDGETS.items():
        large = budget["registers"] > 130
        for capability in (80, 90):
            slow = "tf32x3" in name or name.startswith(("MRI", "JPEG 4:2:2")) or (large and capability == 80)
            marks = [pytest.mark.slow] if slow else []
            found.append(pytest.param(name, capability, marks=marks, id=f"{name} sm_{capability}"))
    return found


@pytest.mark.parametrize(("name", "capability"), _parameters())
def test_registers_and_spills(cases: dict[str, object], name: str, capability: int) -> None:
    for used in _compiled(cases[name], capability):
        assert used.registers <= BUDGETS[name]["registers"], used
        assert used.stack <= BUDGETS[name].get("stack", 0), used
        assert used.shared <= 99 * 1024, used


POINTWISE = ("mask", "spectral", "HDR", "quantise", "transition", "JPEG 4:2:0")


@pytest.mark.parametrize("name", [name for name in BUDGETS if name.startswith(POINTWISE)])
def test_pictures_are_read_and_written_16_bytes_at_a_time(cases: dict[str, object], name: str) -> None:
    """At least what the kernel stores, and two of what it loads."""
    assert all(used.wide >= 3 for used in _compiled(cases[name], 90))


def test_every_case_has_a_budget(cases: dict[str, object]) -> None:
    assert set(cases) == set(BUDGETS)


def test_only_the_tensor_core_variants_may_spill() -> None:
    assert all("stack" not in budget for name, budget in BUDGETS.items() if "tf32x3" not in name)


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("padding", ["zero", "reflect", "circular", "replicate"])
def test_no_padding_spills(padding: str, capability: int) -> None:
    from lmaps.kernels import blur

    x = torch.zeros(1, 3, 256, 256)
    for side in (3, 61):
        with _triton.recording() as launches:
            blur.measure(x, blur.plan(torch.ones(side, side), padding))
            blur.adjoint(x, blur.plan(torch.ones(side, side), padding))
        assert all(compile_launch(launch, capability).stack == 0 for launch in launches)


@pytest.mark.parametrize("capability", [80, pytest.param(90, marks=pytest.mark.slow)])
def test_sizes_of_one_compile(capability: int) -> None:
    """Triton turns an argument of 1 into a constant, which has no methods: kernels must not ask it for any."""
    from lmaps.kernels import (
        blur,
        group_norm,
        jpeg,
        mask,
        modulate,
        mri,
        phase_retrieval,
        pointwise,
        schedule,
        separable,
        spectral,
        stencil,
        transition,
    )

    one, two = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 2, 2)
    rows, seeds = schedule.table(r=0.5, k2=1, eta=1), torch.zeros(1, dtype=torch.int64)
    block = torch.zeros(1, 3, 8, 8)
    maps = torch.ones(1, 1, 32, 32, dtype=torch.complex64)
    with _triton.recording() as launches:
        mask.steps(one, one, one, rows, 0, 1)
        spectral.apply(one, one, one, rows, 0, 1)
        pointwise.hdr(one, one, rows, 0, 1)
        pointwise.quantise(one, one, rows, 0, 1)
        transition.apply(one, seeds, rows, 0, x=one, stream=1, scaled=one.clone())
        group_norm.apply(one, 1, torch.ones(1), torch.ones(1))
        group_norm.apply(one, 1, torch.ones(1), torch.ones(1), small=0)
        modulate.apply(one, torch.ones(1, 1), torch.ones(1, 1))
        blur.steps(
            two[..., :1].contiguous(), two[..., :1].contiguous(), blur.plan(torch.ones(1, 1), "zero"), rows, 0, 1
        )
        stencil.steps(two, two.clone(), stencil.plan(blur.plan(torch.ones(1, 1)), 2, 2), rows, 0, 1)
        separable.steps(one, one.clone(), separable.plan(torch.ones(1, 1), torch.ones(1, 1)), rows, 0, 1)
        phase_retrieval.steps(one, torch.ones(1, 1, 32, 17), phase_retrieval.plan(32, 32), rows, 0, 2)
        mri.steps(
            torch.zeros(1, 2, 32, 32), mri.measurement(maps), mri.plan(maps, torch.ones(1, 1, 32, 32)), rows, 0, 2
        )
        jpeg.steps(block, block, jpeg.plan(torch.ones(3, 8, 8), "4:4:4"), rows, 0, 1)
    assert len(launches) > 13
    for launch in launches:
        compile_launch(launch, capability)
