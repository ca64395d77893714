"""`restore`: one picture in, the restored picture out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import tasks
from .files import Picture, read_image, read_kernel, read_mask
from .files.given import blur_kernel, some_known
from .files.metadata import turn_of
from .files.picture import turning
from .loop import Callback
from .operators import JPEG, Operator, checks
from .operators.jpeg_tables import setting_of
from .pictures import pictures
from .plan import Result, compile

# The picture itself cannot be the measurement of these.
_NOT_PICTURES = ("phase-retrieval", *tasks.SCIENCE)
# What a picture does not show of its degradation, and what no default stands for.
NEEDED = {"inpaint-box": "mask", "inpaint-random": "mask", "deblur-motion": "kernel"}


def restore(
    image: Any,
    task: str | Operator,
    *,
    mask: Any = None,
    kernel: Any = None,
    seed: int = 0,
    callback: Callback | None = None,
    **options: Any,
) -> Result:
    """Restore one degraded picture (or a batch of equal size) in one call.

    image:  a path, a PIL image, a NumPy array ([H, W], [H, W, 3]; uint8, uint16 or float in [0, 1]) or a torch tensor
            ([C, H, W] or [B, C, H, W], float in [0, 1]). Grey pictures are restored as three equal channels.
    task:   a name of `lmaps.engine.tasks.TASKS`, or an operator of your own whose measurement is a picture.
    mask, kernel: for the inpainting and deblurring tasks: a path or an array (mask: 1 = known; kernel: odd sides, scaled to
            sum 1). Inpainting needs a mask and deblur-motion a kernel, since a picture does not show them.
    options: those of `lmaps.compile`, without `size`, which follows from the picture. backend is "quick" unless given.

    With task "jpeg" the quantisation tables and chroma sampling are read from the JPEG file, or from the PIL image that was
    opened from one, and no other noise is assumed. For another picture give `lmaps.operators.JPEG(quality=...)` as the task.
    A file's picture comes back upright, whatever its EXIF orientation says; with task "jpeg" it is restored as it lies in the
    file, which is what a callback sees, and turned afterwards. Other images come back in the orientation they have.
    Returns a `Result`; raises ValueError or TypeError naming what is wrong. To restore many pictures, `compile` once instead.
    """
    compressed = task == "jpeg"
    seen = read_image(image, stored=compressed) if isinstance(image, str | Path) else image
    y = 2 * pictures(seen) - 1
    if isinstance(task, Operator):
        operator = _own(task, mask, kernel)
    else:
        operator = operator_for(task, image, y, mask=mask, kernel=kernel)
    if compressed:
        options.setdefault("noise", 0.0)
    name = task if isinstance(task, str) else None
    height, width = operator.picture_shape(y)[-2:]
    options.setdefault("backend", "quick")
    restorer = compile(operator, size=(height, width), task=name, **options)
    result = restorer(y, seed=seed, callback=callback)
    return _upright(result, turn_of(seen)) if compressed and isinstance(seen, Picture) else result


def operator_for(task: str, image: Any, y: Tensor, *, mask: Any = None, kernel: Any = None) -> Operator:
    """The operator behind a measured picture y [B, C, h, w] of a named task; `image` is what y was read from."""
    if task in _NOT_PICTURES:
        raise ValueError(
            f"the measurement of {task} is not a picture: give it to a restorer of `lmaps.compile`, or restore the .npz that "
            "`lmaps degrade` wrote"
        )
    size = (y.shape[-2], y.shape[-1])
    given: dict[str, Any] = {}
    if mask is not None:
        given["mask"] = _mask(mask, size)
    if kernel is not None:
        given["kernel"] = _kernel(kernel, size)
    if task == "jpeg" and not given:
        return _compression(image)
    needed = NEEDED.get(task)
    if needed is not None and needed not in given:
        raise ValueError(f"{task} of a picture needs {needed}=..., or an operator of your own as the task")
    return tasks.build(task, **given)


def _own(operator: Operator, mask: Any, kernel: Any) -> Operator:
    if mask is not None or kernel is not None:
        raise ValueError(
            "mask and kernel belong to a task's name; an operator of your own has them in it: leave them out"
        )
    return operator


def _mask(mask: Any, size: tuple[int, int]) -> Any:
    if isinstance(mask, str | Path):
        return read_mask(mask, size)
    return some_known(checks.finite(mask, "mask").numpy())


def _kernel(kernel: Any, size: tuple[int, int]) -> Any:
    if isinstance(kernel, str | Path):
        return read_kernel(kernel, size)
    return blur_kernel(kernel.detach().cpu().numpy() if isinstance(kernel, Tensor) else np.asarray(kernel), size)


def _compression(image: Any) -> JPEG:
    """The compression behind a JPEG file, or behind a PIL image that was opened from one."""
    if isinstance(image, str | Path):
        return JPEG.from_file(image)
    setting = setting_of(image, "the picture")
    return JPEG(None, setting.subsampling, chroma="average", tables=setting.tables)


def _upright(result: Result, turn: int) -> Result:
    swapped, *mirrored = turning(turn)
    axes = [axis for axis, flip in zip((-2, -1), mirrored, strict=True) if flip]

    def turned(x: Tensor) -> Tensor:
        return torch.flip(x.mT if swapped else x, axes)

    return replace(result, image=turned(result.image), x=turned(result.x))
