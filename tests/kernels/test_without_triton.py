"""Kernel modules import and their twins work where Triton is not installed; launching says what to do."""

import subprocess
import sys
from pathlib import Path

import lmaps.kernels

MODULES = sorted(p.stem for p in Path(lmaps.kernels.__file__).parent.glob("*.py") if p.stem != "__init__")

SCRIPT = f"""
import sys
sys.modules["triton"] = None
import importlib
import torch
for name in {MODULES!r}:
    importlib.import_module("lmaps.kernels." + name)
from lmaps.kernels import available, mask, schedule
ok, reason = available()
assert not ok and "pip install" in reason, reason
x, w = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
rows = schedule.table(r=0.5, k2=1.0, eta=0.5)
assert mask.steps_twin(x, w, w, rows, 0, 3).abs().sum() > 0
try:
    mask.steps(x, w, w, rows, 0, 3)
except RuntimeError as error:
    assert "Triton is not installed" in str(error), error
else:
    raise AssertionError("launched without Triton")
from lmaps.kernels import check
assert check.main([]) == 2
"""


def test_without_triton() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Triton is not installed" in run.stderr


def test_importing_the_package_does_not_import_triton() -> None:
    code = "import sys, lmaps.kernels, lmaps.kernels.philox; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
