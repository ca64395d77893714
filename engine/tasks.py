"""The tasks by name, pictures' and scientific ones: which operator a task stands for, and how to make it for a picture size."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from . import operators
from .operators import Operator


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the paper's list.

    build:   keyword arguments (mask, kernel, seed where the task has them, and the operator's own parameters) -> operator.
    local:   a pixel of the measurement depends on a bounded neighbourhood alone, so large pictures can be cut into tiles.
    seeded:  the operator itself is drawn from a seed.
    channels: of the pictures that its measurements are made of; None for any number.
    """

    name: str
    summary: str
    build: Callable[..., Operator]
    local: bool = False
    seeded: bool = False
    default_noise: float = 0.05
    channels: int | None = None


def _box(*, seed: int = 0, mask: Tensor | None = None, hole: int = 128) -> Operator:
    if mask is not None:
        return operators.Inpainting(mask)
    return operators.Inpainting.box(size=hole, seed=seed)


def _random(*, seed: int = 0, mask: Tensor | None = None, keep: float = 0.3) -> Operator:
    if mask is not None:
        return operators.Inpainting(mask)
    return operators.Inpainting.random(keep=keep, seed=seed)


def _motion(*, seed: int = 0, kernel: Tensor | None = None, padding: str = "reflect", **parameters: Any) -> Operator:
    if kernel is not None:
        return operators.Blur(kernel, padding=padding)
    return operators.MotionBlur(seed=seed, padding=padding, **parameters)


def _gaussian(*, kernel: Tensor | None = None, padding: str = "reflect", **parameters: Any) -> Operator:
    if kernel is not None:
        return operators.Blur(kernel, padding=padding)
    return operators.GaussianBlur(padding=padding, **parameters)


# Measurements of photographs: what the shipped prior, the demo and the bench are about.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("denoise", "additive Gaussian noise", operators.Denoise, local=True),
        Task("sr4", "super-resolution by 4", operators.SuperResolution),
        Task("inpaint-box", "a missing box, or a mask of your own", _box, local=True, seeded=True),
        Task("inpaint-random", "70 % missing pixels, or a mask of your own", _random, local=True, seeded=True),
        Task("deblur-gaussian", "Gaussian blur, or a kernel of your own", _gaussian),
        Task("deblur-motion", "motion blur, or a kernel of your own", _motion, seeded=True),
        Task("phase-retrieval", "modulus of an oversampled Fourier transform", operators.PhaseRetrieval),
        Task("deblur-nonlinear", "the blur of a moving camera, not linear", operators.NonlinearBlur),
        Task("hdr", "twice the exposure, clipped", operators.HDR, local=True),
        Task("jpeg", "JPEG compression", operators.JPEG, local=True),
        Task("quantize", "a few levels a channel", operators.Quantize, local=True),
    )
}


# Measurements that are no pictures, of pictures that are no photographs.
SCIENCE: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "scattering",
            "inverse scattering, first order",
            operators.InverseScattering,
            default_noise=1e-4 / math.sqrt(2),
            channels=1,
        ),
        Task("mri", "accelerated MRI, some lines of k-space", operators.MRI, default_noise=0.0, channels=2),
        Task(
            "blackhole",
            "closures of an interferometer's observation",
            operators.BlackHole,
            default_noise=1.0,
            channels=1,
        ),
    )
}


def names() -> list[str]:
    """Every task."""
    return [*TASKS, *SCIENCE]


def get(name: str) -> Task:
    """The task `name`; raises ValueError with the nearest name for an unknown one."""
    known = {**TASKS, **SCIENCE}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown task {name!r}, available: {', '.join(known)}{hint}")


def build(name: str, **parameters: Any) -> Operator:
    """The operator of a task. Parameters that are None count as not given; one that the task does not take is refused."""
    task = get(name)
    given = {key: value for key, value in parameters.items() if value is not None}
    try:
        return task.build(**given)
    except TypeError as problem:
        raise TypeError(f"task {name!r}: {problem}") from problem
