"""The discrete noise levels that DDPM-like networks were trained on, as numbers and as a few words in config.json.

Step t of T mixes x_t = sqrt(abar_t) clean + sqrt(1 - abar_t) noise, with abar_t = prod_{s <= t} (1 - beta_s). In the
alpha = 1 convention of this engine (x = clean + sigma noise) that is

    sigma_t = sqrt((1 - abar_t) / abar_t)

Sources: Ho et al. 2020 (linear betas); Rombach et al. 2022 (betas linear in the square root); Nichol and Dhariwal 2021,
Eq. 17 (cosine).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .networks.preconditioning import cosine_betas, linear_betas, scaled_linear_betas

Array = NDArray[np.float64]

KINDS = ("linear", "scaled-linear", "cosine", "alphas-cumprod")
_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class NoiseSchedule:
    """A table of noise levels, made from a formula or given.

    kind:  "linear": beta rises evenly from `beta_start` to `beta_end` in `steps` steps;
           "scaled-linear": its square root does;
           "cosine": abar_t follows cos^2, betas at most 0.999; `beta_start` and `beta_end` are not used;
           "alphas-cumprod": `alphas_cumprod` itself, strictly decreasing in (0, 1). A last value of 0 (schedules with
           "zero terminal SNR") is dropped: it stands for sigma = infinity, which no restoration asks for.

    Raises ValueError or TypeError naming the field.
    """

    kind: str = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-2
    alphas_cumprod: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the schedule must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.kind == "alphas-cumprod":
            self._check_table()
            return
        if self.alphas_cumprod:
            raise ValueError(f"alphas_cumprod goes with the schedule 'alphas-cumprod', not with {self.kind!r}")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or not 2 <= self.steps <= _LONGEST:
            raise ValueError(f"the schedule's steps must be a whole number in 2 .. {_LONGEST}, got {self.steps!r}")
        if self.kind != "cosine" and not 0 < self.beta_start <= self.beta_end < 1:
            raise ValueError(
                f"the schedule needs 0 < beta_start <= beta_end < 1, got {self.beta_start!r} and {self.beta_end!r}"
            )

    def _check_table(self) -> None:
        table = np.asarray(self.alphas_cumprod, dtype=np.float64)
        if table.ndim == 1 and len(table) > 2 and table[-1] == 0:
            table = table[:-1]
        if table.ndim != 1 or not 2 <= len(table) <= _LONGEST:
            raise ValueError(f"alphas_cumprod must hold 2 .. {_LONGEST} numbers, got shape {table.shape}")
        if not (np.isfinite(table).all() and table[0] < 1 and table[-1] > 0 and (np.diff(table) < 0).all()):
            raise ValueError(
                "alphas_cumprod must fall strictly between 1 and 0 (products of 1 - beta, step 0 first); "
                f"got {table[0]:g} ... {table[-1]:g}"
            )
        object.__setattr__(self, "alphas_cumprod", tuple(float(a) for a in table))
        object.__setattr__(self, "steps", len(table))

    def betas(self) -> list[float]:
        """beta_t, t = 0 .. steps - 1."""
        if self.kind == "linear":
            return linear_betas(self.beta_start, self.beta_end, self.steps)
        if self.kind == "scaled-linear":
            return scaled_linear_betas(self.beta_start, self.beta_end, self.steps)
        if self.kind == "cosine":
            return cosine_betas(self.steps)
        products = np.asarray((1.0, *self.alphas_cumprod), dtype=np.float64)
        return (1 - products[1:] / products[:-1]).tolist()

    def table(self) -> Array:
        """abar_t, t = 0 .. steps - 1, float64."""
        return np.asarray(np.cumprod(1 - np.asarray(self.betas(), dtype=np.float64)))

    def log_sigmas(self) -> Array:
        """ln sigma_t, t = 0 .. steps - 1, float64, increasing."""
        table = self.table()
        return np.asarray(0.5 * (np.log1p(-table) - np.log(table)))

    def sigma_range(self) -> tuple[float, float]:
        """The lowest and the highest noise level."""
        logs = self.log_sigmas()
        return math.exp(logs[0]), math.exp(logs[-1])

    def to_settings(self) -> dict[str, Any]:
        """What config.json holds; `from_settings` reads it back."""
        if self.kind == "alphas-cumprod":
            return {"kind": self.kind, "alphas_cumprod": list(self.alphas_cumprod)}
        if self.kind == "cosine":
            return {"kind": self.kind, "steps": self.steps}
        return {"kind": self.kind, "steps": self.steps, "beta_start": self.beta_start, "beta_end": self.beta_end}

    @staticmethod
    def from_settings(settings: Mapping[str, Any]) -> NoiseSchedule:
        """Raises ValueError or TypeError for fields that are unknown or make no sense."""
        facts = dict(settings)
        table = facts.pop("alphas_cumprod", ())
        if not isinstance(table, list | tuple) or not all(isinstance(a, int | float) for a in table):
            raise TypeError("alphas_cumprod must be a list of numbers")
        for key in ("beta_start", "beta_end"):
            if key in facts and (isinstance(facts[key], bool) or not isinstance(facts[key], int | float)):
                raise TypeError(f"{key} must be a number, got {facts[key]!r}")
        return NoiseSchedule(**facts, alphas_cumprod=tuple(table))

    @staticmethod
    def from_betas(betas: Sequence[float]) -> NoiseSchedule:
        """The schedule of given betas, as some checkpoints carry them."""
        products = np.cumprod(1 - np.asarray(betas, dtype=np.float64))
        return NoiseSchedule(kind="alphas-cumprod", alphas_cumprod=tuple(products.tolist()))


def as_schedule(schedule: NoiseSchedule | Mapping[str, Any] | str | Sequence[float] | Any) -> NoiseSchedule:
    """A `NoiseSchedule` from itself, from a kind's name, from settings, or from a table of alphas_cumprod."""
    if isinstance(schedule, NoiseSchedule):
        return schedule
    if isinstance(schedule, str):
        return NoiseSchedule(kind=schedule)
    if isinstance(schedule, Mapping):
        return NoiseSchedule.from_settings(schedule)
    table = np.asarray(schedule, dtype=np.float64)
    if table.ndim != 1:
        raise ValueError(f"a table of alphas_cumprod has one dimension, got shape {table.shape}")
    return NoiseSchedule(kind="alphas-cumprod", alphas_cumprod=tuple(table.tolist()))
