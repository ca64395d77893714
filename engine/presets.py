"""Settings of a task as data: `presets.toml`, and what is derived where no row covers a case."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

REFERENCE_NOISE = 0.05
# Below this share of a row's noise level the data term is not weighed any higher: measurements are seldom better, and
# 1 / sigma_y^2 explodes.
SMALLEST_SHARE = 0.2
# The lowest noise level that networks are asked about.
LOWEST_SIGMA = 0.005
Begin = Literal["noise", "measurement"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One row: N steps from sigma_max to sigma_min, K inner steps of length eta, k1 and k2 (see `local_map.LocalMAP`).

    noise: sigma_y that the row was tuned for, in the measurement's units; 0 where it holds for any.
    reach: the largest eta k2 L that is let through, L = lmax(H^T H). Gradient steps diverge from 2 on.
    begin: x at sigma_max is noise, or the measurement (a noisy picture whose sigma_y is sigma_max).
    """

    steps: int
    inner_steps: int | Literal["exact"]
    eta: float
    k1: float
    k2: float
    sigma_max: float
    sigma_min: float
    noise: float = REFERENCE_NOISE
    reach: float = 1.05
    begin: Begin = "noise"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not self.sigma_max > self.sigma_min > 0:
            raise ValueError(f"need sigma_max > sigma_min > 0, got {self.sigma_max} and {self.sigma_min}")

    def for_noise(self, noise: float) -> Preset:
        """The row for another noise level: k2 grows as 1 / sigma_y^2; eta k2 stays, as far as eta <= 1 keeps the prior's
        part of the step stable too."""
        if self.noise == 0:
            return self
        share = (self.noise / max(noise, SMALLEST_SHARE * self.noise)) ** 2
        return replace(self, k2=self.k2 * share, eta=min(self.eta / share, 1.0))

    def for_coarseness(self, scale: float) -> Preset:
        """The row for a measurement that rounds away `scale` times as much (see `Operator.coarseness`): sigma_max, sigma_min
        and k1 follow it, so that r runs through the same values."""
        if scale == 1:
            return self
        lowest = max(scale * self.sigma_min, LOWEST_SIGMA)
        return replace(self, k1=scale * self.k1, sigma_max=max(scale * self.sigma_max, 4 * lowest), sigma_min=lowest)

    def options(self) -> dict[str, object]:
        """The row as options of solver "lmaps"."""
        return {"k1": self.k1, "k2": self.k2, "eta": self.eta, "inner_steps": self.inner_steps, "begin": self.begin}


def names() -> list[str]:
    """Names that `preset=` takes."""
    return sorted(_tables())


def resolve(preset: str, tuned: str | None) -> str:
    """The preset itself; for "auto" the one that a prior names as tuned for it, or the paper's."""
    return preset if preset != "auto" else tuned or "paper"


def rows(preset: str) -> list[str]:
    """Tasks that a preset has a row for."""
    return [task for task in _tables()[_known(preset)] if task != "defaults"]


def load(preset: str, task: str) -> Preset | None:
    """The row of `task` in `preset`, or None where it has none. Raises ValueError for an unknown preset."""
    table = _tables()[_known(preset)]
    if task not in table:
        return None
    return Preset(**{**table.get("defaults", {}), **table[task]})


def derived(preset: str, largest_eigenvalue: float) -> Preset:
    """Settings for an operator that no row covers: the deblurring row with the step of `stable_step`.

    largest_eigenvalue: L = lmax(J^T J). k2 is a weight per entry of the measurement and stays; the step follows L.
    """
    row = load(preset, "deblur-gaussian")
    assert row is not None
    if not (math.isfinite(largest_eigenvalue) and largest_eigenvalue > 0):
        raise ValueError(f"lmax(J^T J) must be positive to derive a step size, got {largest_eigenvalue}")
    return replace(row, eta=stable_step(row.k2, largest_eigenvalue))


def one_call(noise: float) -> Preset:
    """Plain denoising, y = x0 + sigma_y n: y is the state at sigma_y, so x0 = D(y, sigma_y), the posterior mean. One step from
    y, whose local MAP leaves the network's answer alone (r = 0 to rounding)."""
    sigma = max(noise, LOWEST_SIGMA)
    return Preset(1, 1, 1.0, 1e9, 1.0, sigma_max=sigma, sigma_min=sigma / 2, noise=0, begin="measurement")


def borrowed(preset: str, task: str) -> Preset | None:
    """The paper's row of a task on the noise levels that a preset's prior is good at, where the preset has no row itself."""
    row, levels = load("paper", task), load(preset, "deblur-gaussian")
    if row is None or levels is None:
        return None
    return replace(row, steps=levels.steps, sigma_max=levels.sigma_max, sigma_min=levels.sigma_min)


def stable_step(k2: float, largest_eigenvalue: float) -> float:
    """eta = 1 / max(k2 L, 1), so that eta ((1 - r) + r k2 L) <= 1 at every noise level: no gradient step overshoots."""
    return 1 / max(k2 * largest_eigenvalue, 1.0)


def _known(preset: str) -> str:
    if preset not in _tables():
        raise ValueError(f"unknown preset {preset!r}, available: {', '.join(names())}")
    return preset


@cache
def _tables() -> dict[str, dict[str, dict[str, Any]]]:
    text = resources.files(__package__).joinpath("presets.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    known = {f.name for f in fields(Preset)}
    for preset, table in tables.items():
        for task, row in table.items():
            if unknown := set(row) - known:
                raise ValueError(f"presets.toml: [{preset}.{task}] has unknown entries {sorted(unknown)}")
    return tables


__all__ = ["Preset", "borrowed", "derived", "load", "names", "one_call", "resolve", "rows", "stable_step"]
