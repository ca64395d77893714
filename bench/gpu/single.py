"""One call of the denoiser in float32, and how far bfloat16 is from it. Small batches first: large ones tune for long."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch

from lmaps.engine.denoisers import Denoiser
from lmaps.engine.priors import Prior

from .ahead import compile_ahead
from .bench import Bench
from .denoisers import both_ways, open_here
from .networks import FFHQ, SHIPPED, inputs, load

# Seconds that an attempt takes, and what an image more adds to them.
NEEDS = {SHIPPED: (4.0, 0.1), FFHQ: (5.0, 0.4)}


def run(bench: Bench) -> None:
    prior = cache(lambda name: load(name, bench))
    opened = partial(open_here, bench=bench, batch=bench.batches[0], backend="torch", precision="float32")
    bench.attempt(f"{FFHQ}, kernels", lambda: compile_ahead(lambda: opened(prior(FFHQ))), needs=NEEDS[FFHQ][0])
    for batch in bench.batches:
        for name in (SHIPPED, FFHQ):
            once, more = NEEDS[name]
            bench.attempt(
                f"{name}, batch {batch}", partial(_calls, bench, name, prior, batch), needs=once + more * batch
            )


def _calls(bench: Bench, name: str, load_prior: Callable[[str], Prior], batch: int) -> None:
    prior = load_prior(name)
    x, sigma = inputs(bench, batch)
    exact = open_here(prior, bench, batch, backend="torch", precision="float32")
    both_ways(bench, name, batch, exact, x, sigma)
    if batch == bench.batches[0]:
        narrow = open_here(prior, bench, batch, backend="torch", precision="bfloat16")
        off = _distance(_answer(narrow, x, sigma), _answer(exact, x, sigma))
        bench.row("bfloat16 calls", network=name, batch=batch, relative_difference=off)


def _answer(denoiser: Denoiser, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return denoiser(x, sigma)


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))
