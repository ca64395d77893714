"""The shapes an engine is built for, in the grammar of trtexec: "x:1x3x64x64,sigma:1".

A profile holds three such lists: the smallest and the largest shapes an engine accepts, and the ones it is tuned for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

_ENTRY = re.compile(r"\s*(?P<name>[^:,\s]+)\s*:\s*(?P<dims>\d+(?:x\d+)*)\s*")


@dataclass(frozen=True, slots=True)
class Profile:
    """Shapes of every input, by name: min <= opt <= max in every dimension. ValueError naming what does not fit."""

    min: Shapes
    opt: Shapes
    max: Shapes

    def __post_init__(self) -> None:
        if not self.opt or not set(self.min) == set(self.opt) == set(self.max):
            raise ValueError(
                f"min, opt and max must name the same inputs, got {sorted(self.min)}, {sorted(self.opt)} and "
                f"{sorted(self.max)}"
            )
        for name, middle in self.opt.items():
            low, high = self.min[name], self.max[name]
            if not len(low) == len(middle) == len(high):
                raise ValueError(f"the shapes of {name} must have one rank, got {_x(low)}, {_x(middle)} and {_x(high)}")
            if min(low) < 1 or any(not a <= b <= c for a, b, c in zip(low, middle, high, strict=True)):
                raise ValueError(
                    f"the shapes of {name} must be at least 1 and rise from min over opt to max, got {_x(low)}, "
                    f"{_x(middle)} and {_x(high)}"
                )

    @classmethod
    def fixed(cls, shapes: Shapes) -> Profile:
        """One shape of each input and no other."""
        return cls(shapes, shapes, shapes)

    @classmethod
    def parse(cls, opt: str, *, min: str | None = None, max: str | None = None) -> Profile:
        """From trtexec's --optShapes, --minShapes and --maxShapes; what is left out is as `opt`."""
        middle = parse_shapes(opt)
        return cls(
            min=middle if min is None else parse_shapes(min),
            opt=middle,
            max=middle if max is None else parse_shapes(max),
        )

    def accepts(self, shapes: Shapes) -> bool:
        """An engine of this profile runs these shapes."""
        return set(shapes) == set(self.opt) and all(
            len(shape) == len(self.opt[name])
            and all(a <= b <= c for a, b, c in zip(self.min[name], shape, self.max[name], strict=True))
            for name, shape in shapes.items()
        )

    def facts(self) -> dict[str, str]:
        """As text, for keys and listings."""
        return {"min": format_shapes(self.min), "opt": format_shapes(self.opt), "max": format_shapes(self.max)}


def parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """ "x:1x3x64x64,sigma:1" -> {"x": (1, 3, 64, 64), "sigma": (1,)}. ValueError naming the part that does not fit."""
    shapes: dict[str, tuple[int, ...]] = {}
    for part in text.split(","):
        match = _ENTRY.fullmatch(part)
        if match is None:
            raise ValueError(f"shapes are written name:1x3x64x64,other:1; {part.strip()!r} of {text!r} is not")
        if match["name"] in shapes:
            raise ValueError(f"{match['name']} has two shapes in {text!r}")
        shapes[match["name"]] = tuple(int(n) for n in match["dims"].split("x"))
    return shapes


def format_shapes(shapes: Shapes) -> str:
    """The inverse of `parse_shapes`, inputs in order of their names."""
    return ",".join(f"{name}:{_x(shapes[name])}" for name in sorted(shapes))


def _x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
