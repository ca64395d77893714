"""The Triton side of the wiring, in Triton's interpreter: the same answer as the compiled C++ and torch side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def test_triton_steps_equal_the_compiled_ones() -> None:
    """Triton decides at its import whether kernels are interpreted: hence a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.local_map.triton_program"],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
