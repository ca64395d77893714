"""A command line to call in this process, and small pictures to call it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lmaps.engine.cli import app
from lmaps.engine.files import Picture, write_image

Lmaps = Callable[..., Result]


@pytest.fixture
def lmaps(tiny_prior_folder: Path) -> Lmaps:
    """lmaps("restore", path, ...): `restore` and `demo` run the random prior on torch for two steps."""

    def call(*words: object) -> Result:
        args = [str(word) for word in words]
        if args and args[0] in ("restore", "demo"):
            args += ["--prior", str(tiny_prior_folder), "--steps", "2", "--backend", "torch"]
        result = CliRunner().invoke(app, args)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A smooth colour picture of 48x32 (wide x high)."""
    y, x = np.mgrid[0:32, 0:48].astype(np.float32)
    waves = [0.5 + 0.4 * np.sin(x / 7 + k) * np.cos(y / (5 + k)) for k in range(3)]
    write_image(tmp_path / "photo.png", Picture(np.stack(waves).astype(np.float32)))
    return tmp_path / "photo.png"


def one_line(result: Result) -> str:
    """The single line of stderr of a refused command."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
