"""The paper's setting: a network of FFHQ's size, N = 200 steps of K = 100, Gaussian deblurring."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from lmaps.engine.priors import Prior

from .bench import Bench, NotHere
from .networks import FFHQ, load
from .pictures import operator
from .whole import compiled, measured, measurement

TASK = "deblur-gaussian"


def run(bench: Bench) -> None:
    prior = cache(lambda: load(FFHQ, bench))
    first, last = bench.batches[0], bench.batches[-1]
    for batch, graph, needs in ((last, "auto", 45), (first, "auto", 12), (first, False, 12), (first, "loop", 12)):
        label = f"batch {batch}, graph={graph}"
        bench.attempt(label, partial(_run, bench, prior, batch, graph), needs=0 if bench.tiny else needs)


def _run(bench: Bench, prior: Any, batch: int, graph: Any) -> None:
    if graph == "loop" and not bench.on_gpu:
        raise NotHere("there are no CUDA graphs on a CPU")
    network: Prior = prior()
    steps = bench.steps[1]
    asked: dict[str, Any] = {"preset": "paper", "steps": steps, "batch": batch, "graph": graph, "inner_steps": 100}
    restorer = compiled(bench, TASK, operator(TASK, bench), network, **asked)
    y = measurement(bench, restorer, batch)
    whole = measured(bench, restorer, y, seconds=5, most=10)
    facts = whole.facts()
    bench.row(
        "paper",
        batch=batch,
        asked=str(graph),
        N=steps,
        K=facts.pop("K"),
        seconds=facts.pop("seconds"),
        seconds_an_image=whole.seconds / batch,
        **facts,
    )
