"""The paper's own networks, with random weights: converting, exporting, and one forward on every backend.

    python -m bench.networks [--network ffhq|imagenet] [--size 256] [--rounds 5] [-o FILE.md]

A checkpoint of the published shape is written, goes through `lmaps convert` in a process of its own (its peak memory is
printed by the command), is exported, and runs on eager torch in float32 and on whatever else works here, taking turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from bench.machine import alternated, machine
from lmaps.engine.denoisers import BackendUnavailable, open_denoiser
from lmaps.engine.priors import Prior, load_prior
from lmaps.engine.priors.networks import ARCHITECTURES
from lmaps.engine.priors.networks.adm_config import ADMConfig

NETWORKS = {
    "ffhq": ADMConfig(128, 1, (1, 1, 2, 2, 4, 4), (16,)),
    "imagenet": ADMConfig(256, 2, (1, 1, 2, 2, 4, 4), (8, 16, 32)),
}
REFERENCE = "torch float32"
RIVALS = (("torch", "bfloat16"), ("onnxruntime", "float32"), ("openvino", "float32"), ("openvino", "bfloat16"))


def checkpoint(config: ADMConfig, path: Path) -> float:
    """Write random weights under the checkpoint's own names; their number in millions."""
    with torch.device("meta"):
        module = ARCHITECTURES["adm"]({"network": asdict(config), "preconditioning": {"kind": "vp"}})
    shapes = {key.removeprefix("network."): value.shape for key, value in module.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        weights[key] = noise / noise[0].numel() ** 0.5 if noise.ndim > 1 else (key.endswith("weight") + 0.1 * noise)
    torch.save(weights, path)
    return sum(value.numel() for value in weights.values()) / 1e6


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def convert(source: Path, folder: Path) -> list[str]:
    words = [sys.executable, "-m", "lmaps", "convert", str(source), "-o", str(folder)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [line.strip() for line in told.splitlines() if line.startswith("done in")]


def forwards(prior: Prior, size: int, rounds: int) -> dict[str, float]:
    """Median seconds by backend and precision, float32 torch first."""
    x, sigma = torch.randn(1, 3, size, size), torch.tensor([2.0])
    runs: dict[str, Callable[[], object]] = {}
    for backend, precision in (("torch", "float32"), *RIVALS):
        try:
            denoiser = open_denoiser(
                prior, backend=backend, precision=precision, size=(size, size), batch=1, device="cpu"
            )
        except BackendUnavailable as reason:
            print(f"{backend} {precision}: {reason}", file=sys.stderr)
            continue
        runs[f"{backend} {precision}"] = lambda denoiser=denoiser: denoiser(x, sigma)
    with torch.no_grad():
        return alternated(runs, rounds)


def report(network: str, size: int, rounds: int) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        millions = checkpoint(NETWORKS[network], folder / "network.pt")
        told = convert(folder / "network.pt", folder / "prior")
        (folder / "network.pt").unlink()
        prior = load_prior(folder / "prior")
        exporting = timed(lambda: prior.onnx_path(folder / "cache"))
        seconds = forwards(prior, size, rounds)
    lines = [
        f"# {network}: {millions:.1f} million random weights, {size}x{size}",
        "",
        machine(),
        "",
        *(f"- convert: {line}" for line in told),
        f"- export to ONNX, with its check: {exporting:.1f} s",
        "",
        "| backend | ms | times faster |",
        "|---|---|---|",
    ]
    slowest = seconds[REFERENCE]
    return lines + [f"| {key} | {1e3 * value:.0f} | {slowest / value:.2f} |" for key, value in seconds.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="ffhq")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    text = "\n".join(report(given.network, given.size, given.rounds)) + "\n"
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
