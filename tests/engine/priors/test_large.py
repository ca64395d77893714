"""A network of half a billion weights is converted and run with its weights in memory once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lmaps.engine.priors.meta import without_weights
from lmaps.engine.priors.networks import ARCHITECTURES
from lmaps.engine.priors.networks.adm_config import ADMConfig

# 256x256_diffusion_uncond.pt
LARGE = ADMConfig(
    model_channels=256, num_res_blocks=2, channel_mult=(1, 1, 2, 2, 4, 4), attention_resolutions=(8, 16, 32)
)
# Beside the weights: Python, torch, and the largest tensors on their way.
REST = 0.8e9

RUN = """
import torch
from lmaps.engine.memory import resident_peak
from lmaps.engine.priors import load_prior
clean = load_prior({folder!r}).denoise(torch.randn(1, 3, 32, 32), torch.ones(1))
assert clean.shape == (1, 3, 32, 32)
print("peak", resident_peak())
"""


def peak(pattern: str, words: list[str]) -> float:
    """The number that a program prints after `pattern`."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    match = re.search(pattern + r" ([\d.]+)", done.stdout)
    assert match, done.stdout
    return float(match[1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_half_a_billion_weights_are_in_memory_once(tmp_path: Path) -> None:
    network = {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(LARGE).items()}
    settings = {"network": network, "preconditioning": {"kind": "vp"}, "class_label": None}
    module = without_weights(lambda: ARCHITECTURES["adm"](settings))
    weights = {key.removeprefix("network."): torch.full(v.shape, 1e-3) for key, v in module.state_dict().items()}
    size = sum(4 * value.numel() for value in weights.values())
    assert size == 4 * 552_814_086
    torch.save(weights, tmp_path / "large.pt")
    del weights
    command = [sys.executable, "-m", "lmaps", "convert", str(tmp_path / "large.pt"), "-o", str(tmp_path / "prior")]
    converting = 1e9 * peak("at most", command)
    (tmp_path / "large.pt").unlink()
    running = peak("peak", [sys.executable, "-c", RUN.format(folder=str(tmp_path / "prior"))])
    print(f"weights {size / 1e9:.2f} GB, peak when converting {converting / 1e9:.2f}, when running {running / 1e9:.2f}")
    assert converting < size + REST
    assert running < size + REST
