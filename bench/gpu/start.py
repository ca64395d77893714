"""From starting a process to its first picture: with empty caches, and with what the first process left in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from .bench import Bench

CACHES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH", "LMAPS_CACHE")


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory(prefix="lmaps-start-") as folder:
        caches = {name: str(Path(folder) / name.lower()) for name in CACHES}
        for path in caches.values():
            Path(path).mkdir(mode=0o700)
        for state in ("cold", "warm"):
            bench.attempt(state, partial(_process, bench, state, caches))


def _process(bench: Bench, state: str, caches: dict[str, str]) -> None:
    command = [sys.executable, "-P", "-m", "bench.gpu.first", "--device", bench.device.type, "--size", str(bench.size)]
    started = time.perf_counter()
    answer = subprocess.run(
        command, env={**os.environ, **caches}, capture_output=True, text=True, timeout=max(bench.left(), 5), check=False
    )
    total = time.perf_counter() - started
    if answer.returncode:
        raise RuntimeError(f"the process answers {answer.returncode}: {answer.stderr.strip()[-500:]}")
    facts = json.loads(answer.stdout.strip().splitlines()[-1])
    bench.row("start", state=state, process_s=total, **facts)
