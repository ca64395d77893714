"""Every kernel against its twin in Triton's interpreter, in a process that imports it with the interpreter on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
FOLDER = Path(__file__).parent / "interpreted"


def test_kernels_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", str(FOLDER)]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=FOLDER.parents[2], check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
