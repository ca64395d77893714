"""Are the kernels right here, and how fast?     python -m lmaps.kernels.check [--cpu | --tune] [--only WORD] [-o DIR]

Every kernel is first compared with its float64 twin; one that fails is not timed. Times are medians of replayed CUDA
graphs, for the kernel and for the plain torch sequence alike, at one image (launches and latency) and at a batch that
leaves the cache. Rates stand beside the measured ceilings: a large copy, and a large float32 matrix product.
--tune also times each kernel's other tiles and says which was fastest.

Exit codes: 0 all right, 1 a kernel is wrong, 2 no GPU to run on (or Triton is missing).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ._triton import available, interpreted, triton
from .cases import Case, all_cases
from .timing import captured_time, eager_time

BATCHES = (1, 32)
SHARE_OF_FLIPS = 0.02


@dataclass(frozen=True)
class Row:
    """What came out for one kernel at one batch size. Times in microseconds; rates of the kernel."""

    name: str
    batch: int
    error: float
    flips: float
    passed: bool
    kernel_us: float | None = None
    plain_us: float | None = None
    ratio: float | None = None
    gigabytes_s: float | None = None
    teraflops: float | None = None
    best_tile: str | None = None
    best_us: float | None = None
    note: str = ""


def compare(out: Tensor, reference: Tensor, smooth: bool) -> tuple[float, float]:
    """(relative RMS error, share of tipped values). NaN never passes.

    Where H has steps, values whose error exceeds 1e-3 count as tipped and are left out of the error.
    """
    wide = torch.view_as_real(out).double() if out.is_complex() else out.double()
    reference = torch.view_as_real(reference) if reference.is_complex() else reference
    difference = wide - reference
    if not bool(torch.isfinite(difference).all()):
        return float("nan"), 1.0
    kept = difference.abs() <= (float("inf") if smooth else 1e-3)
    scale = torch.linalg.vector_norm(reference[kept])
    error = float(torch.linalg.vector_norm(difference[kept]) / scale)
    return error, 1 - float(kept.double().mean())


def tuned(case: Case) -> tuple[str, float]:
    """The fastest of the case's tiles and its time in microseconds. Tiles that do not fit this GPU are passed over."""
    times = {}
    out = torch.empty_like(case.like)
    for tile in case.tiles:
        try:
            times[str(tile)] = captured_time(partial(case.kernel, out, **tile)).median_us
        except triton.runtime.errors.OutOfResources:
            continue
    best = min(times, key=times.__getitem__)
    return best, times[best]


def check_case(case: Case, batch: int, time_it: bool, tune: bool) -> Row:
    out = torch.full_like(case.like, float("nan"))
    try:
        error, flips = compare(case.kernel(out, **case.tile), case.twin(), case.smooth)
    except Exception as problem:  # one kernel that does not compile or fit must not hide what the others do
        return Row(case.name, batch, float("nan"), 1.0, False, note=f"{type(problem).__name__}: {problem}")
    passed = error <= case.tolerance and flips <= SHARE_OF_FLIPS
    if not passed or not time_it:
        return Row(case.name, batch, error, flips, passed)
    kernel = captured_time(lambda: case.kernel(out, **case.tile))
    try:
        plain, note = captured_time(case.plain), ""
    except RuntimeError:
        torch.cuda.synchronize()
        plain, note = eager_time(case.plain), "torch's time is not captured: it cannot be"
    best_tile, best_us = tuned(case) if tune else (None, None)
    return Row(
        case.name,
        batch,
        error,
        flips,
        passed,
        kernel_us=kernel.median_us,
        plain_us=plain.median_us,
        ratio=plain.median_us / kernel.median_us,
        gigabytes_s=case.bytes / kernel.median_us / 1e3,
        teraflops=case.flops / kernel.median_us / 1e6,
        best_tile=best_tile,
        best_us=best_us,
        note=note,
    )


def ceilings() -> dict[str, float]:
    """Measured on this GPU: GB/s of a 1 GiB copy (read plus written), TFLOP/s of a float32 matrix product."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    copy = captured_time(lambda: target.copy_(source))
    a = torch.randn(8192, 8192, device="cuda")
    product = captured_time(lambda: a @ a)
    return {
        "copy_gb_s": 2 * source.numel() * 4 / copy.median_us / 1e3,
        "float32_matmul_tflops": 2 * 8192**3 / product.median_us / 1e6,
    }


def table(rows: list[Row], limits: dict[str, float]) -> str:
    head = f"{'kernel':<48}{'B':>4}{'error':>10}{'us':>10}{'torch us':>11}{'ratio':>8}{'GB/s':>8}{'TFLOP/s':>9}"
    lines = [head, "-" * len(head)]
    for row in rows:
        start = f"{row.name:<48}{row.batch:>4}{row.error:>10.1e}"
        if row.kernel_us is None or row.plain_us is None or row.ratio is None:
            lines.append(start + ("        ok" if row.passed else "     WRONG"))
            continue
        lines.append(
            f"{start}{row.kernel_us:>10.1f}{row.plain_us:>11.1f}{row.ratio:>8.1f}"
            f"{row.gigabytes_s:>8.0f}{row.teraflops:>9.2f}"
        )
    lines += [
        f"tuned: {row.name}, batch {row.batch}: {row.best_us:.1f} us with {row.best_tile}, default {row.kernel_us:.1f}"
        for row in rows
        if row.best_us is not None
    ]
    lines += [f"note: {row.name}, batch {row.batch}: {row.note}" for row in rows if row.note]
    if limits:
        lines.append(
            f"measured ceilings: copy {limits['copy_gb_s']:.0f} GB/s, "
            f"float32 matmul {limits['float32_matmul_tflops']:.1f} TFLOP/s"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lmaps.kernels.check", description=__doc__.split("\n")[0])
    parser.add_argument("--cpu", action="store_true", help="correctness only, in Triton's interpreter, at small sizes")
    parser.add_argument("--tune", action="store_true", help="also try other tile sizes (takes longer than 5 minutes)")
    parser.add_argument("--only", metavar="WORD", default="", help="kernels whose name contains WORD")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="write kernels.json there")
    options = parser.parse_args(arguments)
    if options.cpu and triton is not None and not interpreted():
        # The interpreter is chosen when Triton is imported, so a fresh process is needed.
        command = [sys.executable, "-m", "lmaps.kernels.check", *(sys.argv[1:] if arguments is None else arguments)]
        return subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, check=False).returncode
    ok, reason = available()
    if not ok:
        print(f"cannot check the kernels: {reason} (--cpu checks them without a GPU)", file=sys.stderr)
        return 2
    print(reason, flush=True)
    on_gpu = not interpreted()
    rows = run(on_gpu, options.only, options.tune)
    if not rows:
        print(f"no kernel's name contains {options.only!r}", file=sys.stderr)
        return 2
    limits = ceilings() if on_gpu else {}
    if options.output is not None:
        write(options.output, rows, limits)
    print(table(rows, limits))
    wrong = [row.name for row in rows if not row.passed]
    if wrong:
        print(f"wrong: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def run(on_gpu: bool, only: str, tune: bool) -> list[Row]:
    device, batches = ("cuda", BATCHES) if on_gpu else ("cpu", (1,))
    torch.backends.cuda.matmul.allow_tf32 = False
    rows = []
    for batch in batches:
        for case in all_cases(device, batch, small=not on_gpu):
            if only.lower() in case.name.lower():
                rows.append(check_case(case, batch, on_gpu, on_gpu and tune))
                print(f"  {case.name}, batch {batch}: {'ok' if rows[-1].passed else 'WRONG'}", flush=True)
    return rows


def write(folder: Path, rows: list[Row], limits: dict[str, float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "where": available()[1],
        "torch": torch.__version__,
        "ceilings": limits,
        "kernels": [asdict(row) for row in rows],
    }
    (folder / "kernels.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
