"""Whole restorations of every task with the shipped prior: seconds, percentiles, with and without a graph."""

from __future__ import annotations

import statistics
from functools import partial

import lmaps

from .bench import Bench
from .networks import SHIPPED
from .pictures import operator
from .plan import TASKS
from .whole import compiled, measured, measurement, runs

# Seconds that are left for one that goes through a network in every inner step.
SLOW = {"deblur-nonlinear": 15}
REHEARSED = ("sr4", "inpaint-box", "phase-retrieval")


def run(bench: Bench) -> None:
    for steps in bench.steps:
        for task in REHEARSED if bench.tiny else TASKS:
            label = f"{task}, N = {steps}"
            needs = 0 if bench.tiny else SLOW.get(task, 5)
            bench.attempt(label, partial(_task, bench, task, steps), needs=needs)


def _task(bench: Bench, task: str, steps: int) -> None:
    prior, h = lmaps.load_prior(SHIPPED), operator(task, bench)
    restorer = compiled(bench, task, h, prior, steps=steps)
    y = measurement(bench, restorer, 1)
    whole = measured(bench, restorer, y, seconds=0.2 if bench.tiny else 1.0)
    row = {"task": task, "N": steps, **whole.facts(), "eager_seconds": None, "eager_over_graph": None}
    if steps == bench.steps[0]:
        plain = compiled(bench, task, h, prior, steps=steps, graph=False)
        row["eager_seconds"] = statistics.median(runs(bench, plain, y, seconds=0.3, most=20)[0])
        row["eager_over_graph"] = row["eager_seconds"] / whole.seconds
    bench.row("restorations", **row)
