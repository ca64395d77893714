"""One call of the denoiser in bfloat16, captured and eager, at every batch size: first what is promised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch

from lmaps.engine.denoisers import BackendUnavailable, Denoiser, open_denoiser
from lmaps.engine.priors import Prior

from .ahead import compile_ahead
from .bench import Bench, NotHere
from .clock import captured, per_call
from .networks import FFHQ, SHIPPED, flops, inputs, load

# What is captured is measured for longer, so that the GPU has the clocks that it keeps.
CAPTURED_SECONDS, EAGER_SECONDS = 1.0, 0.4


def run(bench: Bench) -> None:
    prior = cache(lambda name: load(name, bench))
    first, *between, last = bench.batches
    opened = partial(open_here, bench=bench, batch=first, backend="torch", precision="bfloat16")
    bench.attempt(f"{FFHQ}, kernels", lambda: compile_ahead(lambda: opened(prior(FFHQ))))
    for batch in (last, first, *between):
        for name in (FFHQ, SHIPPED):
            bench.attempt(f"{name}, batch {batch}", partial(_calls, bench, name, prior, batch), needs=5)


def open_here(prior: Prior, bench: Bench, batch: int, *, backend: str, precision: str) -> Denoiser:
    """Opened for the bench's size and device. Raises NotHere where the backend cannot run."""
    size = (bench.size, bench.size)
    try:
        return open_denoiser(prior, backend=backend, precision=precision, size=size, batch=batch, device=bench.device)
    except BackendUnavailable as reason:
        raise NotHere(str(reason)) from None


def _calls(bench: Bench, name: str, load_prior: Callable[[str], Prior], batch: int) -> None:
    prior = load_prior(name)
    x, sigma = inputs(bench, batch)
    denoiser = open_here(prior, bench, batch, backend="torch", precision="bfloat16")
    both_ways(bench, name, batch, denoiser, x, sigma)


def both_ways(bench: Bench, name: str, batch: int, denoiser: Denoiser, x: torch.Tensor, sigma: torch.Tensor) -> None:
    """Captured, then eager: a row each."""
    work = flops(denoiser, x, sigma)
    for way in ("captured", "eager"):
        measure(bench, name, batch, f"{way} {denoiser.precision}", denoiser, x, sigma, work)


def measure(
    bench: Bench, name: str, batch: int, way: str, denoiser: Denoiser, x: torch.Tensor, sigma: torch.Tensor, work: int
) -> None:
    """A row of the table of calls. A way that is "captured ..." is replayed, and its answer compared with the eager one."""
    out = torch.empty_like(x)

    def call() -> None:
        denoiser.into(x, sigma, out)

    if way.startswith("captured"):
        if not bench.on_gpu:
            bench.skip(f"{name}, batch {batch}, {way}", "there are no CUDA graphs on a CPU")
            return
        call()
        expected = out.clone()
        replay = captured(call, bench)
        out.fill_(float("nan"))
        replay()
        same = torch.equal(out, expected)
        bench.check(f"{way}, {name}, batch {batch}: replay equals the eager call", same, _apart(out, expected))
        seconds = per_call(replay, bench, seconds=CAPTURED_SECONDS)
    else:
        seconds = per_call(call, bench, seconds=EAGER_SECONDS)
    peak = _peak(bench, call)
    bench.row(
        "calls",
        network=name,
        batch=batch,
        way=way,
        ms=1e3 * seconds,
        ms_an_image=1e3 * seconds / batch,
        gflop_an_image=work / batch / 1e9,
        tflops=work / seconds / 1e12,
        peak_gib=peak,
        norms=denoiser.describe().get("norms"),
    )


def _apart(a: torch.Tensor, b: torch.Tensor) -> str:
    return f"largest difference {float((a - b).abs().max()):.1e}"


def _peak(bench: Bench, call: Callable[[], object]) -> float | None:
    if not bench.on_gpu:
        return None
    torch.cuda.reset_peak_memory_stats(bench.device)
    call()
    return torch.cuda.max_memory_allocated(bench.device) / 2**30
