"""The tasks by name: which operator a task stands for, and how to make it for a picture size."""

from __future__ import annotations

import difflib
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
    """

    name: str
    summary: str
    build: Callable[..., Operator]
    local: bool = False
    seeded: bool = False
    default_noise: float = 0.05


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


def get(name: str) -> Task:
    """The task `name`; raises ValueError with the nearest name for an unknown one."""
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(name, TASKS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown task {name!r}, available: {', '.join(TASKS)}{hint}")


def build(name: str, **parameters: Any) -> Operator:
    """The operator of a task. Parameters that are None count as not given; one that the task does not take is refused."""
    task = get(name)
    given = {key: value for key, value in parameters.items() if value is not None}
    try:
        return task.build(**given)
    except TypeError as problem:
        raise TypeError(f"task {name!r}: {problem}") from problem
