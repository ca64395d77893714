"""From IN and the options to what the engine takes: a measurement, its operator, its noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import operators, tasks
from ..demo import measured_picture
from ..files import Measurement, Picture, read_image, read_kernel, read_mask, read_measurement
from ..operators import Operator
from ..restore import NEEDED
from .errors import Stop

MASKED = ("inpaint-box", "inpaint-random")
BLURRED = ("deblur-gaussian", "deblur-motion")


@dataclass(frozen=True)
class Degradation:
    """What a person says about the degradation: --task, --mask, --kernel, --seed, --param."""

    task: str | None
    mask: Path | None = None
    kernel: Path | None = None
    seed: int = 0
    parameters: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.task is not None:
            tasks.get(self.task)
        if self.mask is not None and self.task not in (None, *MASKED):
            raise Stop(f"--mask belongs to {' and '.join(MASKED)}, not to {self.task}; leave it out")
        if self.kernel is not None and self.task not in (None, *BLURRED):
            raise Stop(f"--kernel belongs to {' and '.join(BLURRED)}, not to {self.task}; leave it out")

    def operator(self, size: tuple[int, int]) -> Operator:
        """H for pictures of `size` (H, W)."""
        assert self.task is not None
        given: dict[str, Any] = dict(self.parameters or {})
        if self.mask is not None:
            given["mask"] = torch.from_numpy(read_mask(self.mask, size))
        if self.kernel is not None:
            given["kernel"] = torch.from_numpy(read_kernel(self.kernel, size))
        if tasks.get(self.task).seeded:
            given["seed"] = self.seed
        if self.task == "scattering":
            given.setdefault("side", size[0])
        if self.task == "blackhole" and "observation" not in given:
            raise Stop("blackhole needs the observation that sees the picture; add --param observation=FILE.uvfits")
        return tasks.build(self.task, **given)


@dataclass(frozen=True)
class Given:
    """y [1, ...] in the operator's units, H, its task, the noise if known, and the picture to put the result in."""

    y: Tensor
    operator: Operator
    task: str
    noise: float | None
    source: Picture

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the restored picture."""
        height, width = self.operator.picture_shape(self.y)[-2:]
        return int(height), int(width)


def read_given(path: Path, said: Degradation, max_pixels: int) -> Given:
    """The measurement in a file: a .npz of `lmaps degrade`, a .uvfits observation, or a picture that is one."""
    if path.suffix.lower() == ".uvfits":
        return _from_observation(path, said)
    return _from_measurement(path, said) if path.suffix.lower() == ".npz" else _from_picture(path, said, max_pixels)


def measure(picture: Picture, said: Degradation, noise: float) -> Measurement:
    """y = H(x) + noise * n of a picture. A grey one is measured as three equal channels with one noise.

    The scientific tasks measure its brightness alone: in [-1, 1], or, for MRI, as the magnitude of a picture of phase zero.
    """
    assert said.task is not None
    operator = _explicit(said.operator(picture.size), picture.size)
    if tasks.get(said.task).channels is not None:
        picture = replace(picture, pixels=picture.pixels.mean(0, keepdims=True, dtype=np.float64).astype(np.float32))
    y = operator.degrade(_state(picture, said.task), noise, said.seed)
    if tuple(operator.picture_shape(y)[-2:]) != picture.size:
        height, width = operator.picture_shape(y)[-2:]
        raise Stop(f"{said.task} measures pictures of {width}x{height}; resize this one")
    y = y[0]
    if picture.grey and said.task in tasks.TASKS:
        y = y[:1].expand_as(y)
    config = {key: v.numpy() if isinstance(v, Tensor) else v for key, v in operator.config().items()}
    return Measurement(y.contiguous().numpy(), said.task, config, picture.size, noise, said.seed, picture)


def shown(measurement: Measurement, source: Picture) -> Picture:
    """A picture of a measurement that carries what its source did."""
    seen = measured_picture(measurement.task, measurement.y)
    if measurement.task in tasks.SCIENCE:
        return Picture(seen)
    if measurement.task == "phase-retrieval":
        return replace(source, pixels=seen[:1] if source.grey else seen, alpha=None)
    return source.with_rgb(seen)


def for_prior(given: Given, channels: int) -> Tensor:
    """y for a prior of so many channels: one scattered field is that of each of three equal ones."""
    if given.task == "scattering" and given.y.shape[1] == 1:
        return given.y.expand(-1, channels, -1, -1, -1)
    return given.y


def _state(picture: Picture, task: str) -> Tensor:
    """The picture as the operator of a task takes it, [1, C, H, W]."""
    if tasks.get(task).channels == 2:
        grey = torch.from_numpy(picture.pixels)[None]
        return torch.cat([grey, torch.zeros_like(grey)], dim=1)
    pixels = picture.rgb() if task in tasks.TASKS else picture.pixels
    return torch.from_numpy(2 * pixels - 1)[None]


def _explicit(operator: Operator, size: tuple[int, int]) -> Operator:
    """The same H with what was drawn from a seed written out, so that its file does not depend on how it is drawn."""
    if not isinstance(operator, operators.Inpainting):
        return operator
    return operators.Inpainting(operator.mask(*size))


def _from_measurement(path: Path, said: Degradation) -> Given:
    measurement = read_measurement(path)
    if said.task not in (None, measurement.task):
        raise Stop(f"{path} was measured for task {measurement.task}, not {said.task}; leave --task out")
    if said.mask or said.kernel or said.parameters:
        raise Stop(f"{path} holds its own mask, kernel and parameters; leave --mask, --kernel and --param out")
    try:
        operator = operators.from_config(measurement.operator)
    except (ValueError, TypeError) as error:
        raise Stop(f"{path} holds an operator that cannot be built ({error}); make it again") from error
    height, width = measurement.size
    channels = 1 if measurement.task in tasks.SCIENCE else 3
    source = measurement.source or Picture(np.zeros((channels, height, width), np.float32))
    y = torch.from_numpy(np.array(measurement.y))[None]
    if tuple(operator.picture_shape(y)[-2:]) != measurement.size:
        raise Stop(f"{path} holds a measurement that does not fit its picture size {width}x{height}; make it again")
    return Given(y, operator, measurement.task, measurement.noise, source)


def _from_observation(path: Path, said: Degradation) -> Given:
    if said.task not in (None, "blackhole"):
        raise Stop(f"{path} is an observation for task blackhole, not {said.task}; leave --task out")
    operator = tasks.build("blackhole", observation=path, **(said.parameters or {}))
    assert isinstance(operator, operators.BlackHole)
    y = operator.measurement()
    return Given(y, operator, "blackhole", None, Picture(np.zeros((1, *operator.picture_shape(y)[-2:]), np.float32)))


def _from_picture(path: Path, said: Degradation, max_pixels: int) -> Given:
    if said.task is None:
        raise Stop(f"{path} is a picture: say what happened to it with --task ({', '.join(tasks.TASKS)})")
    if said.task in tasks.SCIENCE:
        raise Stop(f"{path} is a picture, no measurement of {said.task}; restore the .npz that `lmaps degrade` writes")
    if said.task == "phase-retrieval":
        raise Stop(f"{path} is a picture, which holds no Fourier moduli; restore the .npz that `lmaps degrade` writes")
    needed = NEEDED.get(said.task)
    if needed is not None and getattr(said, needed) is None:
        raise Stop(f"{said.task} of a picture needs --{needed}{_beside(path)}")
    stored = said.task == "jpeg" and not said.parameters
    picture = read_image(path, max_pixels=max_pixels, stored=stored)
    if stored and picture.format != "JPEG":
        raise Stop(f"{path} is not a JPEG file, so its compression is unknown; add --param quality=N")
    y = torch.from_numpy(2 * picture.rgb() - 1)[None]
    if stored:
        return Given(y, operators.JPEG.from_file(path), said.task, 0.0, picture)
    return Given(y, said.operator(picture.size), said.task, None, picture)


def _beside(path: Path) -> str:
    exact = path.with_suffix(".npz")
    return f"; or restore {exact}, which has it" if exact.is_file() else ""
