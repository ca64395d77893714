"""A measurement on disk: OUT.npz, exact where a picture of it is rounded to 8 bits and clipped.

Arrays of the file (no pickled objects, ever):

    header            JSON: version, task, size [H, W], noise, seed, the operator's plain parameters, the picture's bits
    y                 the measurement, float32 or complex64, in the loop's units
    operator.NAME     the operator's parameters that are arrays (a mask, a kernel)
    alpha, icc, exif  what the picture carried, for the restored one
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .picture import Picture
from .problem import FileProblem
from .reading import read_bytes
from .writing import write_whole

VERSION = 1
MAX_EXPANDED = 1 << 31
_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Measurement:
    """y = H(x) + noise * n of one picture.

    y:        [C, h, w] (or what H makes of [3, H, W]), float32 or complex64, finite.
    operator: what rebuilds H: its `config()`, arrays in place of tensors.
    size:     (H, W) of the picture behind it.
    noise:    standard deviation of the noise, in y's units.   seed: what noise and operator were drawn from.
    source:   what the restored picture should carry: alpha, profile, EXIF, depth, greyness. Its pixels are zeros.
    """

    y: NDArray[Any]
    task: str
    operator: dict[str, Any]
    size: tuple[int, int]
    noise: float
    seed: int
    source: Picture | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.y.dtype not in (np.float32, np.complex64) or self.y.ndim < 1 or self.y.size == 0:
            raise ValueError(f"y must be float32 or complex64 and not empty, got {self.y.dtype} {list(self.y.shape)}")
        if not np.isfinite(self.y).all():
            raise ValueError("y has values that are not finite numbers")
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f"size must be (H, W) in pixels, got {self.size}")
        if not (isinstance(self.noise, int | float) and math.isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"noise must be >= 0, got {self.noise}")
        for key, value in self.operator.items():
            if isinstance(value, np.ndarray):
                if value.dtype.kind not in "fciub" or not np.isfinite(value).all():
                    raise ValueError(f"operator parameter {key!r} must hold finite numbers")
            elif not isinstance(value, _PLAIN) and not _plain_list(value):
                raise ValueError(f"operator parameter {key!r} cannot be stored: {type(value).__name__}")


def write_measurement(path: str | Path, measurement: Measurement, *, overwrite: bool = False) -> None:
    """Write OUT.npz, whole or not at all. Raises FileProblem where it cannot be written."""
    m = measurement
    arrays = {f"operator.{key}": value for key, value in m.operator.items() if isinstance(value, np.ndarray)}
    header: dict[str, Any] = {
        "version": VERSION,
        "task": m.task,
        "size": list(m.size),
        "noise": m.noise,
        "seed": m.seed,
        "operator": {key: value for key, value in m.operator.items() if not isinstance(value, np.ndarray)},
    }
    if m.source is not None:
        header |= {"grey": m.source.grey, "bits": m.source.bits, "format": m.source.format}
        if m.source.alpha is not None:
            arrays["alpha"] = m.source.alpha
        for name in ("icc", "exif"):
            if block := getattr(m.source, name):
                arrays[name] = np.frombuffer(block, np.uint8)
    out = BytesIO()
    np.savez_compressed(out, allow_pickle=False, header=np.array(json.dumps(header)), y=m.y, **arrays)
    write_whole(Path(path), out.getvalue(), overwrite=overwrite)


def read_measurement(path: str | Path) -> Measurement:
    """Read what `write_measurement` wrote. Raises FileProblem for anything else."""
    path = Path(path)
    arrays = _arrays(path, read_bytes(path))
    try:
        header = json.loads(str(arrays.pop("header")))
        if header["version"] != VERSION:
            raise FileProblem(
                f"{path} is of format version {header['version']}, this lmaps reads {VERSION}; measure again"
            )
        size = tuple(header["size"])
        tensors = {key.removeprefix("operator."): v for key, v in arrays.items() if key.startswith("operator.")}
        measurement = Measurement(
            y=arrays["y"],
            task=_typed(header, "task", str),
            operator={**_typed(header, "operator", dict), **tensors},
            size=(size[0], size[1]),
            noise=header["noise"],
            seed=_typed(header, "seed", int),
        )
        return Measurement(**{**measurement.__dict__, "source": _source(header, arrays, measurement.size)})
    except FileProblem:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        text = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise FileProblem(f"{path} is not a measurement written by `lmaps degrade` ({text}); make it again") from error


def _arrays(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            expanded = sum(entry.file_size for entry in archive.infolist())
        if expanded > MAX_EXPANDED:
            raise FileProblem(f"{path} is too large ({expanded:,} bytes unpacked); the limit is {MAX_EXPANDED:,}")
        with np.load(BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileProblem:
        raise
    except Exception as error:  # zip and npy readers raise almost anything on damaged data
        raise FileProblem(f"{path} is not a readable .npz file; make it again with `lmaps degrade`") from error


def _source(header: dict[str, Any], arrays: dict[str, NDArray[Any]], size: tuple[int, int]) -> Picture | None:
    if "grey" not in header:
        return None
    icc, exif = (arrays[name].astype(np.uint8).tobytes() if name in arrays else None for name in ("icc", "exif"))
    return Picture(
        pixels=np.broadcast_to(np.float32(0), (1 if header["grey"] else 3, *size)),
        alpha=arrays["alpha"].astype(np.float32) if "alpha" in arrays else None,
        bits=header["bits"],
        icc=icc,
        exif=exif,
        format=_typed(header, "format", str),
    )


def _typed(header: dict[str, Any], key: str, kind: type) -> Any:
    value = header[key]
    if not isinstance(value, kind):
        raise ValueError(f"{key} must be a {kind.__name__}, got {value!r}")
    return value


def _plain_list(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(entry, _PLAIN) for entry in value)
