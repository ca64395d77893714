"""Whole restorations of every task with the shipped prior: seconds, percentiles, with and without a graph."""

from __future__ import annotations

import statistics
from functools import partial

import lmaps
from lmaps.engine.tasks import TASKS

from .bench import Bench
from .clock import each
from .networks import SHIPPED
from .pictures import operator
from .whole import compiled, measured, measurement

REHEARSED = ("sr4", "inpaint-box", "phase-retrieval")


def run(bench: Bench) -> None:
    for steps in bench.steps:
        for task in REHEARSED if bench.tiny else TASKS:
            label = f"{task}, N = {steps}"
            bench.attempt(label, partial(_task, bench, task, steps), needs=0 if bench.tiny else 5)


def _task(bench: Bench, task: str, steps: int) -> None:
    prior, h = lmaps.load_prior(SHIPPED), operator(task, bench)
    restorer = compiled(bench, task, h, prior, steps=steps)
    y = measurement(bench, restorer, 1)
    whole = measured(bench, restorer, y, seconds=0.2 if bench.tiny else 1.0)
    row = {"task": task, "N": steps, **whole.facts(), "eager_seconds": None, "eager_over_graph": None}
    if steps == bench.steps[0]:
        plain = compiled(bench, task, h, prior, steps=steps, graph=False)
        plain(y)
        row["eager_seconds"] = statistics.median(each(partial(plain, y), bench, seconds=0.3, most=20))
        row["eager_over_graph"] = row["eager_seconds"] / whole.seconds
    bench.row("restorations", **row)
