"""bench.gpu without a GPU: the rehearsal, the plan, the reading of figures, and the lines for CUDA on a stand-in."""

from __future__ import annotations

import argparse
import gc
import io
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import lmaps
from bench.gpu import __main__ as main
from bench.gpu import (
    ahead,
    build,
    checks,
    clock,
    compiled,
    denoisers,
    figures,
    kernels,
    networks,
    paper,
    pictures,
    plan,
    report,
    restorations,
    single,
    stand_ins,
    whole,
)
from bench.gpu.bench import Bench, NotHere
from lmaps.engine import graph_choice
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.tasks import TASKS
from lmaps.kernels import _triton, group_norm
from lmaps.kernels.check import Row
from lmaps.kernels.timing import Time

from ..engine import fake_cuda

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench("cpu", tmp_path / "rows.jsonl", time.monotonic() + 100, tiny=True)


@pytest.fixture
def rows(bench: Bench, tmp_path: Path) -> Any:
    """The rows written so far, by table."""
    return lambda: figures.tables(plan.read_rows(tmp_path / "rows.jsonl"))


@pytest.fixture
def gpu(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The bench where the CPU passes for a GPU."""
    fake_cuda.install(monkeypatch)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 2**30)
    bench.on_gpu = True
    return bench


def test_rehearsal_writes_a_report(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--tiny", "--only", "machine", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu-rehearsal.json").read_text())
    assert {row["what"] for row in found["tables"]["ceilings"]} >= {"bfloat16 matmul", "device copy", "launch"}
    assert found["sections"][0]["outcome"] == "done"
    assert "rehearsal" in (tmp_path / "gpu-rehearsal.md").read_text()


def test_time_left_over_goes_to_later_sections() -> None:
    shares = [s.share for s in plan.SECTIONS]
    assert plan.limit(plan.SECTIONS, sum(shares)) == pytest.approx(shares[0])
    assert plan.limit(plan.SECTIONS[-1:], 77.0) == 77.0
    assert plan.limit(plan.SECTIONS[1:], 2 * sum(shares[1:])) == pytest.approx(2 * shares[1])


def test_sections_that_are_not_asked_for_get_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def processes(run: main.Run, section: plan.Section, file: Path, until: float) -> str:
        now = time.monotonic()
        shares.append((until - now) / (run.until - now))
        return "done"

    monkeypatch.setattr(main, "WORK", tmp_path)
    monkeypatch.setattr(main.Run, "_processes", processes)
    monkeypatch.setattr(main, "provide", lambda *_, **__: build.Built((), "", 0.0))
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    command = ["bench.gpu", "--only", "paper", "compiled", "--device", "cpu", "-o", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    main.main()
    first, last = (s.share for s in plan.SECTIONS if s.name in ("paper", "compiled"))
    assert shares == [pytest.approx(first / (first + last), rel=1e-3), pytest.approx(1.0)]


# Seconds that a section should take on an H200: processes start in 8, and cuDNN tunes FFHQ's network in 10 at batch 64.
EXPECTED = {"machine": 17, "denoisers": 52, "paper": 98, "restorations": 112, "start": 25}


def test_what_is_promised_has_time_to_spare() -> None:
    """After a build of 30 s, and with nothing left over by the sections before that they did not need."""
    left = 60 * 8.8 - main.LAST - 30
    for index, (name, seconds) in enumerate(EXPECTED.items()):
        assert plan.SECTIONS[index].name == name
        assert plan.limit(plan.SECTIONS[index:], left) >= 1.15 * seconds
        left -= seconds
    assert left > 150


def test_a_process_knows_when_it_is_ended(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds it takes to start and import torch are the section's own: parent and child hold the same deadline."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waited: list[float] = []
    started: list[list[str]] = []

    class Process:
        pid = 0

        def __init__(self, command: list[str], **_: Any) -> None:
            started.append(command)

        def wait(self, timeout: float | None = None) -> int:
            waited.append(timeout or 0.0)
            return 0

    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(main, "_end", lambda process: None)
    given = argparse.Namespace(device="cpu", tiny=True)
    run = main.Run(given, build.Built((), "", 0.0), 0.0, io.StringIO(), [], [])
    assert run._process(plan.SECTIONS[0], tmp_path / "rows.jsonl", 1060.0) == 0
    (command,) = started
    until = float(command[command.index("--until") + 1])
    now = 1007.0
    child = Bench("cpu", tmp_path / "rows.jsonl", until, tiny=True)
    assert (child.left(), waited) == (53.0, [60.0 + main.GRACE])


def test_the_promised_calls_come_first_and_in_bfloat16(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.batches = (1, 4, 16, 64)
    labels: list[str] = []
    monkeypatch.setattr(bench, "attempt", lambda label, work, **_: labels.append(label))
    denoisers.run(bench)
    assert labels[:4] == ["FFHQ-size, kernels", "FFHQ-size, batch 64", "photo, batch 64", "FFHQ-size, batch 1"]
    assert len(labels) == 9
    labels.clear()
    paper.run(bench)
    assert labels == ["batch 64, graph=auto", "batch 1, graph=auto", "batch 1, graph=False", "batch 1, graph=loop"]
    labels.clear()
    single.run(bench)
    assert (labels[1], labels[-1]) == ("photo, batch 1", "FFHQ-size, batch 64")


def test_the_sections_calls_are_in_the_precision_it_is_named_for(bench: Bench, rows: Any) -> None:
    prior = lmaps.load_prior("photo")
    denoisers._calls(bench, "photo", lambda name: prior, 1)
    assert [row["way"] for row in rows()["calls"]] == ["eager bfloat16"]
    single._calls(bench, "photo", lambda name: prior, 1)
    assert [row["way"] for row in rows()["calls"]] == ["eager bfloat16", "eager float32"]
    (row,) = rows()["bfloat16 calls"]
    assert 0 < row["relative_difference"] < 0.02


@pytest.mark.skipif(_triton.triton is None or _triton.interpreted(), reason="needs Triton's compiler")
def test_kernels_are_compiled_together_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    here = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
    )
    monkeypatch.setattr(driver, "_active", here)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    x = torch.zeros(1, 32, 8, 8).to(memory_format=torch.channels_last)
    out = torch.full_like(x, 7.0)
    affine = (torch.ones(32), torch.zeros(32))

    def work() -> None:
        for silu in (True, False, True):
            group_norm.apply(x, 4, *affine, silu=silu, eps=0.0625, out=out)

    assert ahead.compile_ahead(work) == 3
    assert len(list(tmp_path.rglob("*.cubin"))) == 2
    assert bool((out == 7).all())


def test_an_attempt_that_fails_does_not_stop_the_next(bench: Bench, rows: Any) -> None:
    def refuse() -> None:
        raise NotHere("no such thing")

    bench.attempt("breaks", lambda: 1 / 0)
    bench.attempt("refuses", refuse)
    bench.attempt("too long", lambda: bench.row("t", value=0), needs=1000)
    bench.attempt("works", lambda: bench.row("t", value=1))
    found = rows()
    assert [row["what"] for row in found["failed"]] == ["breaks"]
    assert "ZeroDivisionError" in found["failed"][0]["error"]
    assert [row["what"] for row in found["skipped"]] == ["refuses", "too long"]
    assert found["t"] == [{"value": 1}]


def test_a_section_goes_on_behind_what_killed_it(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    bench.attempt("first", lambda: None)
    with file.open("a") as out:
        out.write('{"kind": "begin", "label": "second"}\n{"kind": "row", "tab')
    assert plan.unfinished(plan.read_rows(file)) == "second"
    with file.open("a") as out:
        out.write("\n")
    done: list[str] = []
    later = Bench("cpu", file, time.monotonic() + 100, tiny=True)
    for label in ("first", "second", "third"):
        later.attempt(label, lambda label=label: done.append(label))  # type: ignore[misc]
    assert done == ["third"]


@pytest.mark.parametrize(
    ("codes", "outcome", "blamed"), [([-11, 0], "done", ["x"]), ([None], "cut", ["x"]), ([0], "done", [])]
)
def test_dead_and_late_processes_are_told(
    codes: list[int | None], outcome: str, blamed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"kind": "begin", "label": "x"}\n')
    run = main.Run(argparse.Namespace(), build.Built((), "", 0.0), 0.0, io.StringIO(), [], [])
    answers = iter(codes)
    monkeypatch.setattr(run, "_process", lambda *_: next(answers))
    assert run._processes(plan.SECTIONS[0], file, main.time.monotonic() + 60) == outcome
    assert [row["what"] for row in run.rows] == blamed


def test_weights_read_without_safetensors_are_the_same() -> None:
    from safetensors.torch import load_file

    path = next((ROOT / "engine" / "priors" / "photo").glob("*.safetensors"))
    expected = load_file(path)
    with stand_ins.SafeOpen(path) as file:
        assert set(file.keys()) == set(expected)
        assert all(torch.equal(file.get_tensor(key), value) for key, value in expected.items())


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\x10" + bytes(30))
    with pytest.raises(stand_ins.SafetensorError, match="header"):
        stand_ins.SafeOpen(tmp_path / "bad")


def test_links_stand_for_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> Path:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(build, "_native", refuse)
    built = build.provide(ROOT, tmp_path, fresh=True)
    assert built.problem == "no compiler"
    # -S leaves out the installed package, so that only the links can be found.
    code = "import lmaps, lmaps.kernels, importlib.util as u; print(lmaps.__file__, u.find_spec('lmaps.export').origin)"
    command = [sys.executable, "-S", "-P", "-c", code + "; import lmaps._native as n; n.normal()"]
    done = subprocess.run(command, env={"PYTHONPATH": built.paths[0]}, capture_output=True, text=True, check=False)
    assert str(tmp_path / "tree" / "lmaps" / "export") in done.stdout
    assert "normal was called" in done.stderr


def test_flops_are_those_of_the_layers(bench: Bench) -> None:
    prior = lmaps.load_prior("photo")
    denoiser = open_denoiser(prior, backend="torch", precision="float32", size=(64, 64), batch=2, device="cpu")
    x, sigma = networks.inputs(bench, 2)
    counted = 0

    def count(layer: Any, _: Any, out: torch.Tensor) -> None:
        nonlocal counted
        counted += 2 * out.numel() * layer.weight[0].numel()

    layers = [m for m in prior.module("cpu").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        denoiser(x, sigma)
    for hook in hooks:
        hook.remove()
    assert networks.flops(denoiser, x, sigma) == counted > 0


def test_the_network_has_the_size_of_ffhqs() -> None:
    with torch.device("meta"):
        module = networks.build_adm({"network": networks._FFHQ, "preconditioning": networks._DDPM})
    assert sum(p.numel() for p in module.parameters()) == 93_563_910


def test_percentiles_are_nearest_ranks() -> None:
    times = [float(i) for i in range(100, 0, -1)]
    assert (clock.percentile(times, 0.9), clock.percentile(times, 0.99), clock.percentile([3.0], 0.99)) == (90, 99, 3)


def test_a_captured_call_is_replayed_and_compared(gpu: Bench, rows: Any) -> None:
    denoiser = open_denoiser(
        lmaps.load_prior("photo"), backend="torch", precision="float32", size=(64, 64), batch=1, device="cpu"
    )
    x, sigma = networks.inputs(gpu, 1)
    denoisers.measure(gpu, "photo", 1, "captured float32", denoiser, x, sigma, 10**9)
    (check,), (call,) = rows()["checks"], rows()["calls"]
    assert check["result"] == "ok"
    assert (call["peak_gib"], call["tflops"]) == (1.0, pytest.approx(1 / call["ms"]))


def test_a_replay_keeps_what_it_works_on(gpu: Bench) -> None:
    """A graph holds addresses: without the tensors it would be replayed on memory that others have by then."""
    x = torch.zeros(2)

    def call(x: torch.Tensor = x) -> None:
        x.add_(1)

    held = weakref.ref(call)
    replay = clock.captured(call, gpu)
    del call
    gc.collect()
    assert held() is not None
    replay()
    assert x.tolist() == [5, 5]


class Slow:
    """A restorer whose runs take as long as they are told to, on a clock of its own."""

    steps, shape, compiled = 200, (64, 3, 8, 8), {"compile_s": 0.0}

    def __init__(self, seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.left = 0.0, seconds
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now)

    def __call__(self, y: torch.Tensor) -> Any:
        self.now += self.left.pop(0)
        return SimpleNamespace(status="ok")


@pytest.mark.parametrize(
    ("seconds", "times", "call_seconds"),
    [
        ([20.0, 99.0], [20.0], 3.0),
        ([2.0, 1.0, 1.0, 1.0, 99.0], [1.0, 1.0, 1.0], 1.0),
        ([0.5, *[0.01] * 200], [0.01] * 50, 0.4),
    ],
)
def test_the_call_is_measured_behind_the_runs_for_as_long_as_one(
    seconds: list[float], times: list[float], call_seconds: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.tiny = False
    slow = Slow(seconds, monkeypatch)
    measured_at: list[tuple[float, float]] = []

    def per_call(call: Callable[[], object], bench: Bench, *, seconds: float) -> float:
        measured_at.append((slow.now, seconds))
        return 0.1

    monkeypatch.setattr(whole, "per_call", per_call)
    monkeypatch.setattr(whole, "_denoiser_call", lambda bench, restorer: None)
    expected = sum(times) + (seconds[0] if len(times) > 1 else 0)
    found = whole.measured(bench, slow, torch.zeros(1), seconds=0.495 if times[0] < 1 else 3.0)  # type: ignore[arg-type]
    assert found.times == pytest.approx(times)
    assert found.call == 0.1
    assert measured_at == [(pytest.approx(expected), pytest.approx(call_seconds))]


def test_nothing_but_its_own_section_compiles(bench: Bench) -> None:
    """ "auto" would time torch.compile for every shape; a prior made of a module is not even remembered."""
    assert bench.engine == {"device": "cpu", "backend": "torch", "precision": "float32"}
    bench.on_gpu = True
    assert bench.engine == {"device": "cpu", "backend": "torch"}


def test_rows_say_their_inner_steps(bench: Bench) -> None:
    prior = lmaps.load_prior("photo")
    for task, asked in (("sr4", {"inner_steps": 7}), ("jpeg", {})):
        restorer = whole.compiled(bench, task, pictures.operator(task, bench), prior, steps=2, **asked)
        facts = whole.Whole([1.0], 0.1, 2, {**restorer.compiled, "status": "ok"}).facts()
        assert facts["K"] == restorer.solver.settings.inner_steps  # type: ignore[attr-defined]
    assert not any("K = " in title for title in report.TITLES.values())


def test_rows_say_what_does_not_run_as_it_should(bench: Bench) -> None:
    stats = {"compile_s": 1.0, "norms": {"fused": 1, "plain": 40}, "kernels_passed_over": {"triton blur": "9e-1 off"}}
    facts = whole.Whole([1.0], 0.1, 2, stats).facts()
    assert (facts["norms"], facts["kernels_passed_over"]) == (stats["norms"], stats["kernels_passed_over"])


def test_auto_is_tried_once_and_remembered(gpu: Bench, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Opened:
        def describe(self) -> dict[str, Any]:
            return {"backend": "torch-compile", "milliseconds": {"torch": 2.0, "torch-compile": 1.0}}

    def open_here(*_: Any, backend: str, **options: Any) -> Opened:
        asked.append(backend)
        return Opened()

    monkeypatch.setattr(compiled, "open_here", open_here)
    compiled._auto(gpu)
    assert asked == ["auto", "auto"]
    assert [(row["state"], row["chosen"]) for row in rows()["auto"]] == [
        ("timed", "torch-compile"),
        ("remembered", "torch-compile"),
    ]


def test_graphs_are_compared_with_the_eager_image(gpu: Bench, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_choice, "obstacle", lambda *_: None)
    monkeypatch.setattr(Bench, "engine", {"device": "cpu", "backend": "torch", "precision": "float32"})
    checks._graphs(gpu, "sr4", (True, "loop"))
    found = rows()["checks"]
    assert [row["result"] for row in found] == ["ok"] * 4
    assert fake_cuda.FakeGraph.replays > 0


def test_whole_restorations_are_recorded_and_not(gpu: Bench, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_choice, "obstacle", lambda *_: None)
    monkeypatch.setattr(Bench, "engine", {"device": "cpu", "backend": "torch", "precision": "float32"})
    gpu.size = 32
    restorations._task(gpu, "sr4", gpu.steps[0])
    (row,) = rows()["restorations"]
    assert (row["graph"], row["status"], row["runs"]) == ("step", "ok", 3)
    assert row["eager_over_graph"] == pytest.approx(row["eager_seconds"] / row["seconds"])
    paper.run(gpu)
    found = [(row["batch"], row["asked"], row["graph"][:4]) for row in rows()["paper"]]
    assert found == [(2, "auto", "step"), (1, "auto", "step"), (1, "False", "off:"), (1, "loop", "loop")]
    assert "failed" not in rows()


def test_kernel_rows_hold_what_bounds_them(gpu: Bench, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Row("HDR, 100 steps", 1, 1e-7, 0.0, True, 12.0, 600.0, 50.0, 100.0, 5.0)
    monkeypatch.setattr(kernels, "check_case", lambda *_: timed)
    monkeypatch.setattr(kernels, "captured_time", lambda call: Time(2.0, 2.0, 2.0))
    case = argparse.Namespace(name="HDR, 100 steps", bytes=800, flops=3e8)
    gpu.row("ceilings", what="float32 matmul", value=50.0, unit="TFLOP/s")
    kernels._case(gpu, case, 1)  # type: ignore[arg-type]
    (row,) = rows()["kernels"]
    assert row["arithmetic_us"] == pytest.approx(6.0)
    assert row["over_bound"] == pytest.approx(2.0)
    (figure,) = [f for f in figures.figures(rows()) if f.what.startswith("HDR")]
    assert (figure.target, figure.met) == ("<= 3", True)


def _row(table: str, **values: Any) -> dict[str, Any]:
    return {"kind": "row", "table": table, **values}


def _got(given: list[dict[str, Any]]) -> dict[str, figures.Figure]:
    return {figure.what: figure for figure in figures.figures(figures.tables(given))}


def _paper(batch: int, asked: str, seconds: float) -> dict[str, Any]:
    known = {"over_calls": 1.02, "backend": "torch", "precision": "bfloat16", "graph": "step"}
    return _row("paper", batch=batch, asked=asked, seconds=seconds, seconds_an_image=seconds / batch, **known)


def test_a_batch_is_not_taken_for_another() -> None:
    got = _got([_paper(64, "auto", 20.0), _row("ceilings", what="bfloat16 matmul", value=800.0)])
    one, many = (got[f"paper's setting, batch {batch}: s an image"] for batch in (1, 64))
    assert (one.value, one.met, one.note) == (None, None, "not measured")
    assert (many.value, many.met) == (0.3125, True)
    assert got["paper's setting, batch 1: whole over N captured calls"].met is None
    got = _got([_paper(1, "auto", 1.5)])
    assert got["paper's setting, batch 64: s an image"].met is None
    assert got["paper's setting, batch 1: s an image"].met is True
    assert got["paper's setting, batch 1: eager over graph"].met is None
    calls = [_row("calls", network="FFHQ-size", batch=16, way="captured bfloat16", ms=5.0, tflops=790.0)]
    share = _got([_row("ceilings", what="bfloat16 matmul", value=800.0), *calls])
    assert share["FFHQ-size network, batch 64: share of the bfloat16 matmul"].met is None


def test_every_task_has_one_figure_for_all_its_steps() -> None:
    assert set(plan.TASKS) == set(TASKS)
    ratios = {("sr4", 20): 3.0, ("hdr", 20): 1.02, ("hdr", 200): 1.01, ("jpeg", 20): 1.01, ("denoise", 200): 1.2}
    known = {"strategy": "spectral", "kernel": "fused", "eager_over_graph": None, "graph": "step"}
    got = _got([_row("restorations", task=t, N=n, over_calls=ratio, **known) for (t, n), ratio in ratios.items()])
    found = {task: got[f"{task}: whole over N captured calls"] for task in plan.TASKS}
    assert {task: (f.value, f.met) for task, f in found.items() if f.value is not None} == {
        "sr4": (3.0, False),
        "hdr": (1.02, True),
        "jpeg": (1.01, None),
        "denoise": (1.2, False),
    }
    assert found["hdr"].note == "N = 20: 1.020; N = 200: 1.010; spectral, fused"
    assert found["jpeg"].note == "N = 20: 1.010; N = 200: not measured; spectral, fused"
    assert found["quantize"].note == "not measured"


def test_networks_are_called_the_same_in_rows_and_figures() -> None:
    assert figures.NETWORKS == (networks.FFHQ, networks.SHIPPED)


def test_figures_are_read_off_the_rows(tmp_path: Path) -> None:
    given = [
        _row("ceilings", what="bfloat16 matmul", value=800.0),
        _row("calls", network="FFHQ-size", batch=64, way="captured bfloat16", ms=70.0, tflops=340.0),
        _row("calls", network="FFHQ-size", batch=64, way="eager bfloat16", ms=50.0, tflops=500.0),
        _row("calls", network="FFHQ-size", batch=1, way="captured bfloat16", ms=4.0, tflops=90.0),
        _row("calls", network="FFHQ-size", batch=1, way="eager bfloat16", ms=10.0, tflops=36.0),
        _row("checks", check="local MAP of sr4 within 1e-05 of the loop", result="WRONG", detail=""),
        _row("bfloat16", task="sr4", cost_dB=0.02, counts=True),
        _row("bfloat16", task="phase-retrieval", cost_dB=3.0, counts=False),
    ]
    given += [_paper(1, "auto", 1.5), _paper(64, "auto", 25.6), _paper(1, "False", 3.0)]
    got = _got(given)

    def figure(start: str) -> tuple[float | None, bool | None]:
        (found,) = [f for what, f in got.items() if what.startswith(start)]
        return found.value, found.met

    assert figure("FFHQ-size, one call") == (pytest.approx(2.5), True)
    assert figure("FFHQ-size network, batch 64") == (pytest.approx(0.425), False)
    assert figure("paper's setting, batch 1: s an image") == (1.5, True)
    assert figure("paper's setting, batch 64: s an image") == (pytest.approx(0.4), False)
    assert figure("paper's setting, batch 1: eager over graph") == (2.0, True)
    assert figure("strategies off the loop") == (1.0, False)
    assert figure("cost of bfloat16") == (0.02, True)
    assert figure("100 replays") == (None, None)
    report.write(tmp_path, "gpu-x", {"title": "T", "command": "c", "date": "d", "built": "b", "warning": ""}, given, [])
    text = (tmp_path / "gpu-x.md").read_text()
    assert "| 5 | paper's setting, batch 1: s an image | <= 2 | 1.5 | yes |" in text
    assert all(what in text for _, what, _ in figures.ON_A_CPU)
