"""Train the photograph prior: `python -m lmaps.engine.priors.training.train --photos FOLDER --run FOLDER`.

Runs on a GPU when there is one, else on the CPU. Stops after --minutes with a checkpoint, and goes on from it exactly with
--resume, so a long run can be cut into short ones. --export writes the prior folder that `load_prior` reads.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import signal
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..edm import EDMDenoiser
from ..unet import UNet, UNetConfig
from . import checkpoint
from .data import PhotoBank, load_bank, photo_files, validation_crops
from .recipe import Optimizers, Recipe, denoising_loss, draw_sigma

log = logging.getLogger("lmaps.train")
VALIDATION_SIGMAS = (0.05, 0.1, 0.2, 0.4, 1.0)
VALIDATION_CROP = 256
SAVE_EVERY_SECONDS = 240.0


@dataclass
class Run:
    """Everything that changes while a network trains."""

    recipe: Recipe
    device: torch.device
    model: EDMDenoiser
    average: EDMDenoiser
    optimizers: Optimizers
    generator: torch.Generator
    seen: int = 0

    @classmethod
    def start(cls, recipe: Recipe, device: torch.device) -> Run:
        torch.manual_seed(recipe.seed)
        model = EDMDenoiser(UNet(recipe.network), recipe.sigma_data).to(device)
        generator = torch.Generator(device).manual_seed(recipe.seed)
        return cls(recipe, device, model, copy.deepcopy(model), Optimizers(model, recipe), generator)

    @classmethod
    def resume(cls, path: Path, device: torch.device, changes: dict[str, object]) -> Run:
        """Go on from a checkpoint; `changes` replaces settings of its recipe (the length of the run, say)."""
        state = checkpoint.load(path, device)
        saved = dict(state["recipe"])
        shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.pop("network").items()}
        run = cls.start(replace(Recipe(network=UNetConfig(**shape), **saved), **changes), device)  # type: ignore[arg-type]
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        run.optimizers.load_state_dict(state["optimizers"])
        run.generator.set_state(state["generator"].cpu())
        run.seen = state["seen"]
        return run

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            recipe=self.recipe,
            seen=self.seen,
            model=self.model,
            average=self.average,
            optimizers=self.optimizers,
            generator=self.generator,
        )

    def step(self, bank: PhotoBank) -> Tensor:
        """One batch; returns its loss as a tensor, so that nothing waits for the device."""
        recipe = self.recipe
        clean = bank.crops(recipe.batch, recipe.crop, self.generator)
        sigma = draw_sigma(recipe.batch, self.generator, self.device)
        noise = torch.randn(clean.shape, generator=self.generator, device=self.device)
        clean = clean.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = denoising_loss(self.model, clean, sigma, noise, recipe.sigma_data)
        loss.backward()
        self.optimizers.step(recipe.rate_factor(self.seen))
        self._update_average()
        self.seen += recipe.batch
        return loss.detach()

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = self.recipe.ema_decay(self.seen)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)


@torch.no_grad()
def denoising_psnr(denoiser: nn.Module, clean: Tensor, sigma: float) -> float:
    """Mean PSNR in dB over the pictures of `clean` [F, 3, H, W] in [-1, 1], noise from a fixed seed, result clipped."""
    scores = []
    for index, picture in enumerate(clean.split(1)):
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(picture.shape, generator=generator).to(picture.device)
        with torch.autocast(picture.device.type, torch.bfloat16):
            restored = denoiser(picture + sigma * noise, picture.new_full((1,), sigma)).clamp(-1, 1)
        scores.append(10 * math.log10(4 / float((restored - picture).square().mean())))
    return sum(scores) / len(scores)


def validate(run: Run, crops: Tensor) -> dict[str, float]:
    """PSNR of the averaged weights at each of VALIDATION_SIGMAS."""
    run.average.eval()
    return {str(s): round(denoising_psnr(run.average, crops, s), 3) for s in VALIDATION_SIGMAS}


def train(run: Run, bank: PhotoBank, crops: Tensor, folder: Path, seconds: float, report_every: int) -> None:
    """Train until the recipe's images are seen or the time is up; validate and log every `report_every` crops.

    A checkpoint is saved every few minutes, and at the end, also when an interrupt or the terminate signal ends the run.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    started, losses = time.monotonic(), []
    saved = started
    rate_from, rate_at = run.seen, started
    due = (run.seen // report_every + 1) * report_every
    while run.seen < run.recipe.images and time.monotonic() - started < seconds and not stop.is_set():
        losses.append(run.step(bank))
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            run.save(folder / "checkpoint.pt")
            saved = time.monotonic()
        if run.seen >= due or run.seen >= run.recipe.images:
            due += report_every
            speed = (run.seen - rate_from) / (time.monotonic() - rate_at)
            _report(run, crops, folder, float(torch.stack(losses).mean()), speed)
            losses.clear()
            rate_from, rate_at = run.seen, time.monotonic()
    run.save(folder / "checkpoint.pt")


def _report(run: Run, crops: Tensor, folder: Path, loss: float, speed: float) -> None:
    row = {"seen": run.seen, "loss": round(loss, 5), "images_per_s": round(speed, 1), "psnr": validate(run, crops)}
    log.info("%s", json.dumps(row))
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    run.save(folder / "checkpoint.pt")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--validation", default="gb82", help="photographs whose name begins so are held out")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, with a checkpoint, after this long")
    parser.add_argument("--report-every", type=int, default=20_000, help="crops between validations")
    parser.add_argument("--export", type=Path, help="write the prior to this folder at the end")
    defaults = Recipe()
    for name in ("images", "batch", "crop", "seed", "ema_images", "warmup_images"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default {getattr(defaults, name)}")
    for name in ("muon_rate", "rate", "cooldown", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"default {getattr(defaults, name)}")
    parser.add_argument("--channels", type=int, nargs="+", help="widths at 1/2, 1/4 ... resolution")
    parser.add_argument("--blocks", type=int, nargs="+", help="residual blocks a level")
    return parser.parse_args()


def main() -> None:
    arguments = _parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    arguments.run.mkdir(parents=True, exist_ok=True)
    given = {name: getattr(arguments, name) for name in asdict(Recipe()) if getattr(arguments, name, None) is not None}
    if arguments.resume:
        run = Run.resume(arguments.run / "checkpoint.pt", device, given)
    else:
        shape: dict[str, Any] = {
            name: tuple(getattr(arguments, name)) for name in ("channels", "blocks") if getattr(arguments, name)
        }
        run = Run.start(Recipe(network=replace(UNetConfig(), **shape), **given), device)
    (arguments.run / "recipe.json").write_text(json.dumps(asdict(run.recipe), indent=2) + "\n", encoding="utf-8")
    files = photo_files(arguments.photos, exclude=[arguments.validation])
    held_out = [f for f in photo_files(arguments.photos) if f.name.startswith(arguments.validation)]
    crops = validation_crops(held_out, VALIDATION_CROP).to(device)
    log.info("%d photographs, %d held out, on %s", len(files), len(held_out), device)
    bank = load_bank(files, run.recipe.crop).to(device)
    train(run, bank, crops, arguments.run, 60 * arguments.minutes, arguments.report_every)
    if arguments.export:
        export(run, arguments.export)


def export(run: Run, folder: Path) -> None:
    """Write the averaged weights as a prior folder."""
    from ..store import save_prior

    notes = {"images_seen": str(run.seen), "recipe": json.dumps(asdict(run.recipe))}
    save_prior(folder, run.average.cpu().eval(), name=folder.name, licence="CC-BY-SA-4.0", notes=notes)


if __name__ == "__main__":
    main()
