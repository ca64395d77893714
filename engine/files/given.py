"""What a person knows about a degradation, from a file or an array: a mask of the known pixels, a blur kernel."""

from __future__ import annotations

import warnings
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .picture import Pixels
from .problem import FileProblem
from .reading import SUFFIXES, read_bytes, read_image

MAX_KERNEL_BYTES = 1 << 26


def read_mask(path: str | Path, size: tuple[int, int]) -> Pixels:
    """[H, W] float32 of 0 and 1 from any picture: bright (>= 1/2) is known, dark is missing.

    Raises FileProblem: another size than `size` (H, W), or no pixel known.
    """
    path = Path(path)
    picture = read_image(path)
    if picture.size != size:
        raise FileProblem(
            f"mask {path} is {_wide_high(picture.size)}, the picture is {_wide_high(size)}; "
            "make the mask as large as the picture"
        )
    return some_known((picture.pixels.mean(axis=0) >= 0.5).astype(np.float32), f"mask {path}")


def some_known(mask: NDArray[Any], name: str = "mask") -> NDArray[Any]:
    """The mask, once it is sure that it marks a pixel as known; else FileProblem."""
    if not mask.any():
        raise FileProblem(
            f"{name} marks no pixel as known; paint the known pixels white (1), the missing ones black (0)"
        )
    return mask


def read_kernel(path: str | Path, size: tuple[int, int]) -> Pixels:
    """As `blur_kernel`, from a picture, a .npy, a .npz (its only array, or the one named "kernel") or a .txt."""
    path = Path(path)
    return blur_kernel(np.asarray(_table(path)), size, f"kernel {path}")


def blur_kernel(kernel: NDArray[Any], size: tuple[int, int], name: str = "kernel") -> Pixels:
    """[k, l] float32, sum 1, from a table of numbers.

    Raises FileProblem: not a table of finite numbers, an even side, a sum that is not positive, larger than `size`.
    """
    if kernel.ndim != 2 or kernel.dtype.kind not in "fiub" or kernel.size == 0:
        raise FileProblem(
            f"{name} is not a table of numbers ({list(kernel.shape)} {kernel.dtype}); give rows and columns"
        )
    kernel = kernel.astype(np.float64)
    if not np.isfinite(kernel).all():
        raise FileProblem(f"{name} has values that are not finite numbers; replace them")
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise FileProblem(f"{name} is {_wide_high(kernel.shape)}; make both sides odd with a row or column of zeros")
    if kernel.shape[0] > size[0] or kernel.shape[1] > size[1]:
        raise FileProblem(f"{name} is {_wide_high(kernel.shape)}, the picture only {_wide_high(size)}; crop the kernel")
    total = kernel.sum()
    if not total > 0:
        raise FileProblem(f"{name} sums to {total:g}; a blur kernel has a positive sum")
    return (kernel / total).astype(np.float32)


def _table(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        picture = read_image(path)
        return picture.pixels.mean(axis=0)
    if suffix not in (".npy", ".npz", ".txt"):
        raise FileProblem(
            f"kernel {path} has an unknown suffix; use .npy, .npz, .txt or a picture ({' '.join(SUFFIXES)})"
        )
    data = read_bytes(path, limit=MAX_KERNEL_BYTES)
    try:
        if suffix == ".txt":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.loadtxt(StringIO(data.decode("utf-8")), ndmin=2)
        loaded = np.load(BytesIO(data), allow_pickle=False)
        if suffix == ".npy":
            return np.asarray(loaded)
        name = "kernel" if "kernel" in loaded.files else loaded.files[0] if len(loaded.files) == 1 else None
        return np.asarray(loaded[name])
    except Exception as error:  # readers of arrays raise almost anything on damaged data
        raise FileProblem(f"kernel {path} cannot be read as a {suffix} table of numbers; save it again") from error


def _wide_high(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
