"""Settings of the classical methods: chosen on training photographs, kept in `tuned.toml`, fixed from then on."""

from __future__ import annotations

import statistics
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .cases import SIGMA_Y, Case
from .measurement import Measurement, Method, Pixels

TUNED = Path(__file__).parent / "tuned.toml"
NOISE_SEED = 1


def psnr(x: Pixels, truth: Tensor) -> float:
    """dB of x [H, W, 3] in [0, 1], clipped, against truth [1, 3, H, W] in [-1, 1]."""
    wanted = (truth[0].permute(1, 2, 0).double().numpy() + 1) / 2
    return float(-10 * np.log10(np.mean((x.clip(0, 1) - wanted) ** 2)))


def measurements(case: Case, pictures: Sequence[Tensor]) -> list[Measurement]:
    """Picture i [1, 3, H, W] measured by the case's i-th operator, with noise that belongs to tuning alone."""
    made = []
    for index, picture in enumerate(pictures):
        operator = case.build(index)
        y = operator.degrade(picture, SIGMA_Y, seed=1_000_000 * NOISE_SEED + index)
        made.append(Measurement.of(y, operator, SIGMA_Y))
    return made


def best_settings(method: Method, score: Callable[[Mapping[str, Any]], float]) -> tuple[dict[str, Any], float]:
    """Walk one setting at a time up and down its ladder while the score rises, until a whole round changes nothing."""
    at = {name: len(ladder) // 2 for name, ladder in method.grid.items()}
    scores: dict[tuple[int, ...], float] = {}

    def value(place: Mapping[str, int]) -> float:
        key = tuple(place.values())
        if key not in scores:
            scores[key] = score({name: method.grid[name][i] for name, i in place.items()})
        return scores[key]

    best, improved = value(at), True
    while improved:
        improved = False
        for name, ladder in method.grid.items():
            for direction in (1, -1):
                while 0 <= at[name] + direction < len(ladder):
                    moved = {**at, name: at[name] + direction}
                    if value(moved) <= best:
                        break
                    at, best, improved = moved, value(moved), True
    return {name: method.grid[name][i] for name, i in at.items()}, best


def at_an_end(method: Method, chosen: Mapping[str, Any]) -> list[str]:
    """The settings whose ladder ends at the value chosen: what lies beyond was not tried."""
    return [name for name, ladder in method.grid.items() if len(ladder) > 1 and chosen[name] in (ladder[0], ladder[-1])]


def tune(case: Case, method: Method, pictures: Sequence[Tensor]) -> tuple[dict[str, Any], float]:
    """The settings with the best mean PSNR over `pictures`, and that PSNR."""
    given = measurements(case, pictures)

    def score(settings: Mapping[str, Any]) -> float:
        return statistics.mean(psnr(method.run(m, **settings), x) for m, x in zip(given, pictures, strict=True))

    return best_settings(method, score)


def runnable(method: Method) -> bool:
    """The packages it needs are installed."""
    return all(find_spec(package) is not None for package in method.needs)


def settings(case: str, method: Method) -> dict[str, Any]:
    """The tuned settings of a method. Raises KeyError, with the mend, where it has a grid and was never tuned."""
    if not method.grid:
        return {}
    found = _table().get(case, {}).get(method.name)
    if found is None:
        raise KeyError(f"{method.name!r} was never tuned for {case!r}: run python -m bench.classical --photos FOLDER")
    return {name: found[name] for name in method.grid}


def to_toml(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """{case: {method: {setting: value}}} as TOML; numbers and nothing else."""
    lines = []
    for case, methods in table.items():
        lines.append(f"[{case}]")
        for method, found in methods.items():
            values = ", ".join(f"{name} = {value!r}" for name, value in found.items())
            lines.append(f'"{method}" = {{ {values} }}')
        lines.append("")
    return "\n".join(lines)


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    return tomllib.loads(TUNED.read_text(encoding="utf-8"))
