"""The denoiser's call under torch.compile, eager and captured, then once the choice that "auto" makes by timing.

Last, because compiling takes most of a minute a shape; nothing else in the bench compiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial

from lmaps.engine.priors import Prior

from .bench import Bench, NotHere
from .denoisers import measure, open_here
from .networks import FFHQ, SHIPPED, flops, inputs, load

# What the figures are about comes first.
ORDER = ((SHIPPED, 1), (FFHQ, 64), (FFHQ, 1), (SHIPPED, 64), (FFHQ, 16), (SHIPPED, 16), (FFHQ, 4), (SHIPPED, 4))
NEEDS = {SHIPPED: 15, FFHQ: 30}
AUTO = f'{SHIPPED}, batch 1, backend="auto"'


def run(bench: Bench) -> None:
    prior = cache(lambda name: load(name, bench))
    for name, batch in ((SHIPPED, 1),) if bench.tiny else ORDER:
        bench.attempt(f"{name}, batch {batch}", partial(_calls, bench, name, prior, batch), needs=NEEDS[name])
    bench.attempt(AUTO, partial(_auto, bench), needs=0 if bench.tiny else NEEDS[SHIPPED])


def _calls(bench: Bench, name: str, load_prior: Callable[[str], Prior], batch: int) -> None:
    prior = load_prior(name)
    x, sigma = inputs(bench, batch)
    work = flops(open_here(prior, bench, batch, backend="torch", precision="bfloat16"), x, sigma)
    started = time.perf_counter()
    denoiser = open_here(prior, bench, batch, backend="torch-compile", precision="bfloat16")
    bench.row("compiling", network=name, batch=batch, seconds=time.perf_counter() - started)
    measure(bench, name, batch, "compiled bfloat16", denoiser, x, sigma, work)
    measure(bench, name, batch, "captured compiled bfloat16", denoiser, x, sigma, work)


def _auto(bench: Bench) -> None:
    """What is chosen, the second time from what the first has kept."""
    if not bench.on_gpu:
        raise NotHere("on a CPU nothing is timed to choose a backend")
    prior = load(SHIPPED, bench)
    for state in ("timed", "remembered"):
        started = time.perf_counter()
        facts = open_here(prior, bench, 1, backend="auto", precision="auto").describe()
        bench.row(
            "auto",
            state=state,
            seconds=time.perf_counter() - started,
            chosen=facts["backend"],
            milliseconds=facts.get("milliseconds"),
            failed=facts.get("failed"),
        )
