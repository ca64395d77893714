"""What bfloat16 costs in dB: the same restorations in float32 and in bfloat16, each against the photographs."""

from __future__ import annotations

from functools import partial

import torch

import lmaps

from .bench import Bench
from .checks import CHANCY
from .networks import SHIPPED
from .pictures import operator, photographs
from .plan import TASKS
from .whole import compiled, measurement

COUNT = 4


def run(bench: Bench) -> None:
    for task in ("sr4",) if bench.tiny else TASKS:
        bench.attempt(task, partial(_task, bench, task), needs=0 if bench.tiny else 6)


def _task(bench: Bench, task: str) -> None:
    prior, h = lmaps.load_prior(SHIPPED), operator(task, bench)
    truth = (photographs(bench, COUNT) + 1) / 2
    scores = {}
    for precision in ("float32", "bfloat16"):
        asked = {"backend": "torch", "precision": precision, "batch": COUNT, "steps": bench.steps[0]}
        restorer = compiled(bench, task, h, prior, **asked)
        image = restorer(measurement(bench, restorer, COUNT), seed=0).image
        scores[precision] = float((-10 * (image - truth).square().mean(dim=(1, 2, 3)).log10()).mean())
    cost = scores["float32"] - scores["bfloat16"]
    counts = torch.isfinite(torch.tensor(cost)) and task not in CHANCY[:1]
    bench.row("bfloat16", task=task, **{f"{k}_dB": v for k, v in scores.items()}, cost_dB=cost, counts=bool(counts))
