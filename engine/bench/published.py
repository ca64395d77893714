"""What others printed, from `published.toml`: to stand beside a table, labelled with its network."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

METRICS = ("psnr", "ssim", "lpips")


def source() -> str:
    return str(_table()["quality"]["source"])


def networks() -> dict[str, str]:
    """Key -> what the column is called."""
    return dict(_table()["quality"]["networks"])


def quality(task: str, solver: str, network: str) -> dict[str, list[float]]:
    """psnr, ssim, lpips -> [mean] or [mean, deviation], as far as printed."""
    found: dict[str, list[float]] = _table()["quality"]["tasks"].get(task, {}).get(solver, {}).get(network, {})
    return found


def times() -> dict[str, Any]:
    """source, machine, and rows of method, steps, inner, ode, seconds, psnr."""
    return dict(_table()["time"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("published.toml").read_text(encoding="utf-8"))
