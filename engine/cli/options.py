"""The options that commands share, and the two little grammars they use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import Stop

Source = Annotated[
    Path, typer.Argument(metavar="IN", help="A picture, a measurement (.npz, .uvfits), or a folder of them.")
]
Target = Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="File to write, or folder.")]
MaskFile = Annotated[
    Path | None, typer.Option("--mask", metavar="M", help="Picture of IN's size: white is known, black missing.")
]
KernelFile = Annotated[
    Path | None, typer.Option("--kernel", metavar="K", help="Blur kernel: a picture, .npy, .npz or .txt; odd sides.")
]
Noise = Annotated[
    float | None,
    typer.Option(metavar="S", min=0, help="Standard deviation of the measurement's noise (pictures span -1 to 1)."),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Same seed, same picture.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="Parameter of the task: quality=10, bits=3, keep=0.1 ..."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Suffix = Annotated[
    str | None, typer.Option(metavar=".EXT", help="Format of a folder's results (.png .tif ...); IN's if not given.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Megapixels = Annotated[
    float, typer.Option("--max-megapixels", min=0.001, max=178, help="Refuse larger pictures before decoding them.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; the physical cores if not given.")]
Steps = Annotated[int | None, typer.Option(metavar="N", min=1, help="Denoiser calls; the preset's if not given.")]
PriorName = Annotated[str, typer.Option("--prior", metavar="P", help="A shipped prior's name, or a folder.")]
SolverName = Annotated[str, typer.Option("--solver", metavar="S", help="The line of the loop that differs.")]
Preset = Annotated[str, typer.Option(help="Settings to start from: auto, photo, paper.")]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda, cuda:1 ...")]
Backend = Annotated[str, typer.Option(metavar="B", help="auto, or a name that lmaps info lists.")]
BackendOfRestore = Annotated[
    str,
    typer.Option(
        metavar="B",
        help="auto, or a name that lmaps info lists. On a GPU auto is torch until fastest has timed them for this size.",
    ),
]
Precision = Annotated[str, typer.Option(help="auto, float32, bfloat16.")]

Tile = Annotated[
    int | None, typer.Option(metavar="N", min=32, help="Run the network on overlapping NxN tiles: bounded memory.")
]
Compare = Annotated[
    Path | None,
    typer.Option(metavar="REF", help="Print PSNR, SSIM, a perceptual distance against this picture, or a folder's."),
]
K1 = Annotated[float | None, typer.Option(help="Solver lmaps: r = sigma^2 / (sigma^2 + k1^2).")]
K2 = Annotated[float | None, typer.Option(help="Solver lmaps: weight of the data term.")]
Eta = Annotated[float | None, typer.Option(help="Solver lmaps: length of an inner step.")]
Inner = Annotated[str | None, typer.Option("--inner-steps", metavar="K", help="Solver lmaps: K, or exact.")]
Strategy = Annotated[
    str | None,
    typer.Option(help="Solver lmaps: auto, spectral, polynomial, onchip, stepped, autograd or reference."),
]

Tasks = Annotated[list[str] | None, typer.Option("-t", "--task", metavar="T", help="Only this task; repeatable.")]
Folder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the pictures.")]

DEFAULT_MEGAPIXELS = 89.0


def parameters(given: list[str] | None) -> dict[str, int | float | str]:
    """["quality=10", "padding=zero"] -> {"quality": 10, "padding": "zero"}."""
    parsed: dict[str, int | float | str] = {}
    for item in given or []:
        name, equals, text = item.partition("=")
        if not equals or not name.isidentifier() or not text:
            raise Stop(f"--param {item!r} is not of the form NAME=VALUE; write for instance --param quality=10")
        parsed[name] = _number(text)
    return parsed


def inner_steps(text: str | None) -> int | str | None:
    """K, or "exact"."""
    if text is None or text == "exact":
        return text
    if not text.isdecimal():
        raise Stop(f"--inner-steps takes a whole number or 'exact', got {text!r}")
    return int(text)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def chosen_backend(said: str) -> str:
    """--backend as `compile` takes it: for a picture or two, timing backends on a GPU would take longer than restoring."""
    return {"auto": "quick", "fastest": "auto"}.get(said, said)
