"""`lmaps bench speed`: how long a restoration takes, warm (a restorer that has run) and cold (a new process).

Methods take turns, a round at a time, so that a slow spell of the machine hits all of them; a ratio is the median over rounds
of two times of one round.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..denoisers import BackendUnavailable
from ..plan import compile
from ..solvers import Undefined
from .journal import Journal, Record, key
from .machine import code, machine
from .methods import Method
from .runs import Cell, Setting, arguments, noise, operator
from .tables import markdown, preamble

PERCENTILES = (50, 90, 99)
# Rounds that are run and not counted: caches, allocators and clocks settle.
WARM_UP = 2


@dataclass(frozen=True)
class Candidate:
    """One line of the table: a method at a batch size."""

    method: Method
    batch: int

    @property
    def label(self) -> str:
        return self.method.label if self.batch == 1 else f"{self.method.label}, batch {self.batch}"


OnRound = Callable[[str, str | None], None]


def warm(
    candidates: Sequence[Candidate],
    task: str,
    setting: Setting,
    rounds: int,
    journal: Journal,
    records: list[Record],
    on_round: OnRound,
) -> None:
    """Fills `records`, one a round: label -> seconds, and why those that cannot run cannot.

    Rounds that the journal has are not run again: an interrupted run goes on with the next.
    """
    config = _config(candidates, task, setting, "warm")
    runs: dict[str, Callable[[], object]] | None = None
    refused: dict[str, str] = {}
    for index in range(rounds):
        record = journal.get(key({**config, "round": index}))
        if record is None:
            if runs is None:
                runs, refused = _warmed(candidates, task, setting)
            record = {
                "key": key({**config, "round": index}),
                "kind": "warm",
                "seconds": _round(runs),
                "refused": refused,
            }
            journal.add({**record, "config": config})
        records.append(record)
        on_round(f"warm round {index + 1}", _told(record))


def cold(
    candidates: Sequence[Candidate],
    task: str,
    setting: Setting,
    rounds: int,
    journal: Journal,
    records: list[Record],
    on_round: OnRound,
) -> None:
    """Fills `records`, one a round: label -> parts of the time from starting a process to its first restored picture."""
    config = _config(candidates, task, setting, "cold")
    for index in range(rounds):
        record = journal.get(key({**config, "round": index}))
        if record is None:
            parts = {c.label: fresh_process(c, task, setting) for c in candidates}
            record = {"key": key({**config, "round": index}), "kind": "cold", "parts": parts}
            journal.add({**record, "config": config})
        records.append(record)
        on_round(f"cold round {index + 1}", None)


def fresh_process(candidate: Candidate, task: str, setting: Setting) -> dict[str, float]:
    """Seconds of a new Python process: import, compile, first (its first batch), whole (as its parent sees it)."""
    job = {
        "prior": setting.source,
        "task": task,
        "size": setting.size,
        "batch": candidate.batch,
        "seed": setting.seed,
        "noise": noise(task, setting),
        "solver": candidate.method.solver,
        "compiling": arguments(Cell(candidate.method, task), setting),
    }
    command = [sys.executable, "-P", "-m", "lmaps.engine.bench.cold", json.dumps(job)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - start
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the fresh process for {candidate.label} ended with {done.returncode}: {last}")
    parts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**parts, "whole": whole}


def report(
    told: dict[str, Any],
    task: str,
    warm_rounds: Sequence[Record],
    cold_rounds: Sequence[Record],
    batches: dict[str, int],
) -> list[str]:
    lines = [*preamble(f"Latency: {task}", told)]
    lines += [
        f"- pictures of {told['size']}x{told['size']}; {len(warm_rounds)} rounds in which the methods take turns, after "
        f"{WARM_UP} that do not count",
        "- ms: a batch from measurement to picture; percentiles by nearest rank: p99 of fewer than 100 rounds is the largest",
        "- ratio: median over rounds of this time over the first method's at the same batch size",
        "",
    ]
    latencies = series(warm_rounds)
    first: dict[int, str] = {}
    rows = []
    for label, seconds in latencies.items():
        reference = latencies[first.setdefault(batches[label], label)]
        points = [f"{1e3 * percentile(seconds, p):.1f}" for p in PERCENTILES]
        ratio = statistics.median(s / r for s, r in zip(seconds, reference, strict=True))
        rate = batches[label] / percentile(seconds, 50)
        rows.append([label, *points, f"{rate:.2f}", f"{ratio:.2f}x"])
    head = ["method", *[f"p{p}, ms" for p in PERCENTILES], "images a second", "ratio"]
    lines += ["## Warm", "", *markdown(head, rows)]
    refused = warm_rounds[0]["refused"] if warm_rounds else {}
    lines += [f"- {label}: {why}" for label, why in refused.items()]
    return [*lines, *_cold_table(cold_rounds)]


def series(rounds: Sequence[Record]) -> dict[str, list[float]]:
    """label -> seconds of every round."""
    labels = rounds[0]["seconds"] if rounds else {}
    return {label: [record["seconds"][label] for record in rounds] for label in labels}


def percentile(values: Sequence[float], p: float) -> float:
    """The smallest value that p percent of the values do not exceed (nearest rank): p99 of 20 rounds is their largest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(p / 100 * len(ordered)) - 1)]


def _warmed(
    candidates: Sequence[Candidate], task: str, setting: Setting
) -> tuple[dict[str, Callable[[], object]], dict[str, str]]:
    runs: dict[str, Callable[[], object]] = {}
    refused = {}
    h = operator(task, setting.size, setting.seed)
    for candidate in candidates:
        try:
            restorer = compile(
                h,
                setting.prior,
                size=(setting.size, setting.size),
                batch=candidate.batch,
                task=task,
                solver=candidate.method.solver,
                noise=noise(task, setting),
                **arguments(Cell(candidate.method, task), setting),
            )
        except (Undefined, BackendUnavailable) as refusal:
            refused[candidate.label] = str(refusal)
            continue
        y = h.degrade(scene(candidate.batch, setting.size, setting.seed), noise(task, setting), setting.seed)
        runs[candidate.label] = lambda restorer=restorer, y=y: restorer(y, seed=setting.seed)  # type: ignore[misc]
    if not runs:
        raise ValueError(f"no method can run {task}: {'; '.join(refused.values())}")
    for _ in range(WARM_UP):
        for run in runs.values():
            run()
    return runs, refused


def scene(batch: int, size: int, seed: int) -> torch.Tensor:
    """Pictures that cost what any picture costs: [batch, 3, size, size] in [-1, 1], smooth, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.rand((batch, 3, 8, 8), generator=generator) - 1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def _round(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    seconds = {}
    for label, run in runs.items():
        start = time.perf_counter()
        run()
        seconds[label] = time.perf_counter() - start
    return seconds


def _config(candidates: Sequence[Candidate], task: str, setting: Setting, kind: str) -> Record:
    return {
        "kind": kind,
        "task": task,
        "candidates": [[c.label, arguments(Cell(c.method, task), setting)] for c in candidates],
        "size": setting.size,
        "noise": noise(task, setting),
        "seed": setting.seed,
        "prior": setting.prior.digest,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "code": code(),
    }


def _told(record: Record) -> str:
    return ", ".join(f"{label} {1e3 * seconds:.0f} ms" for label, seconds in record["seconds"].items())


def _cold_table(rounds: Sequence[Record]) -> list[str]:
    if not rounds:
        return []
    rows = []
    for label in rounds[0]["parts"]:
        parts = [
            statistics.median(r["parts"][label][part] for r in rounds)
            for part in ("import", "compile", "first", "whole")
        ]
        rows.append([label, *[f"{seconds:.2f}" for seconds in parts]])
    head = ["method", "import, s", "compile, s", "first batch, s", "whole process, s"]
    return ["", f"## Cold: a new process, medians of {len(rounds)}", "", *markdown(head, rows)]
