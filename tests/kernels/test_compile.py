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
    """The slow ones: Fourier kernels and JPEG for the older GPU, and the tensor-core variants."""
    found = []
    for name, budget in BUDGETS.items():
        for capability in (80, 90):
            slow = "tf32x3" in name or (
                budget["registers"] > 100 and (capability == 80 or name.startswith("JPEG 4:2:2"))
            )
            marks = [pytest.mark.slow] if slow else []
            found.append(pytest.param(name, capability, marks=marks, id=f"{name} sm_{capability}"))
    return found


@pytest.mark.parametrize(("name", "capability"), _parameters())
def test_registers_and_spills(cases: dict[str, object], name: str, capability: int) -> None:
    for used in _compiled(cases[name], capability):
        assert used.registers <= BUDGETS[name]["registers"], used
        assert used.stack <= BUDGETS[name].get("stack", 0), used
        assert used.shared <= 99 * 1024, used


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
