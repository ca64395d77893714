"""The search for settings, on scores whose best row is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bench import tune
from lmaps.engine import presets, tasks
from lmaps.engine.presets import Preset

START = Preset(steps=20, inner_steps=100, eta=0.02, k1=0.25, k2=50.0, sigma_max=1.0, sigma_min=0.05)


def hill(row: Preset) -> float:
    """Highest at sigma_max = 2.5, sigma_min = 0.02, k1 = 0.7, k2 = 12, whatever K is."""
    wanted = {"sigma_max": 2.5, "sigma_min": 0.02, "k1": 0.7, "k2": 12.0}
    return 30 - sum(math.log(getattr(row, name) / value) ** 2 for name, value in wanted.items())


def test_coordinate_search_climbs_to_the_top_and_every_yield_is_better() -> None:
    found = list(tune.coordinate_search(START, hill, rounds=3))
    best, score = found[-1]
    assert (best.sigma_max, best.sigma_min, best.k1, best.k2) == (2.5, 0.02, 0.7, 12.0)
    assert score == pytest.approx(30)
    assert [s for _, s in found] == sorted(s for _, s in found)
    assert best.steps == START.steps


def test_a_noise_range_never_turns_over() -> None:
    narrow = replace(START, sigma_max=0.2, sigma_min=0.15)
    for row, _ in tune.coordinate_search(narrow, lambda row: row.sigma_min - row.sigma_max, rounds=2):
        assert row.sigma_max > row.sigma_min


def test_k_falls_while_nothing_is_lost() -> None:
    row, score = tune.fewest_inner_steps(START, 30.0, lambda row: 30 - 0.2 / row.inner_steps)
    assert row == replace(START, inner_steps=20)  # 10 would cost 0.02 dB
    assert score == pytest.approx(29.99)


def test_k_stays_where_fewer_cost_something() -> None:
    assert tune.fewest_inner_steps(START, 30.0, lambda row: 30 - 2 / row.inner_steps) == (START, 30.0)


def test_k_ends_at_the_bottom_of_its_ladder() -> None:
    row, _ = tune.fewest_inner_steps(START, 30.0, lambda row: 30.0)
    assert row.inner_steps == min(tune.LADDERS["inner_steps"])


@pytest.mark.parametrize(
    ("task", "work"), [("sr4", False), ("deblur-gaussian", False), ("deblur-motion", True), ("jpeg", True)]
)
def test_in_a_basis_of_its_own_k_is_free(task: str, work: bool) -> None:
    row = presets.load("photo", task)
    assert row is not None
    truth = torch.zeros(1, 3, 64, 64)
    bench = tune.Bench(tasks.build(task), lambda x, sigma: x, truth, truth, eta_k2=1.0)
    assert bench.steps_are_work(row) is work
