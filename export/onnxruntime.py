"""An ONNX graph opened by ONNX Runtime on the CPU and run into memory the caller gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .arrays import Array, require_plain
from .external_data import GraphError, check_external_data


class OnnxRuntimeGraph:
    """One session. Shapes are dynamic; float32 only. `run` may be called from several threads at once.

    threads: of the session's own pool.
    Raises ImportError where onnxruntime is missing, GraphError for a damaged graph.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        import onnxruntime

        check_external_data(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise GraphError(f"ONNX Runtime cannot open {path}: {error}") from error
        self._output = self._session.get_outputs()[0].name
        self.version: str = onnxruntime.__version__

    def run(self, inputs: Mapping[str, Array], out: Array) -> None:
        """Run on `inputs` (C-contiguous float32 arrays by name) and write the first output into `out`."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            require_plain(name, array)
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        require_plain("out", out)
        binding.bind_output(self._output, "cpu", 0, np.float32, out.shape, out.ctypes.data)
        self._session.run_with_iobinding(binding)
