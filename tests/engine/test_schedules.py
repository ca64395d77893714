"""Noise grids against values read off the reference implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps.engine import schedules


def test_edm_is_the_daps_grid() -> None:
    """First and last levels as the DAPS configuration gives them for 200 steps."""
    s = schedules.edm(200)
    assert len(s) == 201
    assert s[:3].tolist() == pytest.approx([100.0, 97.83, 95.69], abs=0.01)
    assert s[198:].tolist() == pytest.approx([0.1124, 0.1060, 0.0], abs=1e-4)


def test_ddpm_levels() -> None:
    betas = np.linspace(1e-4, 2e-2, 1000)
    abar = np.cumprod(1 - betas)
    assert schedules.ddpm_sigmas().numpy() == pytest.approx(np.sqrt((1 - abar) / abar), rel=1e-9)
    assert schedules.ddpm_sigmas()[[0, 999]].tolist() == pytest.approx([0.0100, 157.4], rel=1e-3)


@pytest.mark.parametrize("steps", [1, 3, 20, 1000])
def test_ddim_starts_at_the_last_time_and_ends_with_zero(steps: int) -> None:
    s = schedules.validated(schedules.ddim(steps))
    assert len(s) == steps + 1
    assert s[0] == schedules.ddpm_sigmas()[999]


def test_validated_accepts_a_list() -> None:
    assert torch.equal(schedules.validated([3.0, 1.0, 0.0]), torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"steps": 2.5}, {"steps": 5, "sigma_min": 0.0}, {"steps": 5, "sigma_max": 0.1}]
)
def test_bad_grids_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        schedules.edm(**bad)  # type: ignore[arg-type]


def test_ddim_has_at_most_a_thousand_steps() -> None:
    with pytest.raises(ValueError, match="1001"):
        schedules.ddim(1001)
