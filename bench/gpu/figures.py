"""The figures that issues 4 and 5 promise of a GPU, read off the rows: value, target, met or not."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from .plan import STEPS, TASKS

Row = dict[str, Any]
Tables = dict[str, list[Row]]
ELSEWHERE = "a CPU's figure: python -m bench.cpu, make bench"
# Of a CPU, listed so that no figure of the issues is passed over.
ON_A_CPU = (
    ("4", "pointwise and JPEG, K = 100, over the loop in torch", ">= 20"),
    ("4", "local MAP over denoiser: spectral and on chip", "<= 15 %"),
    ("4", "local MAP over denoiser: polynomial", "<= 60 %"),
    ("4", "phase retrieval over the loop in torch", ">= 2"),
    ("5", "whole restoration over N denoiser calls on a CPU", "<= 1.15"),
    ("5", "OpenVINO bfloat16 over torch float32, with AMX", ">= 4"),
    ("5", "second process with a warm cache on a CPU", "<= 2 s"),
)
NETWORKS = ("FFHQ-size", "photo")
# The ways that the share of the ceiling is taken from.
MANY = ("captured bfloat16", "captured compiled bfloat16")
COPIED = ("mask, 100", "mask, closed", "HDR", "quantise", "JPEG")
FOURIER = ("phase retrieval", "MRI")
# Words in the name of a check, and what one that fails is.
WRONG = (
    ("graph=", "graphs that differ from the eager image or from themselves"),
    ("replay equals", "captured calls that differ from the eager call"),
    ("local MAP of", "strategies off the loop of K steps"),
    ("GPU against CPU", "tasks whose image is not the CPU's"),
    ("in a row", "100 replays that are not bit-identical"),
    ("threads x", "8 threads x 50 requests that are not the serial results"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """value: None where it was not measured; note: where it comes from, or why it is missing."""

    issue: str
    what: str
    target: str
    value: float | None
    met: bool | None
    note: str = ""


def tables(rows: Iterable[Row]) -> Tables:
    """Rows by the table they belong to; calls with their share of the ceiling, kernels with what bounds them."""
    found: Tables = defaultdict(list)
    for row in rows:
        if row["kind"] == "row":
            found[row["table"]].append({k: v for k, v in row.items() if k not in ("kind", "table")})
    ceiling = _ceiling(found, "bfloat16 matmul")
    single = _ceiling(found, "float32 matmul")
    for row in found.get("calls", ()):
        row["share_of_bf16"] = row["tflops"] / ceiling if ceiling else None
    for row in found.get("kernels", ()):
        row["arithmetic_us"] = 1e3 * row["gflop"] / single if single else 0.0
        row["over_bound"] = row["us"] / max(row["copy_us"] + row["launch_us"], row["arithmetic_us"])
    return dict(found)


def figures(found: Tables) -> list[Figure]:
    """All of them, measured or not."""
    return [*_issue_5(found), *_issue_4(found), *(Figure(*given, None, None, ELSEWHERE) for given in ON_A_CPU)]


def as_rows(given: Iterable[Figure]) -> list[Row]:
    """For the report."""
    words = {True: "yes", False: "NO", None: "-"}
    return [{**asdict(figure), "met": words[figure.met]} for figure in given]


def _issue_4(found: Tables) -> Iterator[Figure]:
    judged = [row for row in found.get("checks", ()) if row["check"].startswith("kernel ")]
    wrong = [row["check"] for row in judged if row["result"] != "ok"]
    value = float(len(wrong)) if judged else None
    yield _figure("4", f"kernels off their float64 twin, of {len(judged)}", value, operator.le, 0, "; ".join(wrong))
    rows = found.get("kernels", [])
    for name in COPIED:
        for batch, same in _by(rows, "batch", name):
            worst = max(same, key=lambda row: row["over_bound"])
            what = f"{worst['kernel']}, batch {batch}: time over max(copy + launch, arithmetic)"
            yield _figure("4", what, worst["over_bound"], operator.le, 3, f"{worst['us']:.1f} us")
    for name in FOURIER:
        for batch, same in _by(rows, "batch", name):
            best = max(same, key=lambda row: row["times_faster"])
            what = f"{name}, batch {batch}: torch.fft and pointwise in a graph over the kernels"
            yield _figure("4", what, best["times_faster"], operator.ge, 1.5, best["kernel"])
    if not rows:
        for what, target in (
            ("mask, pointwise and JPEG over their bound", "<= 3"),
            ("FFT step over torch.fft", ">= 1.5"),
        ):
            yield Figure("4", what, target, None, None, "no kernel was timed")


def _issue_5(found: Tables) -> Iterator[Figure]:
    yield from _network(found)
    yield from _paper(found.get("paper", []))
    for task in TASKS:
        yield _whole(found.get("restorations", []), task)
    gains = [row for row in found.get("restorations", ()) if row["eager_over_graph"] and row["graph"][:4] != "off:"]
    least = min(gains, key=lambda row: row["eager_over_graph"], default=None)
    what = "eager over graph, shipped prior, batch 1, the task that gains least"
    yield _figure("5", what, _of(least, "eager_over_graph"), operator.ge, 1.5, least["task"] if least else "")
    for words, what in WRONG:
        yield _none_wrong(found.get("checks", []), words, what)
    costs = [row for row in found.get("bfloat16", ()) if row["counts"]]
    worst = max(costs, key=lambda row: row["cost_dB"], default=None)
    yield _figure("5", "cost of bfloat16 in dB, worst task", _of(worst, "cost_dB"), operator.le, 0.05, _task(worst))


def _whole(rows: list[Row], task: str) -> Figure:
    """A task's worst ratio over the N that are promised; met only where all of them were measured."""
    ratios = {row["N"]: row["over_calls"] for row in rows if row["task"] == task and row["N"] in STEPS}
    seen = [f"N = {n}: {ratios[n]:.3f}" if n in ratios else f"N = {n}: not measured" for n in STEPS]
    how = next((f"{row['strategy']}, {row['kernel']}" for row in rows if row["task"] == task), "")
    what = f"{task}: whole over N captured calls"
    worst = max(ratios.values(), default=None)
    figure = _figure("5", what, worst, operator.le, 1.05, "; ".join([*seen, how] if ratios else ["not measured"]))
    return replace(figure, met=None) if figure.met and len(ratios) < len(STEPS) else figure


def _network(found: Tables) -> Iterator[Figure]:
    rows = [
        row
        for row in found.get("calls", ())
        if row["network"] == "FFHQ-size" and row["batch"] == 64 and row["way"] in MANY and row["share_of_bf16"]
    ]
    best = max(rows, key=lambda row: row["share_of_bf16"], default=None)
    note = f"{best['way']}, {best['tflops']:.0f} TFLOP/s" if best else ""
    what = "FFHQ-size network, batch 64: share of the bfloat16 matmul"
    yield _figure("5", what, _of(best, "share_of_bf16"), operator.ge, 0.45, note)
    ms = {(row["network"], row["batch"], row["way"]): row["ms"] for row in found.get("calls", ())}
    for name in NETWORKS:
        eager, replay = (ms.get((name, 1, f"{way} bfloat16")) for way in ("eager", "captured"))
        gain = eager / replay if eager and replay else None
        yield _figure("5", f"{name}, one call, batch 1: eager bfloat16 over captured", gain, operator.ge, 1.5)


def _paper(rows: list[Row]) -> Iterator[Figure]:
    runs = {(row["batch"], row["asked"]): row for row in rows}
    one, many, plain = runs.get((1, "auto")), runs.get((64, "auto")), runs.get((1, "False"))
    for row, batch, seconds in ((many, 64, 0.35), (one, 1, 2.0)):
        note = f"{row['backend']} {row['precision']}, graph {row['graph']}" if row else ""
        start = f"paper's setting, batch {batch}"
        yield _figure("5", f"{start}: s an image", _of(row, "seconds_an_image"), operator.le, seconds, note)
        yield _figure("5", f"{start}: whole over N captured calls", _of(row, "over_calls"), operator.le, 1.05)
    gain = plain["seconds"] / one["seconds"] if plain and one else None
    yield _figure("5", "paper's setting, batch 1: eager over graph", gain, operator.ge, 1.5)


def _none_wrong(checks: list[Row], words: str, what: str) -> Figure:
    judged = [row for row in checks if words in row["check"]]
    wrong = [row["check"] for row in judged if row["result"] != "ok"]
    value = float(len(wrong)) if judged else None
    return _figure("5", f"{what}, of {len(judged)}", value, operator.le, 0, "; ".join(wrong))


def _figure(
    issue: str, what: str, value: float | None, compare: Callable[[float, float], bool], target: float, note: str = ""
) -> Figure:
    sign = "<=" if compare is operator.le else ">="
    met = None if value is None else bool(compare(value, target))
    return Figure(issue, what, f"{sign} {target:g}", value, met, note or ("not measured" if value is None else ""))


def _by(rows: list[Row], key: str, start: str) -> Iterator[tuple[Any, list[Row]]]:
    same = [row for row in rows if row["kernel"].startswith(start)]
    for value in sorted({row[key] for row in same}):
        yield value, [row for row in same if row[key] == value]


def _ceiling(found: Tables, name: str) -> float | None:
    return next((row["value"] for row in found.get("ceilings", ()) if row["what"] == name), None)


def _of(row: Row | None, key: str) -> float | None:
    return None if row is None else float(row[key])


def _task(row: Row | None) -> str:
    return row["task"] if row else ""
