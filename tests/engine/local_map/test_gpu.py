"""The Triton side of the wiring, in Triton's interpreter: the same answer as the compiled C++ side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

PROGRAM = """
import torch
from lmaps import operators
from lmaps.engine.local_map import LocalMAP, build, gpu

sigmas = [3.0, 0.5, 0.1]
settings = LocalMAP(k1=0.4, k2=5.0, eta=0.1, inner_steps=3)
shape = (2, 3, 16, 16)
smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 5, 5), size=shape[2:], mode="bicubic") * 2 - 1
xhat, truth = smooth.split(2)
cpu = torch.device("cpu")
for operator in (operators.HDR(), operators.HDR(gradient="identity"), operators.Quantize(2), operators.JPEG(5)):
    y = operator.degrade(truth, 0.05).contiguous()
    fused = gpu.fused(operator, settings, sigmas, shape, cpu)
    here = build(operator, settings, sigmas, shape)
    assert here.name == "onchip"
    for index in (0, 2):
        off = (fused(xhat, y, index) - here.solve(xhat, here.observe(y), index)).abs() > 1e-5
        assert off.float().mean() < 5e-3, (operator, index, off.float().mean())
assert gpu.fused(operators.Denoise(), settings, sigmas, shape, cpu) is None
assert gpu.fused(operators.JPEG(5), settings, sigmas, (1, 3, 16, 24), cpu) is None
"""


def test_triton_steps_equal_the_compiled_ones() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
