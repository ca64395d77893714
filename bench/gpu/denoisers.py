"""One call of the denoiser: eager in float32 and bfloat16, and captured, at every batch size."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch

from lmaps.engine.denoisers import BackendUnavailable, Denoiser, open_denoiser
from lmaps.engine.priors import Prior

from .bench import Bench, NotHere
from .clock import captured, per_call
from .networks import FFHQ, SHIPPED, flops, inputs, load


def run(bench: Bench) -> None:
    prior = cache(lambda name: load(name, bench))
    for batch in (bench.batches[0], bench.batches[-1], *bench.batches[1:-1]):
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
    exact = open_here(prior, bench, batch, backend="torch", precision="float32")
    work = flops(exact, x, sigma)
    reference = _answer(exact, x, sigma)
    measure(bench, name, batch, "eager float32", exact, x, sigma, work)
    measure(bench, name, batch, "captured float32", exact, x, sigma, work)
    del exact
    narrow = open_here(prior, bench, batch, backend="torch", precision="bfloat16")
    off = torch.linalg.vector_norm(_answer(narrow, x, sigma) - reference) / torch.linalg.vector_norm(reference)
    bench.row("bfloat16 calls", network=name, batch=batch, relative_difference=float(off))
    measure(bench, name, batch, "eager bfloat16", narrow, x, sigma, work)
    measure(bench, name, batch, "captured bfloat16", narrow, x, sigma, work)


def _answer(denoiser: Denoiser, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return denoiser(x, sigma)


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
    else:
        replay = call
    peak = _peak(bench, call)
    seconds = per_call(replay, bench, seconds=0.4)
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
    )


def _apart(a: torch.Tensor, b: torch.Tensor) -> str:
    return f"largest difference {float((a - b).abs().max()):.1e}"


def _peak(bench: Bench, call: Callable[[], object]) -> float | None:
    if not bench.on_gpu:
        return None
    torch.cuda.reset_peak_memory_stats(bench.device)
    call()
    return torch.cuda.max_memory_allocated(bench.device) / 2**30
