"""A TensorRT engine: loaded, and enqueued on a CUDA stream with memory the caller gives.

An engine file is executable code. Engines are loaded only as bytes from our own artefact cache, or as just built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .profiles import Shapes
from .tensorrt_library import TensorRTError, listen, logger, refusal, version

if TYPE_CHECKING:
    import tensorrt as trt

ALIGNMENT = 256


class TensorRTEngine:
    """Weights and kernels, on the GPU that is current when it is made. `open_context` gives what runs it.

    bytes: of the serialised engine, nearly all of them weights.
    Raises TensorRTError for a plan of another version or another GPU.
    """

    def __init__(self, plan: bytes | memoryview) -> None:
        import tensorrt as trt

        listen()
        self._runtime = trt.Runtime(logger())  # must outlive the engine
        engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise refusal("TensorRT cannot load the engine")
        self._engine = engine
        self.version = version()
        self.bytes = len(memoryview(plan))
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        self.outputs = tuple(n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.OUTPUT)
        self.inputs = tuple(n for n in names if n not in self.outputs)
        if other := [n for n in names if engine.get_tensor_dtype(n) != trt.DataType.FLOAT]:
            raise TensorRTError(f"inputs and outputs must be float32; the engine has others: {', '.join(other)}")

    def open_context(self, shapes: Shapes) -> Context:
        """For one set of shapes and one caller at a time. Raises TensorRTError for shapes outside the profile."""
        import tensorrt as trt

        listen()
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context: trt.IExecutionContext | None = self._engine.create_execution_context(strategy)
        if context is None:
            raise refusal("TensorRT cannot make an execution context")
        for name in self.inputs:
            if not context.set_input_shape(name, tuple(shapes[name])):
                raise refusal(f"the engine was not built for {name} of shape {tuple(shapes[name])}")
        if unknown := context.infer_shapes():
            raise refusal(f"TensorRT does not know the shapes of {', '.join(unknown)}")
        return Context(context, (*self.inputs, *self.outputs))


class Context:
    """scratch_bytes: of device memory a call needs, aligned to 256 bytes, which the caller gives with each."""

    def __init__(self, context: trt.IExecutionContext, names: tuple[str, ...]) -> None:
        self._context, self._names = context, names
        self.scratch_bytes = context.update_device_memory_size_for_shapes()

    def output_shape(self, name: str) -> tuple[int, ...]:
        shape = self._context.get_tensor_shape(name)
        return tuple(shape[i] for i in range(len(shape)))

    def enqueue(self, addresses: Mapping[str, int], scratch: int, stream: int) -> None:
        """Put one run on `stream` and return.

        addresses: device memory of every input and output, contiguous float32, by name. scratch: `scratch_bytes` of
        device memory. All of it must stay as it is until the stream has passed this run.
        """
        if set(addresses) != set(self._names):
            raise ValueError(f"addresses must name {sorted(self._names)}, got {sorted(addresses)}")
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise refusal(f"TensorRT does not accept the address {address:#x} for {name}")
        if scratch % ALIGNMENT:
            raise ValueError(f"scratch must be aligned to {ALIGNMENT} bytes, got {scratch:#x}")
        self._context.set_device_memory(scratch, self.scratch_bytes)
        if not self._context.execute_async_v3(stream):
            raise refusal("TensorRT cannot run the engine")
