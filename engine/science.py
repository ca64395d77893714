"""Which row of Table 4 a scientific operator is run with: they have several a task."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .operators import MRI, BlackHole, InverseScattering, Operator

RECEIVERS: dict[float, str] = {360: "scattering-360", 180: "scattering-180", 60: "scattering-60"}
TRANSMITTERS, SIDE = 20, 128
ACCELERATIONS: dict[float, str] = {4: "mri-4", 8: "mri-8"}
FRACTIONS: dict[float, str] = {1.0: "blackhole-100", 0.1: "blackhole-10", 0.03: "blackhole-3"}


def row_of(operator: Operator, noise: float | None) -> str | None:
    """The row's name, the nearest one for set-ups between the paper's; None for an operator that is not scientific.

    MRI of noise 0, as simulated, has rows of its own; every other, and of a noise that nobody said, is taken for a scanner's.
    """
    if isinstance(operator, InverseScattering):
        return _nearest(RECEIVERS, operator.receivers)
    if isinstance(operator, MRI):
        return f"{_nearest(ACCELERATIONS, operator.acceleration)}-{'noiseless' if noise == 0 else 'raw'}"
    if isinstance(operator, BlackHole):
        return _nearest(FRACTIONS, operator.fraction)
    return None


def as_published(operator: Operator) -> bool:
    """False for a scattering set-up that the paper has no row for: its k2 follows from eta k2 L = 1."""
    if not isinstance(operator, InverseScattering):
        return True
    return operator.receivers in RECEIVERS and (operator.transmitters, operator.side) == (TRANSMITTERS, SIDE)


def _nearest(rows: Mapping[float, str], value: float) -> str:
    """By ratio, not by difference."""
    return rows[min(rows, key=lambda key: abs(math.log(key / value)))]
