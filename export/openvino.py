"""An ONNX graph compiled by OpenVINO for the CPU and one fixed shape, run into memory the caller gives.

The settings are the ones that measured best for one request at a time: shapes made static, one stream, the latency
hint, a thread a physical core.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from .arrays import Array, require_plain
from .external_data import GraphError, check_external_data

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVINOGraph:
    """One compiled graph. `run` may be called from several threads at once; each thread has its own request.

    shapes:    shape of every input, by name.
    precision: of the convolutions and matrix products. With "bfloat16" everything after the last of them (the output
               scaling of a denoiser) still runs in float32.
    Raises ImportError where openvino is missing, GraphError for a damaged graph or shapes it does not accept.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        precision: Literal["float32", "bfloat16"],
        threads: int,
    ) -> None:
        import openvino

        check_external_data(path)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        core = openvino.Core()
        try:
            model = core.read_model(path)
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise GraphError(f"OpenVINO cannot compile {path} for {dict(shapes)}: {error}") from error
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._tensor = openvino.Tensor
        self._local = threading.local()
        self.version: str = openvino.__version__.split("-")[0]

    def run(self, inputs: Mapping[str, Array], out: Array) -> None:
        """Run on `inputs` (C-contiguous float32 arrays by name) and write the first output into `out`.

        Nothing is copied on the way in or out, and `out` is not touched again after the call.
        """
        request = self._request()
        for name, array in inputs.items():
            require_plain(name, array)
            if array.shape != self._shapes[name]:
                raise ValueError(f"{name} has shape {array.shape}; the graph was compiled for {self._shapes[name]}")
            request.set_tensor(name, self._tensor(array, shared_memory=True))
        require_plain("out", out)
        request.set_output_tensor(self._tensor(out, shared_memory=True))
        request.infer(share_outputs=True)

    def _request(self) -> Any:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        return self._local.request
