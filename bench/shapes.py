"""Which shape of network: quality after a short training against milliseconds.

    python -m bench.shapes --photos FOLDER -o bench/results/shapes.md [--images 20000] [--only milliseconds] [--tries NAME ...]

Every candidate is trained on the same crops in the same order (the seed is the same), with the shipped recipe and a rate that
falls to zero at the end, then denoises the held-out photographs; its milliseconds are those of OpenVINO in bfloat16 on one
256x256 picture. What is done goes into a journal beside the report: an interrupted search goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from bench.machine import alternated, machine
from bench.prior.journal import Journal
from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import load_prior, save_prior
from lmaps.engine.priors.edm import EDMDenoiser
from lmaps.engine.priors.training.data import PhotoBank, load_bank, photo_files, validation_crops
from lmaps.engine.priors.training.recipe import Recipe
from lmaps.engine.priors.training.run import Run
from lmaps.engine.priors.training.validation import SIGMAS, validate
from lmaps.engine.priors.unet import UNet, UNetConfig

SIZE = 256
HELD_OUT = "gb82"
LARGEST_MB = 32.0
SHIPPED = "shipped"
# What is varied, one thing at a time where that is possible at about the same cost.
CANDIDATES: dict[str, UNetConfig] = {
    SHIPPED: UNetConfig(),
    "narrower": UNetConfig((32, 64, 128), (2, 2, 6)),
    "wider": UNetConfig((64, 128, 256), (2, 2, 6)),
    "wider, shallower": UNetConfig((64, 128, 256), (1, 2, 4)),
    "deeper at 1/8": UNetConfig((48, 96, 192), (2, 2, 10)),
    "deeper at 1/2": UNetConfig((48, 96, 192), (4, 2, 6)),
    "width at the bottom": UNetConfig((32, 96, 256), (2, 2, 6)),
    "width at the top": UNetConfig((64, 96, 160), (3, 2, 4)),
    "two levels": UNetConfig((64, 128), (3, 8)),
    "four levels": UNetConfig((48, 96, 160, 224), (2, 2, 3, 3)),
    "small embedding": UNetConfig((48, 96, 192), (2, 2, 6), embedding=64),
}


@dataclass(frozen=True)
class Tried:
    """One candidate: megabytes of float16 weights, GFLOP (2 x multiply-adds) and milliseconds a 256x256 picture, PSNR in dB by
    the noise level."""

    name: str
    network: UNetConfig
    megabytes: float
    gflop: float
    milliseconds: float | None = None
    psnr: Mapping[str, float] | None = None


def megabytes(network: UNetConfig) -> float:
    """Of the weights in 16 bits."""
    with torch.device("meta"):
        return 2e-6 * sum(p.numel() for p in UNet(network).parameters())


def gflop(network: UNetConfig, size: int = SIZE) -> float:
    """2 x multiply-adds of the convolutions on one size x size picture, in 1e9; counted by running them without data."""
    total = 0.0

    def count(module: nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += 2e-9 * out.numel() * module.weight[0].numel()

    with torch.device("meta"):
        model = UNet(network)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        model(torch.empty(1, network.image_channels, size, size), torch.empty(1))
    return total


def with_random_weights(network: UNetConfig) -> EDMDenoiser:
    """A denoiser whose every weight is at work: a fresh one is full of zeros, which some run times skip."""
    denoiser = EDMDenoiser(UNet(network)).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in denoiser.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7 / fan_in**0.5
    return denoiser


def milliseconds(networks: Mapping[str, UNetConfig], size: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of one OpenVINO call a network, bfloat16 where the CPU has it; the networks take turns."""
    calls = {}
    x, sigma = torch.rand(1, 3, size, size) * 2 - 1, torch.full((1,), 0.3)
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, network) in enumerate(networks.items()):
            place = Path(folder) / f"shape-{number}"
            save_prior(place, with_random_weights(network), name=place.name, licence="none", notes={})
            opened = open_denoiser(load_prior(place), backend="openvino", size=(size, size), batch=1, device="cpu")
            calls[name] = lambda opened=opened: opened(x, sigma)
        return {name: 1e3 * seconds for name, seconds in alternated(calls, rounds).items()}


def short_training(network: UNetConfig, bank: PhotoBank, crops: torch.Tensor, recipe: Recipe) -> dict[str, float]:
    """PSNR of the averaged weights on `crops` after the recipe's images."""
    run = Run.start(recipe, torch.device("cpu"))
    assert run.recipe.network == network
    started = time.monotonic()
    while run.seen < recipe.images:
        run.step(bank)
        if run.seen % (100 * recipe.batch) == 0:
            speed = run.seen / (time.monotonic() - started)
            print(f"  {run.seen} of {recipe.images} crops, {speed:.0f} a second", flush=True)
    run.average.eval()
    return validate(run.average, crops)


def search(arguments: argparse.Namespace, networks: Mapping[str, UNetConfig]) -> Iterator[Tried]:
    """Every candidate with what the journal has of it or, unless `--only milliseconds`, what training it now gives."""
    journal = Journal(arguments.out.with_suffix(".jsonl"))
    times = milliseconds(networks, arguments.size, arguments.rounds)
    bank = crops = None
    for name, network in networks.items():
        recipe = short_recipe(network, arguments.images)
        key = {"kind": "shape", **asdict(recipe), "photos": arguments.count}
        if key not in journal and arguments.only != "milliseconds":
            if bank is None or crops is None:
                bank, crops = photographs(arguments.photos, arguments.count, recipe.crop)
            print(f"{name}: training", flush=True)
            journal.put(key, short_training(network, bank, crops, recipe))
        yield Tried(name, network, megabytes(network), gflop(network), times[name], journal.get(key))


def short_recipe(network: UNetConfig, images: int) -> Recipe:
    """The shipped recipe, squeezed into a short run."""
    warmup, average = min(5_000, images // 5), min(20_000, images // 8)
    return Recipe(network=network, images=images, warmup_images=warmup, ema_images=average, cooldown=0.4)


def photographs(folder: Path | None, count: int | None, crop: int) -> tuple[PhotoBank, torch.Tensor]:
    """Training crops of `count` photographs spread over the folder (all by default), and the held-out ones."""
    if folder is None:
        raise ValueError("--photos is needed to train; --only milliseconds does without")
    files = photo_files(folder, exclude=[HELD_OUT])
    if count is not None:
        files = files[:: max(1, len(files) // count)][:count]
    held_out = [f for f in photo_files(folder) if f.name.startswith(HELD_OUT)]
    return load_bank(files, crop), validation_crops(held_out, 128)


def report(tried: Sequence[Tried], images: int, size: int) -> str:
    """Markdown: a candidate a row, cheapest first."""
    lines = [
        "# Shapes of the network",
        "",
        f"`python -m bench.shapes` on {datetime.date.today()}: {machine()}, {torch.get_num_threads()} threads. Milliseconds: "
        f"OpenVINO, one {size}x{size} picture, median. PSNR in dB on the held-out photographs (128 pixels) after {images:,} "
        "crops each, the same ones in the same order.",
        "",
        f"| shape | widths | blocks | MB | GFLOP | ms | {' | '.join(f'sigma {s}' for s in SIGMAS)} | mean |",
        "|---" * (7 + len(SIGMAS)) + "|",
    ]
    for one in sorted(tried, key=lambda t: (t.milliseconds or 0.0, t.gflop)):
        levels = [f"{one.psnr[str(s)]:.2f}" if one.psnr else "" for s in SIGMAS]
        mean = f"{statistics.mean(one.psnr.values()):.2f}" if one.psnr else ""
        time_taken = "" if one.milliseconds is None else f"{one.milliseconds:.1f}"
        lines.append(
            f"| {one.name} | {_row(one.network.channels)} | {_row(one.network.blocks)} | {one.megabytes:.1f} | "
            f"{one.gflop:.1f} | {time_taken} | {' | '.join(levels)} | {mean} |"
        )
    large = [one.name for one in tried if one.megabytes > LARGEST_MB]
    if large:
        lines += ["", f"Over the {LARGEST_MB:.0f} MB that the repository has room for: {', '.join(large)}."]
    return "\n".join(lines) + "\n"


def _row(values: Sequence[int]) -> str:
    return "/".join(map(str, values))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of photographs; gb82-* are held out")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench/results/shapes.md"))
    parser.add_argument("--images", type=int, default=20_000, help="crops of a short training")
    parser.add_argument("--count", type=int, help="photographs to train on (default: all)")
    parser.add_argument("--tries", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--only", choices=("all", "milliseconds"), default="all", help="do not train")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the picture for the milliseconds")
    parser.add_argument("--rounds", type=int, default=15, help="calls a network for the milliseconds")
    arguments = parser.parse_args(argv)
    found = []
    for one in search(arguments, {name: CANDIDATES[name] for name in arguments.tries}):
        found.append(one)
        print(json.dumps({k: v for k, v in asdict(one).items() if k != "network"}), flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(report(found, arguments.images, arguments.size), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
