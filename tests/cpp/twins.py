"""The same functions in float64 NumPy, written straight from their formulas, and the buffers that results go into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

Array = NDArray[Any]


class Guarded:
    """A NaN-filled float32 (or complex64) array in the middle of a longer one, to see that nothing beyond it is written."""

    def __init__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        size = int(np.prod(shape))
        self._memory = np.full(size + 128, np.nan, dtype)
        self.inside = self._memory[64 : 64 + size].reshape(shape)

    def check(self, result: Any) -> Array:
        assert result is self.inside, "out= was not returned"
        assert np.isnan(self._memory[:64]).all(), "wrote before the output"
        assert np.isnan(self._memory[-64:]).all(), "wrote behind the output"
        return self.inside


def random(rng: np.random.Generator, *shape: int) -> Array:
    return rng.uniform(-1, 1, shape).astype(np.float32)


def relative(a: Any, b: Array) -> float:
    """||a - b|| / ||b||; 0 where both are empty."""
    a = np.asarray(a)
    assert a.shape == b.shape
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size else float(np.linalg.norm(a))


def descend(
    xhat: Array, pull: Callable[[Array], Array], r: float, k2: float, eta: float, steps: int, start: Array | None = None
) -> Array:
    """K gradient steps; pull(x) = J^T (H(x) - y). The prior pulls to xhat, the steps begin at `start` (xhat if None)."""
    xhat = xhat.astype(np.float64)
    x = xhat.copy() if start is None else start.astype(np.float64)
    for _ in range(steps):
        x = x - eta * ((1 - r) * (x - xhat) + r * k2 * pull(x))
    return x


def steady(xhat: Array, rng: np.random.Generator, run: Callable[[Array], Array]) -> tuple[Array, Array]:
    """The twin's result, and where it does not hang on the last digit: entries that a start moved by 1e-6 leaves alone.

    H with jumps sends two starts on either side of a jump to different places; which side float32 falls on is chance.
    """
    expected = run(xhat.astype(np.float64))
    moved = [run(xhat + 1e-6 * rng.standard_normal(xhat.shape)) for _ in range(3)]
    return expected, np.all([np.abs(other - expected) < 2e-5 for other in moved], axis=0)


def quantized(x: Array, bits: int) -> Array:
    levels = 2**bits - 1
    return 2 * np.floor((x + 1) / 2 * levels + 0.5) / levels - 1


FORWARD = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
BACK = np.array([[1, -3.68e-5, 1.40198758], [1, -0.344113281, -0.714103821], [1, 1.77197812, -1.34583413e-4]])


def _through_blocks(plane: Array, table: Array) -> Array:
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3) - 128
    coefficients = np.rint(scipy.fft.dctn(blocks, axes=(2, 3), norm="ortho") / table) * table
    blocks = scipy.fft.idctn(coefficients, axes=(2, 3), norm="ortho") + 128
    return blocks.transpose(0, 2, 1, 3).reshape(height, width)


def jpeg(x: Array, luma: Array, chroma: Array, down: int, across: int, average: bool = False) -> Array:
    """H(x) = decode(encode(x)) of [B, 3, H, W] or [B, 1, H, W]; chroma: [2, 8, 8]."""
    height, width = x.shape[2:]
    edge = ((0, -height % (8 * down)), (0, -width % (8 * across)))
    out = np.empty_like(x)
    for image, seen in zip(x, out, strict=True):
        v = np.stack([np.pad(127.5 * (plane + 1), edge, mode="edge") for plane in image])
        if len(v) == 1:
            seen[0] = (_through_blocks(v[0], luma) / 127.5 - 1)[:height, :width]
            continue
        ycc = np.einsum("ij,jhw->ihw", FORWARD, v) + np.array([0, 128, 128])[:, None, None]
        planes = [_through_blocks(ycc[0], luma)]
        for plane, table in zip(ycc[1:], chroma, strict=True):
            groups = plane.reshape(v.shape[1] // down, down, v.shape[2] // across, across)
            small = groups.mean((1, 3)) if average else groups[:, 0, :, 0]
            planes.append(np.kron(_through_blocks(small, table), np.ones((down, across))) - 128)
        seen[:] = (np.einsum("ij,jhw->ihw", BACK, np.stack(planes)) / 127.5 - 1)[:, :height, :width]
    return out


SCIPY_MODE = {"reflect": "mirror", "circular": "grid-wrap", "replicate": "nearest", "zero": "constant"}


def blur_matrix(kernel: Array, padding: str, height: int, width: int) -> Array:
    """H of a blur as a dense matrix, column by column from SciPy's correlation of unit pictures."""
    kernel = kernel.astype(np.float64)
    columns = []
    for i in range(height * width):
        unit = np.zeros(height * width)
        unit[i] = 1
        columns.append(scipy.ndimage.correlate(unit.reshape(height, width), kernel, mode=SCIPY_MODE[padding]).ravel())
    return np.stack(columns, axis=1)
