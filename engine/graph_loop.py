"""All steps in one launch: conditional WHILE nodes whose bodies are recorded steps (CUDA 12.4 and later).

    node k:  while i < until_k: the step of run k; i is a counter on the device that the step itself advances

The bodies are graphs that torch recorded, put in as child nodes; after each a kernel of one thread sets the condition. That
kernel is compiled at run time, since the device function that sets a condition exists only inside CUDA's compilers.
Written to the public API of cuda.bindings 12.9 and 13; tested against a stand-in, not yet run on a GPU.
"""

from __future__ import annotations

import ctypes
import importlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

OLDEST_DRIVER = 12040
KERNEL = "lmaps_go_on"
SOURCE = f"""
extern "C" __device__ __cudart_builtin__ void CUDARTAPI cudaGraphSetConditional(
    cudaGraphConditionalHandle handle, unsigned int value);
extern "C" __global__ void {KERNEL}(cudaGraphConditionalHandle handle, const int* counter, int until) {{
    cudaGraphSetConditional(handle, *counter < until ? 1 : 0);
}}
"""


class LoopError(RuntimeError):
    """A WHILE node cannot be made; the message says why."""


def obstacle() -> str | None:
    """Why there are no WHILE nodes here, or None."""
    try:
        driver, _ = _bindings()
    except ImportError as error:
        return f'the package cuda-bindings cannot be imported ({error}); pip install "lmaps-engine[gpu]"'
    try:
        version = int(_checked(driver.cuDriverGetVersion()))
    except RuntimeError as error:
        return f"the driver does not answer: {error}"
    if version < OLDEST_DRIVER:
        return f"the driver knows CUDA {version // 1000}.{version % 1000 // 10}, and WHILE nodes need 12.4"
    return None


class WhileLoop:
    """Runs of recorded steps, each repeated until the counter reaches its end, as one executable graph.

    runs: (graph recorded with keep_graph=True, how often), in order; counter: int32 [1] that each graph adds 1 to.
    Raises LoopError where the driver or its compiler refuses.
    """

    def __init__(self, runs: Sequence[tuple[torch.cuda.CUDAGraph, int]], counter: Tensor) -> None:
        driver, nvrtc = _bindings()
        self._driver = driver
        # Kept: the child nodes hold addresses in the memory pool of these graphs, and of the counter.
        self._kept = (tuple(graph for graph, _ in runs), counter)
        try:
            self._executable = self._build(nvrtc, runs, counter)
        except LoopError:
            raise
        except RuntimeError as error:  # the bindings open libraries, and look functions up, when they are first called
            raise LoopError(f"CUDA's driver or NVRTC cannot be used: {error}") from error

    def _build(self, nvrtc: Any, runs: Sequence[tuple[torch.cuda.CUDAGraph, int]], counter: Tensor) -> Any:
        driver = self._driver
        go_on = _kernel(driver, nvrtc, counter.device)
        graph = _checked(driver.cuGraphCreate(0))
        self._destroy_later(driver.cuGraphDestroy, graph)
        before, until = None, 0
        for body, count in runs:
            until += count
            before = _add_while(driver, graph, before, int(body.raw_cuda_graph()), go_on, counter, until)
        executable = _checked(driver.cuGraphInstantiate(graph, 0))
        self._destroy_later(driver.cuGraphExecDestroy, executable)
        return executable

    def launch(self) -> None:
        """Enqueue all steps on the current stream."""
        stream = self._driver.CUstream(torch.cuda.current_stream().cuda_stream)
        _checked(self._driver.cuGraphLaunch(self._executable, stream))

    def _destroy_later(self, destroy: Callable[[Any], object], handle: Any) -> None:
        # Not at exit: the driver may be gone by then.
        weakref.finalize(self, destroy, handle).atexit = False


def _add_while(driver: Any, graph: Any, before: Any, body: int, go_on: Any, counter: Tensor, until: int) -> Any:
    """Append `while counter < until: body` behind the node `before`; returns the new node."""
    context = _checked(driver.cuCtxGetCurrent())
    # At every launch the condition starts as 1: a run has at least one step.
    handle = _checked(driver.cuGraphConditionalHandleCreate(graph, context, 1, driver.CU_GRAPH_COND_ASSIGN_DEFAULT))
    node = driver.CUgraphNodeParams()
    node.type = driver.CUgraphNodeType.CU_GRAPH_NODE_TYPE_CONDITIONAL
    node.conditional.handle = handle
    node.conditional.type = driver.CUgraphConditionalNodeType.CU_GRAPH_COND_TYPE_WHILE
    node.conditional.size = 1
    node.conditional.ctx = context
    # The bindings of CUDA 12 call by this name what those of CUDA 13 call cuGraphAddNode.
    add = getattr(driver, "cuGraphAddNode_v2", driver.cuGraphAddNode)
    added = _checked(add(graph, [] if before is None else [before], None, 0 if before is None else 1, node))
    inside = node.conditional.phGraph_out[0]
    step = _checked(driver.cuGraphAddChildGraphNode(inside, [], 0, driver.CUgraph(body)))
    launch = driver.CUDA_KERNEL_NODE_PARAMS()
    launch.func = go_on
    launch.gridDimX = launch.gridDimY = launch.gridDimZ = 1
    launch.blockDimX = launch.blockDimY = launch.blockDimZ = 1
    launch.sharedMemBytes = 0
    values = (int(handle), counter.data_ptr(), until)
    launch.kernelParams = (values, (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int))
    _checked(driver.cuGraphAddKernelNode(inside, [step], 1, launch))
    return added


def _kernel(driver: Any, nvrtc: Any, device: torch.device) -> Any:
    """The compiled kernel for this device. Modules are few and small, and stay loaded."""
    major, minor = torch.cuda.get_device_capability(device)
    program = _checked(nvrtc.nvrtcCreateProgram(SOURCE.encode(), b"lmaps_loop.cu", 0, [], []))
    options = [f"--gpu-architecture=sm_{major}{minor}".encode()]
    status, *_ = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if int(status) != 0:
        log = b" " * int(_checked(nvrtc.nvrtcGetProgramLogSize(program)))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise LoopError(f"NVRTC refuses the kernel that sets the condition: {log.decode(errors='replace').strip()}")
    binary = b" " * int(_checked(nvrtc.nvrtcGetCUBINSize(program)))
    _checked(nvrtc.nvrtcGetCUBIN(program, binary))
    module = _checked(driver.cuModuleLoadData(binary))
    return _checked(driver.cuModuleGetFunction(module, KERNEL.encode()))


def _bindings() -> tuple[Any, Any]:
    return importlib.import_module("cuda.bindings.driver"), importlib.import_module("cuda.bindings.nvrtc")


def _checked(result: tuple[Any, ...]) -> Any:
    """What a call of the bindings returned, behind its status. Raises LoopError for a status that is not success."""
    status, *values = result
    if int(status) != 0:
        raise LoopError(f"CUDA answers {getattr(status, 'name', status)}")
    return values[0] if values else None
