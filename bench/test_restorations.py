"""Whole restorations with the shipped network, N = 20, K = 100: time, and the share of what is not the network."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch

import lmaps
from lmaps.engine.bench.runs import operator

# Issue 4: the local MAP phase over the network's time, at most.
SHARES = {
    **dict.fromkeys(
        ("denoise", "sr4", "inpaint-box", "inpaint-random", "deblur-gaussian", "hdr", "jpeg", "quantize"), 0.15
    ),
    "deblur-motion": 0.60,
}
ROUNDS = 3


@pytest.mark.parametrize("task", [*SHARES, "phase-retrieval"])
def test_restoration(benchmark: Any, task: str, shape: tuple[int, int, int, int]) -> None:
    h = operator(task, shape[-1], 0)
    restorer = lmaps.compile(h, size=shape[-2:], task=task, steps=20, inner_steps=100)
    y = h.degrade(torch.rand(shape) * 2 - 1, 0.05)
    runs: list[dict[str, Any]] = []
    benchmark.pedantic(lambda: runs.append(restorer(y).stats), rounds=ROUNDS, warmup_rounds=1)
    timed = runs[-ROUNDS:]
    network, inner, whole = (
        statistics.median(float(run[name]) for run in timed) for name in ("denoise_s", "local_map_s", "total_s")
    )
    benchmark.extra_info.update(
        figure=f"restoration, {task} ({timed[0]['strategy']}): local MAP over network",
        ratio=inner / network,
        whole_over_network=whole / network,
        backend=f"{timed[0]['backend']} {timed[0]['precision']}",
    )
    if task in SHARES:
        benchmark.extra_info["at_most"] = SHARES[task]


def test_daps_chain(benchmark: Any, shape: tuple[int, int, int, int]) -> None:
    """DAPS on Gaussian deblurring: its Langevin phase step by step over the same phase drawn at once (issue 7: >= 10)."""
    h = operator("deblur-gaussian", shape[-1], 0)
    given: dict[str, Any] = {
        "size": shape[-2:],
        "task": "deblur-gaussian",
        "solver": "daps",
        "steps": 4,
        "ode_steps": 1,
    }
    collapsed, loop = (lmaps.compile(h, **given, chain=chain) for chain in ("collapsed", "loop"))
    y = h.degrade(torch.rand(shape) * 2 - 1, 0.05)
    runs: list[dict[str, Any]] = []
    benchmark.pedantic(lambda: runs.append(collapsed(y).stats), rounds=ROUNDS, warmup_rounds=1)
    slow = loop(y).stats
    fast = statistics.median(float(run["local_map_s"]) for run in runs[-ROUNDS:])
    benchmark.extra_info.update(
        figure="DAPS, Langevin phase: the loop over the collapsed chain",
        ratio=slow["local_map_s"] / fast,
        at_least=10.0,
    )
