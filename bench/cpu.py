"""What the engine costs on a CPU: `python -m bench.cpu -o bench/results/cpu.md`.

Four tables, each measured in one run with the candidates taking turns: the denoiser's backends, the local MAP strategies
against the paper's loop in torch, and whole restorations against the network calls inside them. Then what the idle threads
of OpenMP cost.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import lmaps
from lmaps.engine import tasks
from lmaps.engine.denoisers import BackendUnavailable, open_denoiser
from lmaps.engine.local_map import LocalMAP, build
from lmaps.engine.operators import Operator

from .machine import alternated, machine

SIZE = (256, 256)
SHAPE = (1, 3, *SIZE)
BACKENDS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
)
# r = 0.9, 0.5 and 0.05 for k1 = 0.25: the start, the middle and the end of a run.
SIGMAS = (0.75, 0.25, 0.0574)


def backends(rounds: int) -> Iterator[str]:
    """Milliseconds of one denoiser call, and its distance from torch in float32."""
    prior = lmaps.load_prior("photo")
    x, sigma = torch.rand(SHAPE) * 2 - 1 + 0.3 * torch.randn(SHAPE), torch.full((1,), 0.3)
    opened = {}
    for backend, precision in BACKENDS:
        try:
            denoiser = open_denoiser(prior, backend=backend, precision=precision, size=SIZE, batch=1)
        except BackendUnavailable as reason:
            yield f"| {backend} {precision} | not here: {reason} | | |"
            continue
        opened[f"{backend} {precision}"] = denoiser
    truth = opened["torch float32"](x, sigma)
    calls = {name: (lambda d=d: d(x, sigma)) for name, d in opened.items()}
    times = alternated(calls, rounds)
    for name, denoiser in opened.items():
        off = float((denoiser(x, sigma) - truth).norm() / truth.norm())
        yield f"| {name} | {1e3 * times[name]:.1f} | {times['torch float32'] / times[name]:.2f}x | {off:.1e} |"


def local_map(rounds: int) -> Iterator[str]:
    """The chosen strategy against K = 100 plain steps in torch (by autograd, as the paper's code and DAPS do)."""
    torch.manual_seed(0)
    for name in tasks.TASKS:
        operator = tasks.build(name)
        options = lmaps.compile(operator, size=SIZE, task=name, steps=2, backend="torch").solver.settings  # type: ignore[attr-defined]
        settings = {"k1": options.k1, "k2": options.k2, "eta": options.eta, "inner_steps": 100}
        yield from _against_loop(name, operator, settings, rounds)


def _against_loop(name: str, operator: Operator, settings: dict[str, float], rounds: int) -> Iterator[str]:
    xhat, truth = torch.rand(SHAPE) * 2 - 1, torch.rand(SHAPE) * 2 - 1
    y = operator.degrade(truth, 0.05)
    plans = {
        "chosen": build(operator, LocalMAP(**settings), SIGMAS, SHAPE),  # type: ignore[arg-type]
        "loop": build(operator, LocalMAP(**settings, strategy="autograd"), SIGMAS, SHAPE),  # type: ignore[arg-type]
    }
    exact = build(operator, LocalMAP(**settings, strategy="reference"), SIGMAS, SHAPE)  # type: ignore[arg-type]
    observed = {key: plan.observe(y) for key, plan in plans.items()}
    calls = {key: (lambda key=key, p=plan: p.solve(xhat, observed[key], 1)) for key, plan in plans.items()}
    inner = plans["chosen"].describe()["inner_steps"]
    fast = alternated({"chosen": calls["chosen"]}, 5 * rounds)["chosen"]
    slow = alternated({"loop": calls["loop"]}, max(1, rounds // 4), warm_up=0)["loop"]
    off = max(
        _distance(plans["chosen"].solve(xhat, observed["chosen"], i), exact.solve(xhat, (y,), i)) for i in range(3)
    )
    degrees = plans["chosen"].describe().get("degrees", "")
    times = f"{1e3 * fast:.2f} | {1e3 * slow:.0f} | {slow / fast:.0f}x"
    yield f"| {name} | {plans['chosen'].name} | {inner} | {times} | {off:.1e} | {degrees} |"


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def restorations(rounds: int) -> Iterator[str]:
    """Whole restorations at N = 20 with each task's own K: where the time goes."""
    for name in tasks.TASKS:
        restorer = lmaps.compile(name, size=SIZE, steps=20)
        y = restorer.operator.degrade(torch.rand(SHAPE) * 2 - 1, 0.05)
        restorer(y)
        runs = [restorer(y).stats for _ in range(rounds)]
        total, network, inner = (
            statistics.median(float(r[key]) for r in runs) for key in ("total_s", "denoise_s", "local_map_s")
        )
        yield (
            f"| {name} | {runs[0]['strategy']} | {runs[0]['inner_steps']} | {total:.2f} | {network:.2f} "
            f"| {100 * inner / network:.1f} % "
            f"| {total / network:.3f} |"
        )


IDLE_CHILD = """
import statistics, torch, lmaps
restorer = lmaps.compile("sr4", size=(256, 256), steps=20, device="cpu")
y = restorer.operator.degrade(torch.zeros(1, 3, 256, 256), 0.05, seed=0)
print(statistics.median([restorer(y).stats["total_s"] for _ in range(9)][1:]))
"""


def idle_threads(rounds: int) -> Iterator[str]:
    """sr4 in new processes that take turns: OpenMP's idle threads polling, as GNU OpenMP has it, or asleep sooner."""
    seconds: dict[str, list[float]] = {"not set": [], "2000": []}
    for _ in range(rounds):
        for value, taken in seconds.items():
            own = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
            environment = own if value == "not set" else {**own, "GOMP_SPINCOUNT": value}
            words = [sys.executable, "-c", IDLE_CHILD]
            told = subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout
            taken.append(float(told))
    for value, taken in seconds.items():
        yield f"| {value} | {statistics.median(taken):.3f} | {', '.join(f'{t:.3f}' for t in taken)} |"


def report(rounds: int) -> Iterator[str]:
    yield "# The engine on a CPU\n"
    yield f"`python -m bench.cpu` on {datetime.date.today()}: {machine()}, {torch.get_num_threads()} threads."
    yield "Medians; 256x256, batch 1.\n"
    yield "## One denoiser call\n\n| backend | ms | against torch float32 | relative difference |\n|---|---|---|---|"
    yield from backends(4 * rounds)
    yield (
        "\n## The local MAP step\n\nThe loop takes its gradients by autograd through `forward`.\n\n"
        "| task | strategy | K | ms | loop in torch, ms | ratio | relative difference from the loop | degrees |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    yield from local_map(rounds)
    yield (
        "\n## Whole restorations, N = 20\n\n"
        "| task | strategy | K | s | network, s | local MAP / network | whole / network |\n|---|---|---|---|---|---|---|"
    )
    yield from restorations(rounds)
    yield "\n## Idle OpenMP threads: sr4, N = 20\n\n| GOMP_SPINCOUNT | s | each process |\n|---|---|---|"
    yield from idle_threads(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="write the tables here as well")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    lines = []
    for line in report(arguments.rounds):
        print(line, flush=True)
        lines.append(line)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    sys.exit(main())
