"""Every Triton kernel against its float64 twin, then its time against torch, a copy of the same bytes and the arithmetic.

The cases are those of `lmaps.kernels.check`. One image first, then a batch that leaves the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from lmaps.kernels import available, cases_pixels, cases_spatial
from lmaps.kernels.cases import Case, Setting
from lmaps.kernels.check import BATCHES, check_case
from lmaps.kernels.timing import captured_time

from .bench import Bench, NotHere

# Quick in Triton's interpreter.
REHEARSED = ("mask, closed", "quantise")


def run(bench: Bench) -> None:
    runs, why = available()
    if not runs:
        bench.skip("kernels", why)
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    for batch in BATCHES if bench.on_gpu else (1,):
        for case in _cases(bench, batch):
            if bench.on_gpu or case.name.startswith(REHEARSED):
                bench.attempt(f"{case.name}, batch {batch}", partial(_case, bench, case, batch), needs=3)


def _cases(bench: Bench, batch: int) -> Iterator[Case]:
    setting = Setting(bench.device, batch, small=not bench.on_gpu)
    for build in (*cases_pixels.BUILDERS, *cases_spatial.BUILDERS):
        try:
            made = build(setting)
        except Exception as error:
            bench.failed(f"{build.__name__}, batch {batch}", error)
            continue
        yield from made


def _case(bench: Bench, case: Case, batch: int) -> None:
    row = check_case(case, batch, bench.on_gpu, False)
    bench.check(
        f"kernel {case.name}, batch {batch}", row.passed, f"error {row.error:.1e}, tipped {row.flips:.1e} {row.note}"
    )
    if row.kernel_us is None:
        if row.passed:
            raise NotHere("not timed: interpreted on a CPU")
        return
    bench.row(
        "kernels",
        kernel=case.name,
        batch=batch,
        us=row.kernel_us,
        torch_us=row.plain_us,
        times_faster=row.ratio,
        copy_us=_copy_us(case.bytes, bench),
        launch_us=_launch_us(bench),
        gflop=case.flops / 1e9,
        gb_s=row.gigabytes_s,
        tflops=row.teraflops,
    )


def _copy_us(moved: int, bench: Bench) -> float:
    """A device copy that reads and writes as many bytes as the kernel must."""
    source = torch.randn(max(moved // 8, 1), device=bench.device)
    target = torch.empty_like(source)
    return captured_time(lambda: target.copy_(source)).median_us


def _launch_us(bench: Bench) -> float:
    """A kernel that does nothing to speak of."""
    few = torch.zeros(1, device=bench.device)
    return captured_time(lambda: few.add_(1)).median_us
