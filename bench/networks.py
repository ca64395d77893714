"""The paper's own networks, with random weights: converting, exporting, and one forward on every backend.

    python -m bench.networks [--network ffhq|imagenet] [--size 256] [--rounds 5] [-o FILE.md]

A checkpoint of the published shape is written, goes through `lmaps convert` in a process of its own (its peak memory is
printed by the command), is exported, and runs on eager torch in float32 and on whatever else works here, taking turns. Then
whole restorations with it: time does not depend on the weights, so random ones do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import lmaps
from bench.machine import alternated, machine
from lmaps.engine import operators
from lmaps.engine.denoisers import BackendUnavailable, Denoiser, open_denoiser
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


@dataclass(frozen=True)
class Whole:
    """A whole restoration: its seconds, those of its denoiser calls alone, and where it ran."""

    title: str
    seconds: float
    calls: float
    ran: str


def restorations(prior: Prior, size: int) -> Iterator[Whole]:
    """LMAPS in 20 steps, and the paper's own setting (N = 200, K = 100), each beside as many calls of its denoiser."""
    wanted = (("SR x4, N = 20", "sr4", 20), ("Gaussian deblurring, N = 200, K = 100", "deblur-gaussian", 200))
    shape = (1, prior.channels, size, size)
    for title, task, steps in wanted:
        restorer = lmaps.compile(task, prior, size=(size, size), steps=steps, preset="paper", device="cpu")
        picture = 2 * torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 1
        stats = restorer(restorer.operator.degrade(picture, 0.05, seed=0)).stats
        backend, precision = stats["backend"], stats["precision"]
        denoiser = open_denoiser(prior, backend=backend, precision=precision, size=(size, size), batch=1, device="cpu")
        calls = timed(partial(_repeat, denoiser, picture, steps))
        yield Whole(title, stats["total_s"], calls, f"{backend} {precision}, {stats['strategy']}")


def _repeat(denoiser: Denoiser, x: Tensor, count: int) -> None:
    sigma = torch.tensor([2.0])
    with torch.no_grad():
        for _ in range(count):
            denoiser(x, sigma)


def plain_loop(size: int, call: float) -> float:
    """Seconds of the paper's setting as its reference code runs it, in eager float32 torch: 200 calls and 20,000 steps of
    autograd through a 61 x 61 convolution, worked out from one call and one step.
    """
    kernel = operators.GaussianBlur().kernel.float().expand(3, 1, -1, -1)
    border = (kernel.shape[-1] // 2,) * 4
    xhat, y = torch.rand(1, 3, size, size), torch.rand(1, 3, size, size)

    def step() -> None:
        x = xhat.clone().requires_grad_()
        seen = functional.conv2d(functional.pad(x, border, mode="reflect"), kernel, groups=3)
        (0.5 * (x - xhat).square().sum() + 50 * (seen - y).square().sum()).backward()

    with torch.enable_grad():
        return 200 * call + 20_000 * alternated({"step": step}, 5)["step"]


def report(network: str, size: int, rounds: int, whole: bool) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        millions = checkpoint(NETWORKS[network], folder / "network.pt")
        told = convert(folder / "network.pt", folder / "prior")
        (folder / "network.pt").unlink()
        prior = load_prior(folder / "prior")
        exporting = timed(lambda: prior.onnx_path(folder / "cache"))
        seconds = forwards(prior, size, rounds)
        done = list(restorations(prior, size)) if whole else []
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
    lines += [f"| {key} | {1e3 * value:.0f} | {slowest / value:.2f} |" for key, value in seconds.items()]
    if not done:
        return lines
    lines += ["", "| LMAPS, whole | s | N denoiser calls alone, s | ratio | ran on |", "|---|---|---|---|---|"]
    lines += [f"| {w.title} | {w.seconds:.1f} | {w.calls:.1f} | {w.seconds / w.calls:.3f} | {w.ran} |" for w in done]
    plain = plain_loop(size, slowest)
    return [
        *lines,
        "",
        "The second setting in plain torch, eager float32 with autograd through the 61 x 61 kernel, would take "
        f"{plain:.0f} s here (worked out from one denoiser call and one gradient step).",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="ffhq")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-restorations", action="store_true", help="forwards alone")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    text = "\n".join(report(given.network, given.size, given.rounds, not given.no_restorations)) + "\n"
    print(text)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
