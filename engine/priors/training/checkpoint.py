"""Saving and resuming a training run exactly: weights, average, optimisers, random state, and how far it got."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import history
from .optimizers import Optimizers
from .recipe import Recipe


def save(
    path: Path,
    *,
    recipe: Recipe,
    stretches: history.History,
    seen: int,
    seconds: float,
    model: nn.Module,
    average: nn.Module,
    optimizers: Optimizers,
    generator: torch.Generator,
) -> None:
    """Write the whole state of a run to `path`, by way of a temporary file so that a half-written one is never left.

    What was there before is kept beside it, as `NAME.previous.pt`.
    """
    state = {
        "recipe": asdict(recipe),
        "history": history.plain(stretches),
        "seen": seen,
        "seconds": seconds,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizers": optimizers.state_dict(),
        "generator": generator.get_state(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    _keep(path)
    os.replace(partial, path)


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_suffix(".previous.pt")


def _keep(path: Path) -> None:
    """A second name for the file at `path`, which keeps its own: at no moment is there none."""
    if path.is_file():
        previous(path).unlink(missing_ok=True)
        try:
            os.link(path, previous(path))
        except OSError:  # a file system without hard links
            shutil.copyfile(path, previous(path))


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote. Raises FileNotFoundError when there is nothing to resume from."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}: start without --resume")
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
