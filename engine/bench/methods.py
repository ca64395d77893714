"""A method of a comparison: a solver, and what is set otherwise than by default, as one word a person can type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import solvers

# Set for `compile` itself; everything else is an option of the solver.
COMPILING = ("steps", "backend", "precision", "preset")
# On which noise levels it runs: see `grids`.
GRID = ("grid", "sigma_max", "sigma_min")
# The row that no solver makes: the operator's own picture of the measurement (its pseudo-inverse where it has one).
START = "start"


@dataclass(frozen=True)
class Method:
    """label: as typed, "daps:steps=200,chain=loop".   solver: its name.   given: what stands behind the colon."""

    label: str
    solver: str
    given: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def compiling(self) -> dict[str, Any]:
        """steps, backend, precision, preset, as far as they are given."""
        return {key: value for key, value in self.given.items() if key in COMPILING}

    @property
    def options(self) -> dict[str, Any]:
        """Options of the solver."""
        return {key: value for key, value in self.given.items() if key not in COMPILING + GRID}


def parse(text: str) -> Method:
    """ "sitcom:inner_steps=10,steps=5" -> Method. Raises ValueError for an unknown solver or what is not NAME=VALUE."""
    name, colon, rest = text.partition(":")
    if name != START:
        solvers.get(name)
    given = {}
    for item in rest.split(",") if colon else []:
        key, equals, value = item.partition("=")
        if not (equals and key.isidentifier() and value):
            raise ValueError(
                f"method {text!r}: {item!r} is not of the form NAME=VALUE; write for instance daps:steps=50"
            )
        given[key] = _value(value)
    if name == START and given:
        raise ValueError(f"method {text!r}: {START!r} runs nothing and takes no options")
    return Method(text, name, given)


def everything() -> list[Method]:
    """What is compared unless said otherwise: the measurement's own picture and every solver."""
    return [parse(name) for name in (START, *solvers.available())]


def _value(text: str) -> int | float | bool | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
