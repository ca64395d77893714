"""That what runs on the GPU is right: graphs give the eager image, replays repeat, threads do not disturb one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import torch

import lmaps
from lmaps.engine.local_map import LocalMAP, build

from .bench import Bench, NotHere
from .networks import SHIPPED
from .pictures import operator, photographs
from .plan import TASKS
from .whole import NOISE, compiled, measurement

STEPS = 5
# r = 0.9, 0.5 and 0.05 for k1 = 0.25: the start, the middle and the end of a run.
SIGMAS = (0.75, 0.25, 0.0574)
# Their inner steps of the loop take 0.06, 0.1 and 0.9 s on a core: one noise level has to do, and no more steps than these.
SLOW = {"deblur-motion": 100, "phase-retrieval": 20, "deblur-nonlinear": 10}
LOCAL_MAP_TOLERANCE = {"polynomial": 1e-4}
# Values of these tip over a step of H, or their modulus has several pictures: rounding decides, and nothing is compared.
CHANCY = ("phase-retrieval", "quantize", "jpeg")
REPLAYS = 100
THREADS, REQUESTS = 8, 50
# What was measured and chosen when compiling: two restorers that chose differently may differ in the last bits.
CHOSEN = ("backend", "precision", "strategy", "kernel", "compile_mode")


def run(bench: Bench) -> None:
    bench.attempt("graph or not, deblur-gaussian", partial(_graphs, bench, "deblur-gaussian", (True, "loop")))
    bench.attempt("replays", partial(_replays, bench))
    bench.attempt("threads", partial(_threads, bench))
    tasks = ("sr4", "hdr") if bench.tiny else TASKS
    for task in tasks:
        bench.attempt(f"graph or not, {task}", partial(_graphs, bench, task), needs=5)
    for task in tasks:
        bench.attempt(f"local MAP, {task}", partial(_local_map, bench, task), needs=12 if task in SLOW else 3)
    for task in tasks:
        bench.attempt(f"GPU against CPU, {task}", partial(_against_cpu, bench, task), needs=20 if task in SLOW else 5)


def _graphs(bench: Bench, task: str, graphs: tuple[Any, ...] = (True,)) -> None:
    """The same image without a graph as with each of `graphs`: True for one of a step, "loop" for one of all steps."""
    prior, h = lmaps.load_prior(SHIPPED), operator(task, bench)
    plain = compiled(bench, task, h, prior, steps=STEPS, graph=False)
    y = measurement(bench, plain, 1)
    expected = plain(y, seed=3).image
    if not bench.on_gpu:
        raise NotHere("there are no CUDA graphs on a CPU")
    for asked in graphs:
        what = f"graph={asked} gives the image of graph=False, {task}"
        try:
            other = compiled(bench, task, h, prior, steps=STEPS, graph=asked)
        except ValueError as reason:
            bench.skip(what, str(reason))
            continue
        except RuntimeError as error:
            bench.failed(what, error)
            continue
        image = other(y, seed=3).image
        again = other(y, seed=3).image
        if chosen := _chosen_differently(plain, other):
            bench.skip(what, f"they run different code: {chosen}")
        else:
            bench.check(what, torch.equal(image, expected), f"{_apart(image, expected)}; {other.graph_name}")
        bench.check(f"graph={asked} repeats itself, {task}", torch.equal(image, again), _apart(image, again))


def _replays(bench: Bench) -> None:
    restorer = compiled(
        bench, "deblur-gaussian", operator("deblur-gaussian", bench), lmaps.load_prior(SHIPPED), steps=STEPS
    )
    y = measurement(bench, restorer, 1)
    first = restorer(y, seed=1).image
    count = 5 if bench.tiny else REPLAYS
    same = sum(torch.equal(restorer(y, seed=1).image, first) for _ in range(count))
    bench.check(
        f"{count} restorations in a row are bit-identical", same == count, f"{same} of {count}; {restorer.graph_name}"
    )


def _threads(bench: Bench) -> None:
    """Several threads on one restorer, each request with a measurement and a seed of its own, against one after another."""
    threads, requests = (2, 3) if bench.tiny else (THREADS, REQUESTS)
    restorer = compiled(
        bench, "deblur-gaussian", operator("deblur-gaussian", bench), lmaps.load_prior(SHIPPED), steps=STEPS
    )
    known = [measurement(bench, restorer, 1, seed=s) for s in range(8)]
    total = threads * requests

    def request(number: int) -> torch.Tensor:
        return restorer(known[number % len(known)], seed=number).image

    serial = [request(i) for i in range(total)]
    with ThreadPoolExecutor(threads) as pool:
        parallel = list(pool.map(request, range(total)))
    same = sum(torch.equal(a, b) for a, b in zip(serial, parallel, strict=True))
    what = f"{threads} threads x {requests} requests equal the serial results"
    bench.check(what, same == total, f"{same} of {total}")


def _local_map(bench: Bench, task: str) -> None:
    """The strategy chosen here against the plain loop of K steps in float64 on the CPU."""
    h = operator(task, bench)
    here = compiled(bench, task, h, lmaps.load_prior(SHIPPED), steps=2, graph=False)
    settings, sigmas = _quick(here.solver.settings, task)  # type: ignore[attr-defined]
    shape = (1, 3, bench.size, bench.size)
    truth = photographs(bench, 1)
    xhat = (truth + 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(truth.device)).clamp(-1, 1)
    y = here.operator.degrade(truth, NOISE, 0)
    plan = build(here.operator, settings, sigmas, shape)
    loop = build(h.to("cpu"), replace(settings, strategy="reference"), sigmas, shape)
    observed = plan.observe(y)
    worst = 0.0
    for index in range(len(sigmas)):
        exact = loop.solve(xhat.cpu().double(), (y.cpu().to(_wide(y)),), index)
        worst = max(worst, _distance(plan.solve(xhat, observed, index), exact))
    limit = LOCAL_MAP_TOLERANCE.get(plan.name, 1e-5)
    detail = f"relative difference {worst:.1e}, {plan.describe()}"
    if task in CHANCY:
        bench.skip(f"local MAP of {task} against the loop", f"rounding decides: {detail}")
    else:
        bench.check(f"local MAP of {task} within {limit:g} of the loop", worst <= limit, detail)


def _quick(settings: LocalMAP, task: str) -> tuple[LocalMAP, tuple[float, ...]]:
    """The settings and noise levels to compare with: all of them, or what there is time for."""
    if task not in SLOW:
        return settings, SIGMAS
    if isinstance(settings.inner_steps, int):
        settings = replace(settings, inner_steps=min(settings.inner_steps, SLOW[task]))
    return settings, SIGMAS[1:2]


def _against_cpu(bench: Bench, task: str) -> None:
    """The image of the GPU beside the CPU's, both in float32 from the same measurement and seed."""
    if not bench.on_gpu:
        raise NotHere("there is no GPU")
    prior, h = lmaps.load_prior(SHIPPED), operator(task, bench)
    asked: dict[str, Any] = {"steps": STEPS, "backend": "torch", "precision": "float32"}
    here = compiled(bench, task, h, prior, **asked)
    y = measurement(bench, here, 1)
    there = compiled(bench, task, h.to("cpu"), prior, **{**asked, "device": "cpu"})
    a, b = here(y, seed=5).image.cpu(), there(y.cpu(), seed=5).image
    decibels = float(-10 * torch.log10((a - b).square().mean().clamp(min=1e-20)))
    what = f"GPU against CPU, {task}"
    if task in CHANCY:
        bench.skip(what, f"rounding decides: {decibels:.1f} dB apart")
    else:
        bench.check(f"{what}: at least 45 dB", decibels >= 45, f"{decibels:.1f} dB")


def _chosen_differently(a: lmaps.Restorer, b: lmaps.Restorer) -> str:
    pairs = ((key, a.compiled.get(key), b.compiled.get(key)) for key in CHOSEN)
    return ", ".join(f"{key} {one} and {other}" for key, one, other in pairs if one != other)


def _wide(y: torch.Tensor) -> torch.dtype:
    return torch.complex128 if y.is_complex() else torch.float64


def _distance(a: torch.Tensor, exact: torch.Tensor) -> float:
    return float((a.cpu().double() - exact).norm() / exact.norm())


def _apart(a: torch.Tensor, b: torch.Tensor) -> str:
    return f"largest difference {float((a - b).abs().max()):.1e}"
