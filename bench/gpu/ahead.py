"""The Triton kernels of a piece of work compiled on all cores at once, instead of one by one as each is first launched.

A network of FFHQ's size has 41 of them in a precision, a third of a second each. Later processes find them on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lmaps.kernels._triton import recording, triton


def compile_ahead(work: Callable[[], object]) -> int:
    """How many launches `work` has. They are recorded and not run, so what it computes is worth nothing.

    A kernel that cannot be compiled is passed over: its first launch will say why.
    """
    with recording() as launches:
        work()
    if launches:
        with ThreadPoolExecutor(os.cpu_count()) as pool, triton.AsyncCompileMode(pool, ignore_errors=True):
            for launch in launches:
                launch.kernel.warmup(*launch.arguments, grid=(1,), **launch.options)
    return len(launches)
