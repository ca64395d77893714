"""A run's stretches: which settings held from how many crops on. A recipe says only the last ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .recipe import Recipe


@dataclass(frozen=True, slots=True)
class Stretch:
    """`settings` of a recipe, plain values, that held from `seen` crops on."""

    seen: int
    settings: dict[str, Any]


History = tuple[Stretch, ...]


def begun(recipe: Recipe, seen: int = 0) -> History:
    """Of a run that begins, or one of which no more is known than that these settings hold at `seen` crops."""
    return (Stretch(seen, asdict(recipe)),)


def continued(history: History, recipe: Recipe, seen: int) -> History:
    """With a stretch more from `seen` crops on, where the recipe is no longer the last one's."""
    settings = asdict(recipe)
    return history if history and history[-1].settings == settings else (*history, Stretch(seen, settings))


def plain(history: History) -> list[dict[str, Any]]:
    """For JSON and for checkpoints."""
    return [asdict(stretch) for stretch in history]


def saved(state: dict[str, Any]) -> History:
    """Of a checkpoint or of what was carried; empty in those from before there was a history."""
    return tuple(Stretch(**stretch) for stretch in state.get("history", ()))
