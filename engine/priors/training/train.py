"""Train the photograph prior: `python -m lmaps.engine.priors.training.train --photos FOLDER --run FOLDER`.

Runs on a GPU when there is one, else on the CPU. Stops after --minutes with a checkpoint, and goes on from it exactly with
--resume, so a long run can be cut into short ones. --export writes the prior folder that `load_prior` reads.
README.md beside this file has the commands for a rented GPU.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..config import UNKNOWN_LICENCE
from . import carry, history
from .data import Encoded, load_bank, photo_files, validation_crops
from .loop import CHECKPOINT, Chunk, DivergedError, train
from .packing import pack, unpack
from .recipe import RECIPES, Recipe
from .run import Run
from .validation import CROP

log = logging.getLogger("lmaps.train")


def export(run: Run, folder: Path, *, name: str, licence: str) -> None:
    """Write the averaged weights as a prior folder."""
    from .. import save_prior

    notes = {
        "images_seen": str(run.seen),
        "recipe": json.dumps(asdict(run.recipe)),
        "history": json.dumps(history.plain(run.stretches)),
    }
    save_prior(folder, run.average.cpu().eval(), name=name, licence=licence, notes=notes, preset="photo")


def main(argv: Sequence[str] | None = None) -> None:
    started = time.monotonic()
    parser = _parser()
    arguments = parser.parse_args(argv)
    if problem := _problem(arguments):
        parser.error(problem)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)  # ours alone: the exporter has much to say
    if arguments.pack:
        files, held_out = _files(arguments.photos, arguments.validation)
        stored = pack(files, held_out, arguments.pack, budget=round(arguments.pack_megabytes * 1e6))
        log.info("%d photographs and %d held out packed: %s", len(files), len(held_out), stored)
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    arguments.run.mkdir(parents=True, exist_ok=True)
    run = _begin(arguments, device)
    for name in ("channels", "blocks"):
        wanted, there = getattr(arguments, name), getattr(run.recipe.network, name)
        if wanted and tuple(wanted) != there:
            parser.error(f"--{name} {wanted} does not fit the weights to begin with, which have {list(there)}")
    (arguments.run / "recipe.json").write_text(json.dumps(asdict(run.recipe), indent=2) + "\n", encoding="utf-8")
    carry_bytes = round(arguments.carry_megabytes * 1e6)
    if arguments.minutes > 0:
        seconds, every = 60 * arguments.minutes, arguments.report_every
        chunk = Chunk(arguments.run, started, seconds, every, arguments.carry, carry_bytes)
        try:
            _train_on_photographs(run, arguments, chunk)
        except DivergedError as problem:
            raise SystemExit(str(problem)) from None
    elif arguments.carry:
        carry.write(arguments.carry, run, total=carry_bytes)
    if arguments.export:
        export(run, arguments.export, name=arguments.name or arguments.export.name, licence=arguments.licence)


def _problem(arguments: argparse.Namespace) -> str | None:
    """What is missing or does not go together, or None."""
    if arguments.pack:
        return None if arguments.photos else "--pack needs --photos, the folder to pack"
    if arguments.run is None:
        return "--run is needed: the folder for checkpoints and the log"
    if arguments.minutes > 0 and not (arguments.photos or arguments.packed):
        return "--photos or --packed is needed to train; --minutes 0 only writes what --carry and --export ask for"
    return None


def _begin(arguments: argparse.Namespace, device: torch.device) -> Run:
    """The run that the arguments ask for: resumed, carried over, from a prior, or from random weights."""
    given = {name: getattr(arguments, name) for name in asdict(Recipe()) if getattr(arguments, name, None) is not None}
    path = arguments.run / CHECKPOINT
    if arguments.resume or (arguments.resume_if_any and path.is_file()):
        return Run.resume(path, device, given)
    if arguments.start_from and (Path(arguments.start_from) / carry.INDEX).is_file():
        return Run.from_carried(Path(arguments.start_from), device, given)
    base = RECIPES[arguments.recipe]
    if arguments.start_from:
        return Run.from_prior(arguments.start_from, device, replace(base, **given))
    shape: dict[str, Any] = {
        name: tuple(getattr(arguments, name)) for name in ("channels", "blocks") if getattr(arguments, name)
    }
    return Run.start(replace(base, network=replace(base.network, **shape), **given), device)


def _train_on_photographs(run: Run, arguments: argparse.Namespace, chunk: Chunk) -> None:
    files: Sequence[Encoded]
    held_out: Sequence[Encoded]
    if arguments.packed:
        packed = unpack(arguments.packed)
        files, held_out = list(packed.train.values()), list(packed.held_out.values())
        log.info("packed as %s", packed.stored)
    else:
        files, held_out = _files(arguments.photos, arguments.validation)
    log.info("%d photographs, %d held out, on %s", len(files), len(held_out), run.device)
    crops = validation_crops(held_out, CROP).to(run.device)
    bank = load_bank(files, run.recipe.crop).to(run.device)
    train(run, bank, crops, chunk)


def _files(photos: Path, prefix: str) -> tuple[list[Path], list[Path]]:
    """Photographs to train on, and those held out."""
    held_out = [f for f in photo_files(photos) if f.name.startswith(prefix)]
    return photo_files(photos, exclude=[prefix]), held_out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--photos", type=Path, help="folder of photographs")
    source.add_argument("--packed", type=Path, help="photographs in one file, made by --pack")
    parser.add_argument("--validation", default="gb82", help="photographs whose name begins so are held out")
    parser.add_argument("--pack", type=Path, help="write --photos to this file for --packed, and stop")
    parser.add_argument("--pack-megabytes", type=float, default=50.0, help="size that the file may have")
    parser.add_argument("--run", type=Path, help="folder for checkpoints and the log")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from the checkpoint in --run, exactly")
    begin.add_argument("--resume-if-any", action="store_true", help="the same where there is one, else begin")
    parser.add_argument(
        "--start-from", help="begin with the weights of a prior (name or folder) or of a --carry folder"
    )
    parser.add_argument("--recipe", choices=RECIPES, default="cpu", help="the settings to begin with")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop, with a checkpoint, this long after the start"
    )
    parser.add_argument("--report-every", type=int, default=20_000, help="crops between validations")
    parser.add_argument(
        "--carry", type=Path, help="with every checkpoint write the weights here, in files of at most 15 MB"
    )
    parser.add_argument(
        "--carry-megabytes",
        type=float,
        default=carry.TOTAL_BYTES / 1e6,
        help="of all of them, which sets what is rounded",
    )
    parser.add_argument("--export", type=Path, help="at the end write the prior to this folder")
    parser.add_argument("--name", help="of the exported prior; its folder's unless given")
    parser.add_argument("--licence", default=UNKNOWN_LICENCE, help="of the exported prior, as the photographs allow")
    for name in ("images", "batch", "crop", "seed", "ema_images", "warmup_images"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=_default(name))
    for name in ("total_minutes", "muon_rate", "rate", "cooldown", "weight_decay"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=_default(name))
    parser.add_argument("--channels", type=int, nargs="+", help="widths at 1/2, 1/4 ... resolution")
    parser.add_argument("--blocks", type=int, nargs="+", help="residual blocks a level")
    return parser


def _default(name: str) -> str:
    values = {kind: getattr(recipe, name) for kind, recipe in RECIPES.items()}
    first, *others = values.values()
    same = all(value == first for value in others)
    return f"default {first}" if same else "default " + ", ".join(f"{value} ({kind})" for kind, value in values.items())


if __name__ == "__main__":
    main()
