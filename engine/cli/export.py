"""`lmaps export`: a prior's network written out for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as o
from .amounts import bytes_text
from .errors import FAILED, Stop, for_people

if TYPE_CHECKING:
    from ...export.profiles import Profile
    from ..priors import Prior

_Shapes = "x:1x3x64x64,sigma:1"


def export(
    prior: Annotated[str, typer.Argument(metavar="PRIOR", help="A shipped prior's name, or a folder.")],
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="onnx, openvino or tensorrt.")],
    folder: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    precision: Annotated[
        str, typer.Option(help="float32, float16 or bfloat16, of the matrix products and their weights.")
    ] = "float32",
    size: Annotated[
        tuple[int, int] | None, typer.Option(metavar="H W", help="One fixed size instead of --opt and its like.")
    ] = None,
    batch: Annotated[int, typer.Option(metavar="B", min=1, help="Pictures a call, with --size.")] = 1,
    smallest: Annotated[
        str | None, typer.Option("--min", "--minShapes", metavar="SHAPES", help=f"Smallest shapes: {_Shapes}")
    ] = None,
    best: Annotated[
        str | None, typer.Option("--opt", "--optShapes", metavar="SHAPES", help="Shapes to be fastest at.")
    ] = None,
    largest: Annotated[
        str | None,
        typer.Option("--max", "--maxShapes", metavar="SHAPES", help="Largest shapes; like --opt if not given."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(metavar="N", min=18, max=24, help="ONNX opset; by default 20, or 22 with bfloat16.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    quiet: o.Quiet = False,
) -> None:
    """Write a prior's network as an ONNX graph, OpenVINO's files or a TensorRT engine, with a description in JSON."""
    from ...export.check import ExportError
    from ...export.tensorrt_library import TensorRTError
    from ..exporting import Wish, export_prior
    from ..priors import load_prior

    with for_people():
        network = load_prior(prior)
        shapes = _profile(network, size, batch, (smallest, best, largest))
        wish = Wish(to, precision, shapes, opset)  # type: ignore[arg-type]  # checked there, with the known names
        try:
            files = export_prior(network, wish, folder, force=force)
        except FileExistsError as error:
            raise Stop(str(error)) from error
        except (OSError, ExportError, TensorRTError) as error:
            raise Stop(f"{prior} was not exported: {error}", FAILED) from error
    if not quiet:
        for path in files:
            print(f"{path}  ({bytes_text(path.stat().st_size)})")


def _profile(
    prior: Prior, size: tuple[int, int] | None, batch: int, shapes: tuple[str | None, str | None, str | None]
) -> Profile | None:
    """From --size and --batch, or from --min, --opt and --max."""
    from ...export.profiles import Profile
    from ..exporting import fixed_profile

    low, middle, high = shapes
    if size is not None:
        if any(shapes):
            raise Stop("give either --size H W, or --opt with --min and --max, not both")
        return fixed_profile(prior, size, batch)
    if batch != 1:
        raise Stop(f"--batch {batch} goes with --size H W; in --opt the batch is the first number of each shape")
    if middle is None and (low or high):
        raise Stop("--min and --max need --opt: the shapes to be fastest at, in between")
    return None if middle is None else Profile.parse(middle, min=low, max=high)
