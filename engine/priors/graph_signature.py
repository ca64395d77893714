"""What goes into and comes out of a denoiser's ONNX graph of someone else's making."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .error import PriorError

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

FLOAT, INT32, INT64, FLOAT16, DOUBLE = 1, 6, 7, 10, 11
_FLOATS, _WHOLE = (FLOAT, FLOAT16, DOUBLE), (INT32, INT64)
_MULTIPLE = re.compile(r"(\d+)\s*\*\s*\w+|\w+\s*\*\s*(\d+)")
_OLDEST_OPSET = 13


@dataclass(frozen=True, slots=True)
class Signature:
    """x, t, out: names.  x_type, t_type, out_type: element types as ONNX counts them.  t_rank: 0 .. 4.
    channels, multiple: None where the graph does not say.  size, batch: where the graph fixes them.
    """

    x: str
    t: str
    out: str
    x_type: int
    t_type: int
    out_type: int
    t_rank: int
    channels: int | None
    multiple: int | None
    size: tuple[int, int] | None
    batch: int | None
    opset: int

    @property
    def whole_steps(self) -> bool:
        return self.t_type in _WHOLE


def read_signature(path: Path, model: ModelProto) -> Signature:
    """The picture among the inputs is the one of rank 4. Raises PriorError where inputs or outputs are not as expected."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    pictures = [
        value for value in inputs if _rank(value) == 4 and [_fixed(value, axis) for axis in (1, 2, 3)] != [1, 1, 1]
    ]
    steps = [value for value in inputs if value not in pictures]
    if len(pictures) != 1 or len(steps) != 1:
        described = ", ".join(f"{value.name} of rank {_rank(value)}" for value in inputs) or "none"
        raise PriorError(
            f"{path}: one picture [B, C, H, W] and one noise level or timestep [B] can be given to a graph; its inputs "
            f"are {described}. Export it with everything else (a class, a text) built in"
        )
    x, t = pictures[0], steps[0]
    if _type(x) not in _FLOATS or _type(t) not in (*_FLOATS, *_WHOLE):
        raise PriorError(f"{path}: the inputs {x.name!r} and {t.name!r} are not numbers that can be given")
    if not graph.output:
        raise PriorError(f"{path} has no output")
    out = graph.output[0]
    batch, channels, height, width = (_fixed(x, axis) for axis in range(4))
    rank = _rank(t) or 0
    if rank == 0:
        batch = 1
    elif (told := _fixed(t, 0)) is not None:
        batch = batch or told
    return Signature(
        x.name, t.name, out.name, _type(x), _type(t), _type(out), rank, channels,
        multiple=_multiple(x), size=_size(path, height, width), batch=batch, opset=_opset(path, model),
    )  # fmt: skip


def _rank(value: ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    return len(tensor.shape.dim) if tensor.HasField("shape") else None


def _type(value: ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _fixed(value: ValueInfoProto, axis: int) -> int | None:
    dim = value.type.tensor_type.shape.dim[axis]
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None


def _size(path: Path, height: int | None, width: int | None) -> tuple[int, int] | None:
    if (height is None) != (width is None):
        raise PriorError(
            f"{path} fixes one side of the picture ({height} x {width}) and leaves the other free; fix both"
        )
    return None if height is None or width is None else (height, width)


def _multiple(value: ValueInfoProto) -> int | None:
    """torch.onnx names a free side "32*h" where it must be divisible by 32."""
    found = [_MULTIPLE.fullmatch(dim.dim_param) for dim in list(value.type.tensor_type.shape.dim)[2:]]
    numbers = [int(match[1] or match[2]) for match in found if match]
    return max(numbers) if len(numbers) == 2 else None


def _opset(path: Path, model: ModelProto) -> int:
    version = next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version < _OLDEST_OPSET:
        raise PriorError(
            f"{path} is written in opset {version}; {_OLDEST_OPSET} or later is needed: export it anew, or use "
            "onnx.version_converter"
        )
    return version
