"""On which noise levels a method is compared: its own, those of lmaps's preset row, or a range that is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import presets, schedules
from ..presets import Preset
from ..solvers import table
from .methods import START, Method, parse

OWN, LMAPS, BOTH = "own", "lmaps", "both"
Ends = tuple[float, float]


def row(task: str, preset: str) -> Preset:
    """The row that lmaps runs a task on: that of the preset, or its deblurring row where it has none."""
    found = presets.load(preset, task) or presets.load(preset, "deblur-gaussian")
    assert found is not None
    return found


def ends(method: Method, task: str, preset: str) -> Ends | None:
    """(sigma_max, sigma_min) of the EDM grid that the method's settings ask for; None for the grid of the method's own.

    preset: the one that lmaps would take. A range of which one end is given has the other from the method's own grid.
    Raises ValueError for a range that is none.
    """
    given = method.given
    if given.get("grid") == LMAPS:
        ours = row(task, preset)
        return ours.sigma_max, ours.sigma_min
    if "sigma_max" not in given and "sigma_min" not in given:
        return None
    top, bottom = _own_ends(method.solver, task, preset)
    top, bottom = float(given.get("sigma_max", top)), float(given.get("sigma_min", bottom))
    if not top > bottom > 0:
        raise ValueError(f"method {method.label!r}: need sigma_max > sigma_min > 0, got {top:g} and {bottom:g}")
    return top, bottom


def expand(methods: Sequence[Method], grid: str) -> list[Method]:
    """The methods on their own grids, on lmaps's, or on both, a row each. A method that says its grid itself keeps it."""
    found = []
    for method in methods:
        settled = method.solver in (START, "lmaps") or {"grid", "sigma_max", "sigma_min"} & set(method.given)
        if settled or grid == OWN:
            found.append(method)
            continue
        moved = parse(f"{method.label}{',' if ':' in method.label else ':'}grid={LMAPS}")
        found += [moved] if grid == LMAPS else [method, moved]
    return list({method.label: method for method in found}.values())


def told(record: dict[str, Any]) -> str:
    """What a table says of the noise levels of a record: from, to, and whose they are."""
    if "sigma_max" not in record:
        return ""
    method = parse(record["method"])
    default = LMAPS if method.solver == "lmaps" else OWN
    whose = "given" if {"sigma_max", "sigma_min"} & set(method.given) else method.given.get("grid", default)
    return f"{record['sigma_max']:.3g} to {record['sigma_min']:.2g}, {whose}"


def levels(solver: str, task: str, steps: int | None, ends: Ends | None) -> list[float]:
    """N + 1 noise levels; for methods without a grid of their own only their number counts."""
    if ends is not None:
        return schedules.edm(1 if steps is None else steps, *ends).tolist()
    own = table.schedule(solver, task, steps)
    return [0.0] * ((steps or 0) + 1) if own is None else own.tolist()


def _own_ends(solver: str, task: str, preset: str) -> Ends:
    own = table.schedule(solver, task, None)
    if own is None:
        ours = row(task, preset)
        return ours.sigma_max, ours.sigma_min
    return float(own[0]), float(own[-2])
