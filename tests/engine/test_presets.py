"""Table 4 as data, and what is derived from it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lmaps.engine import presets, settings, tasks
from lmaps.engine.operators import HDR, Blur, GaussianBlur, Inpainting, LinearOperator, MotionBlur, Operator

# Table 4 of the paper, typed again: N, K, eta, k1, k2.
TABLE_4 = {
    "sr4": (200, 100, 0.05, 0.15, 20),
    "inpaint-box": (200, 100, 0.02, 0.5, 50),
    "inpaint-random": (200, 100, 0.01, 0.22, 100),
    "deblur-gaussian": (200, 100, 0.01, 0.22, 100),
    "deblur-motion": (200, 100, 0.01, 0.25, 100),
    "phase-retrieval": (200, 100, 0.1, 10, 0.3),
    "deblur-nonlinear": (200, 100, 0.02, 0.05, 1),
    "hdr": (200, 100, 0.04, 0.2, 10),
    "jpeg": (200, 100, 0.2, 0.5, 5),
    "quantize": (200, 20, 0.2, 0.5, 5),
}


SCIENCE = {
    "scattering-360": (200, 50, 1, 0, 5000),
    "scattering-180": (200, 50, 1, 0, 10000),
    "scattering-60": (200, 50, 1, 0, 30000),
    "mri-4-noiseless": (200, 100, 0.01, 0, 100),
    "mri-4-raw": (200, 100, 0.01, 0.4, 150),
    "mri-8-noiseless": (200, 100, 0.01, 0.4, 150),
    "mri-8-raw": (200, 100, 0.01, 0.4, 150),
    "blackhole-100": (100, 200, 0.01, 0.1, 0.01),
    "blackhole-10": (100, 200, 0.005, 0.1, 0.03),
    "blackhole-3": (100, 200, 0.01, 0.05, 0.05),
}


@pytest.mark.parametrize("task", [*TABLE_4, *SCIENCE])
def test_paper_rows_are_table_4(task: str) -> None:
    row = presets.load("paper", task)
    assert row is not None
    assert (row.steps, row.inner_steps, row.eta, row.k1, row.k2) == {**TABLE_4, **SCIENCE}[task]
    assert (row.sigma_max, row.sigma_min) == (100.0, 0.1)


def test_every_row_belongs_to_a_task() -> None:
    for name in presets.names():
        assert set(presets.rows(name)) <= {*tasks.TASKS, *SCIENCE}


def test_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="unknown preset 'papers'"):
        presets.load("papers", "sr4")


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05, 0.5])
@pytest.mark.parametrize("task", TABLE_4)
def test_other_noise_levels_keep_the_step_stable(task: str, noise: float) -> None:
    row = presets.load("paper", task)
    assert row is not None
    scaled = row.for_noise(noise)
    assert scaled.eta <= 1
    assert scaled.eta * scaled.k2 <= row.eta * row.k2 * (1 + 1e-12)
    assert (scaled.k2 >= row.k2) == (noise <= 0.05)


class Doubled(LinearOperator):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def chosen(operator: Operator, noise: float | None = None) -> presets.Preset:
    return settings.choose(
        operator,
        None,
        preset="paper",
        tuned="photo",
        noise=noise,
        largest=lambda: settings.largest_eigenvalue(operator, (1, 3, 16, 16)),
    )


def test_an_operator_without_a_row_gets_a_stable_step() -> None:
    row = chosen(Doubled())
    assert row.eta * row.k2 * 4 == pytest.approx(1.0, rel=1e-3)


def test_an_operator_of_ones_own_with_only_forward_gets_one_too() -> None:
    class Cube(Operator):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * x**3

    assert 0 < chosen(Cube(), noise=0.1).eta <= 1


@pytest.mark.parametrize(("tuned", "name"), [(None, "paper"), ("photo", "photo"), ("paper", "paper")])
def test_auto_is_the_preset_that_the_prior_names(tuned: str | None, name: str) -> None:
    row = settings.choose(HDR(), "hdr", preset="auto", tuned=tuned, noise=None, largest=None)
    assert row == presets.load(name, "hdr")


def test_the_largest_eigenvalue_is_asked_for_once_and_only_where_it_matters() -> None:
    def never() -> float:
        raise AssertionError("not needed")

    assert settings.choose(HDR(), "hdr", preset="paper", tuned="photo", noise=None, largest=never).eta > 0
    row = presets.load("paper", "deblur-motion")
    assert row is not None
    other = settings.choose(MotionBlur(), "deblur-motion", preset="paper", tuned="photo", noise=None, largest=None)
    assert (other.sigma_max, other.eta) == (row.sigma_max, row.eta)


def test_the_nearest_row_is_taken_for_operators_of_a_kind() -> None:
    assert settings.resolve("sr4")[1] == "sr4"
    assert settings.resolve(GaussianBlur())[1] == "deblur-gaussian"
    assert settings.resolve(Blur(torch.ones(3, 3) / 9))[1] == "deblur-motion"
    assert settings.resolve(Inpainting.random())[1] == "inpaint-random"
    assert settings.resolve(Doubled())[1] is None
    with pytest.raises(TypeError, match="int"):
        settings.resolve(3)  # type: ignore[arg-type]


def test_power_iteration_finds_the_largest_eigenvalue() -> None:
    assert settings.largest_eigenvalue(Doubled(), (1, 3, 8, 8)) == pytest.approx(4.0, rel=1e-4)


def test_tasks_build_and_name_what_is_wrong() -> None:
    for name in tasks.TASKS:
        assert isinstance(tasks.build(name), Operator)
    with pytest.raises(ValueError, match="did you mean 'deblur-motion'"):
        tasks.build("deblur-moton")
    with pytest.raises(TypeError, match="sr4"):
        tasks.build("sr4", mask=torch.ones(4, 4))
