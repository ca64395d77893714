"""Anything that holds pictures, as the engine takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .files import Picture, read_image

# Files whose greys Pillow spreads over 16 bits where it decodes them to its 32-bit mode "I".
_DEEP_FORMATS = ("PNG", "PPM")


def pictures(image: Any) -> Tensor:
    """Pictures as [B, 3, H, W] float32 in [0, 1]. `lmaps.restore` says what is taken; a `Picture` is, too."""
    if isinstance(image, Tensor):
        return _from_tensor(image)
    if isinstance(image, str | Path):
        image = read_image(image)
    if isinstance(image, Picture):
        return torch.from_numpy(np.ascontiguousarray(image.rgb()))[None]
    return _from_array(_samples(image) if hasattr(image, "convert") else np.asarray(image))


def _samples(image: Any) -> NDArray[Any]:
    """The samples of a PIL image. Pillow's own conversion to RGB would clip whatever is deeper than 8 bits."""
    if image.mode.startswith("I;16"):
        return np.asarray(image)
    if image.mode == "F":
        return np.asarray(image, np.float32)
    if image.mode == "I":
        return _deep(image)
    return np.asarray(image.convert("RGB"))


def _deep(image: Any) -> NDArray[np.uint16]:
    values = np.asarray(image)
    if image.format not in _DEEP_FORMATS or values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"a PIL image of mode I does not say which value is white (this one holds {values.min()} .. {values.max()}): "
            "give a uint16 array, or floats in [0, 1]"
        )
    return values.astype(np.uint16)


def _from_array(array: NDArray[Any]) -> Tensor:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(f"an array must be [H, W] or [H, W, 3], got {list(array.shape)}")
    kind = array.dtype.newbyteorder("=")
    full = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}.get(kind)
    if full is None and not np.issubdtype(kind, np.floating):
        raise TypeError(f"an array must hold uint8, uint16 or floats in [0, 1], got {array.dtype}")
    scaled = array.astype(np.float32) / (full or 1.0)
    channels = scaled[None] if scaled.ndim == 2 else np.moveaxis(scaled, 2, 0)
    return _from_tensor(torch.from_numpy(np.ascontiguousarray(channels)))


def _from_tensor(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        raise TypeError(f"a tensor must hold floats in [0, 1], got {tensor.dtype}")
    if tensor.ndim not in (3, 4) or tensor.shape[-3] not in (1, 3) or tensor.numel() == 0:
        raise ValueError(f"a tensor must be [C, H, W] or [B, C, H, W] with 1 or 3 channels, got {list(tensor.shape)}")
    tensor = tensor.detach()
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= -0.5 and high <= 1.5):
        raise ValueError(f"pixels must lie in [0, 1] (noise may pass it a little), got {low:.3g} .. {high:.3g}")
    batch = tensor.float() if tensor.ndim == 4 else tensor.float()[None]
    return batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
