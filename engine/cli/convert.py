"""`lmaps convert`: someone else's checkpoint as a prior's folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import FAILED, Stop, for_people

if TYPE_CHECKING:
    from ..priors import PriorConfig
    from ..priors.convert import Converted


def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A .pt, .pth, .ckpt, .safetensors or .onnx file, a diffusers folder, or its name on the hub.",
        ),
    ],
    target: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of the prior.")],
    name: Annotated[str | None, typer.Option(help="Its name in statistics; the file's if not given.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights: an SPDX identifier, or words.")] = None,
    prediction: Annotated[
        str | None, typer.Option(help="What the network answers: epsilon, v, sample, denoised; where it is not known.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="Noise levels it was trained on: linear, scaled-linear, cosine.")
    ] = None,
    beta_start: Annotated[float | None, typer.Option(help="First beta of the schedule.")] = None,
    beta_end: Annotated[float | None, typer.Option(help="Last beta of the schedule.")] = None,
    train_steps: Annotated[int | None, typer.Option(help="Steps of the schedule; 1000 if not given.")] = None,
    timestep: Annotated[str | None, typer.Option(help="How a step is found: interpolated or nearest.")] = None,
    low: Annotated[float, typer.Option("--range-low", help="Lowest value of the network's pictures.")] = -1.0,
    high: Annotated[float, typer.Option("--range-high", help="Highest value of the network's pictures.")] = 1.0,
    channels: Annotated[int | None, typer.Option(min=1, help="Of an ONNX graph that does not say.")] = None,
    multiple: Annotated[int | None, typer.Option(min=1, help="What H and W must divide by, of an ONNX graph.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Entry of the file that holds the weights; ema, net ... are found.")
    ] = None,
    class_label: Annotated[
        int | None, typer.Option(min=0, help="Class of all pictures, for a conditional network.")
    ] = None,
    preconditioning: Annotated[
        str | None, typer.Option(help="edm, vp, ve or iddpm, where the one assumed is wrong.")
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(min=1, help="Attention heads a block, of guided-diffusion, where the number assumed is wrong."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights as float16: half the size.")] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Make the ONNX graph now, not when it is first needed.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Have it denoise a photograph, and say how well.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a prior that is in DIR.")] = False,
) -> None:
    """Make a prior of a checkpoint: recognised, checked tensor by tensor, and written as safetensors and config.json."""
    from ..priors.config import UNKNOWN_LICENCE
    from ..priors.convert import Facts, convert

    started = time.perf_counter()
    with for_people():
        facts = Facts(
            name=name,
            licence=licence or UNKNOWN_LICENCE,
            prediction=prediction,
            schedule=_schedule(schedule, beta_start, beta_end, train_steps),
            timestep=timestep,
            value_range=(low, high),
            channels=channels,
            multiple=multiple,
            key=key,
            class_label=class_label,
            preconditioning=preconditioning,
            heads=heads,
        )
        try:
            done = convert(checkpoint, target, facts, half=half, graph=graph, overwrite=overwrite)
        except ImportError as error:
            raise Stop(f"{error.name} is not installed; pip install 'lmaps-engine[onnx]'") from error
        _print(done, time.perf_counter() - started)
        if check:
            _try_out(target)


def _schedule(kind: str | None, start: float | None, end: float | None, steps: int | None) -> dict[str, object] | None:
    numbers = {"beta_start": start, "beta_end": end, "steps": steps}
    given = {name: value for name, value in numbers.items() if value is not None}
    if kind is None and given:
        raise Stop("--beta-start, --beta-end and --train-steps belong to a --schedule; name it, for instance linear")
    return None if kind is None else {"kind": kind, **given}


def _print(done: Converted, seconds: float) -> None:
    config = done.config
    size = sum((done.folder / file).stat().st_size for file in config.files)
    lines = {
        "prior": f"{done.folder} ({size / 1e6:.1f} MB)",
        "network": config.architecture + (f", {done.parameters / 1e6:.2f} million weights" if done.parameters else ""),
        "pictures": f"{config.channels} channels, {_sides(config.size, config.multiple)}",
        "answers": _answers(config),
        "licence": config.licence,
        "assumed": "; ".join(done.assumed),
        "left out": ", ".join(done.left_out[:8]) + (" ..." if len(done.left_out) > 8 else ""),
    }
    for label, text in lines.items():
        if text:
            print(f"{label:9} {text}")
    print(f"done in   {seconds:.1f} s{_peak_memory()}")
    print(f"use it    lmaps restore IN -o OUT --task T --prior {done.folder}")


def _try_out(folder: Path) -> None:
    """Raises Stop where the prior restores nothing: the files are whole, and something said about them is wrong."""
    from ..demo import photographs
    from ..priors import load_prior
    from ..priors.trial import try_out

    gains = try_out(load_prior(folder), next(iter(photographs().values())))
    print("check    ", "; ".join(f"sigma {g.sigma:g}: {g.before:.1f} -> {g.after:.1f} dB" for g in gains))
    if wrong := [f"{gain.sigma:g}" for gain in gains if gain.wrong]:
        raise Stop(
            f"{folder} removes no noise worth the name at sigma {', '.join(wrong)}: its prediction, schedule, value range "
            "or preconditioning is not what was assumed; state it and convert again with --overwrite",
            FAILED,
        )


def _answers(config: PriorConfig) -> str:
    if config.schedule is not None:
        return f"{config.prediction}, {config.schedule['kind']} schedule, timesteps {config.timestep}"
    inside = config.settings.get("preconditioning") or config.settings.get("prediction") or {}
    return f"the clean picture, by {inside.get('kind') if isinstance(inside, dict) else inside}"


def _sides(size: tuple[int, int] | None, multiple: int) -> str:
    if size is not None:
        return f"{size[0]}x{size[1]} only"
    return f"any size (padded to multiples of {multiple})"


def _peak_memory() -> str:
    """What this process had in memory at most, pages of mapped files among them; "" where the system does not tell."""
    from ..memory import resident_peak

    peak = resident_peak()
    return "" if peak is None else f", at most {peak / 1e9:.2f} GB of memory"
