"""`restore`: one picture in, the restored picture out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import tasks
from .files import read_image, read_kernel, read_mask
from .loop import Callback
from .operators import JPEG, Operator
from .plan import Result, compile

JPEG_SUFFIXES = (".jpg", ".jpeg")
# The picture itself cannot be the measurement of these.
_NOT_PICTURES = ("phase-retrieval", *tasks.SCIENCE)


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
    mask, kernel: for the inpainting and deblurring tasks: a path or an array (mask: 1 = known).
    options: those of `lmaps.compile`, without `size`, which follows from the picture. backend is "quick" unless given.

    With task "jpeg" and a JPEG file, the file's own quantisation tables and chroma sampling are used, as the pixels lie in the
    file, and no other noise is assumed.
    Returns a `Result`; raises ValueError or TypeError naming what is wrong. To restore many pictures, `compile` once instead.
    """
    own_tables = task == "jpeg" and _is_jpeg_file(image)
    y = 2 * pictures(image, stored=own_tables) - 1
    operator = task if isinstance(task, Operator) else operator_for(task, image, y, mask=mask, kernel=kernel)
    if own_tables:
        options.setdefault("noise", 0.0)
    name = task if isinstance(task, str) else None
    height, width = operator.picture_shape(y)[-2:]
    options.setdefault("backend", "quick")
    restorer = compile(operator, size=(height, width), task=name, **options)
    return restorer(y, seed=seed, callback=callback)


def operator_for(task: str, image: Any, y: Tensor, *, mask: Any = None, kernel: Any = None) -> Operator:
    """The operator behind a measured picture y [B, C, h, w] of a named task."""
    if task in _NOT_PICTURES:
        raise ValueError(
            f"the measurement of {task} is not a picture: give it to a restorer of `lmaps.compile`, or restore the .npz that "
            "`lmaps degrade` wrote"
        )
    size = (y.shape[-2], y.shape[-1])
    if task == "jpeg" and _is_jpeg_file(image):
        return JPEG.from_file(image)
    given: dict[str, Any] = {}
    if mask is not None:
        given["mask"] = read_mask(mask, size) if isinstance(mask, str | Path) else mask
    if kernel is not None:
        given["kernel"] = read_kernel(kernel, size) if isinstance(kernel, str | Path) else kernel
    return tasks.build(task, **given)


def _is_jpeg_file(image: Any) -> bool:
    return isinstance(image, str | Path) and Path(image).suffix.lower() in JPEG_SUFFIXES


def pictures(image: Any, *, stored: bool = False) -> Tensor:
    """Anything that holds pictures as [B, 3, H, W] float32 in [0, 1]. See `restore` for what is taken.

    stored: leave a file's pixels as they lie in it, without turning them upright.
    """
    if isinstance(image, Tensor):
        return _from_tensor(image)
    if isinstance(image, str | Path):
        return torch.from_numpy(np.ascontiguousarray(read_image(image, stored=stored).rgb()))[None]
    array = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
    return _from_array(array)


def _from_array(array: np.ndarray) -> Tensor:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(f"an array must be [H, W] or [H, W, 3], got {list(array.shape)}")
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(array.dtype)
    if full is None and not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"an array must hold uint8, uint16 or floats in [0, 1], got {array.dtype}")
    scaled = array.astype(np.float32) / (full or 1.0)
    channels = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, 2, 0)
    return _from_tensor(torch.from_numpy(np.ascontiguousarray(channels)))


def _from_tensor(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise TypeError(f"a tensor must hold floats in [0, 1], got {tensor.dtype}")
    if tensor.ndim not in (3, 4) or tensor.shape[-3] not in (1, 3) or tensor.numel() == 0:
        raise ValueError(f"a tensor must be [C, H, W] or [B, C, H, W] with 1 or 3 channels, got {list(tensor.shape)}")
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -0.5 and high <= 1.5):
        raise ValueError(f"pixels must lie in [0, 1] (noise may pass it a little), got {low:.3g} .. {high:.3g}")
    batch = tensor.float() if tensor.ndim == 4 else tensor.float()[None]
    return batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
