"""The command line: `lmaps restore`, `degrade`, `demo`, `convert`, `export`, `info`, `bench`.

Nothing heavy is imported here, so that `lmaps --help` answers at once; commands import what they run.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .bench import bench
from .convert import convert
from .degrade import degrade
from .demo import demo
from .errors import OneLineErrors
from .export import export
from .info import info
from .restore import restore

app = typer.Typer(
    cls=OneLineErrors,
    help="Restore images with diffusion priors by Local MAP Sampling.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from lmaps import __version__

        print(f"lmaps {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _let_idle_threads_sleep() -> None:
    """GNU OpenMP's idle threads poll for milliseconds, on the cores that OpenVINO's threads then want: without that, a
    restoration on two cores takes 2 to 8 % less time (`python -m bench.cpu`). Read once, when torch brings OpenMP in.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


for _command in (restore, degrade, demo, convert, export, info):
    app.command()(_command)
app.add_typer(bench, name="bench")


def main() -> None:
    """The `lmaps` program."""
    _let_idle_threads_sleep()
    app(prog_name="lmaps")
