"""The part of CUDA's driver that builds and launches a graph of WHILE nodes, played in Python on CPU memory."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

from lmaps.engine import graph_loop

from .fake_cuda import FakeGraph

OK = 0


class Handle:
    """A condition: 1 at every launch."""

    def __init__(self, number: int) -> None:
        self.number, self.value = number, 1

    def __int__(self) -> int:
        return self.number


class Node:
    def __init__(self, kind: str, after: list[Node], **values: Any) -> None:
        self.kind, self.after, self.values = kind, after, values


class Driver:
    """Answers like cuda.bindings.driver: tuples that begin with a status. `modern`: without cuGraphAddNode_v2, as from 13."""

    CU_GRAPH_COND_ASSIGN_DEFAULT = 1
    CUgraphNodeType = SimpleNamespace(CU_GRAPH_NODE_TYPE_CONDITIONAL="conditional")
    CUgraphConditionalNodeType = SimpleNamespace(CU_GRAPH_COND_TYPE_WHILE="while")

    def __init__(self, *, modern: bool, version: int = 12090, bodies: dict[int, FakeGraph] | None = None) -> None:
        self.version, self.launches, self.destroyed = version, 0, list[str]()
        self._handles: dict[int, Handle] = {}
        if not modern:
            self.cuGraphAddNode_v2 = self._add
        self.cuGraphAddNode = self._add if modern else self._old

    @staticmethod
    def CUgraphNodeParams() -> Any:
        return SimpleNamespace(conditional=SimpleNamespace(phGraph_out=[[]]))

    CUDA_KERNEL_NODE_PARAMS = SimpleNamespace
    CUgraph = staticmethod(int)
    CUstream = staticmethod(int)

    def cuDriverGetVersion(self) -> Any:
        return OK, self.version

    def cuCtxGetCurrent(self) -> Any:
        return OK, "context"

    def cuGraphCreate(self, flags: int) -> Any:
        return OK, []

    def cuGraphConditionalHandleCreate(self, graph: list[Node], context: str, default: int, flags: int) -> Any:
        assert (context, default, flags) == ("context", 1, 1)
        handle = Handle(len(self._handles) + 7)
        self._handles[handle.number] = handle
        return OK, handle

    def _old(self, *arguments: Any) -> Any:
        raise AssertionError("the older form takes no edge data")

    def _add(self, graph: list[Node], after: list[Node], data: None, count: int, node: Any) -> Any:
        assert (count, data) == (len(after), None)
        made = node.conditional
        assert (node.type, made.type, made.size, made.ctx) == ("conditional", "while", 1, "context")
        graph.append(Node("while", after, handle=made.handle, body=made.phGraph_out[0]))
        return OK, graph[-1]

    def cuGraphAddChildGraphNode(self, graph: list[Node], after: list[Node], count: int, child: int) -> Any:
        assert count == len(after)
        graph.append(Node("child", after, graph=ctypes.cast(child, ctypes.py_object).value))
        return OK, graph[-1]

    def cuGraphAddKernelNode(self, graph: list[Node], after: list[Node], count: int, launch: Any) -> Any:
        assert (count, launch.gridDimX, launch.blockDimX, launch.func) == (1, 1, 1, "kernel")
        values, types = launch.kernelParams
        assert types == (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int)
        graph.append(Node("go on", after, values=values))
        return OK, graph[-1]

    def cuGraphInstantiate(self, graph: list[Node], flags: int) -> Any:
        assert [node.after for node in graph] == [[], *([before] for before in graph[:-1])]
        return OK, graph

    def cuGraphLaunch(self, graph: list[Node], stream: int) -> Any:
        self.launches += 1
        for loop in graph:
            handle = loop.values["handle"]
            handle.value = 1
            while handle.value:
                step, go_on = loop.values["body"]
                step.values["graph"].tape.replay()
                number, counter, until = go_on.values["values"]
                assert number == int(handle)
                handle.value = int(ctypes.c_int.from_address(counter).value < until)
        return (OK,)

    def cuGraphDestroy(self, graph: Any) -> Any:
        self.destroyed.append("graph")
        return (OK,)

    def cuGraphExecDestroy(self, graph: Any) -> Any:
        self.destroyed.append("executable")
        return (OK,)

    def cuModuleLoadData(self, binary: bytes) -> Any:
        return OK, binary

    def cuModuleGetFunction(self, module: bytes, name: bytes) -> Any:
        assert name.decode() == graph_loop.KERNEL
        return OK, "kernel"


class Compiler:
    """Answers like cuda.bindings.nvrtc."""

    def __init__(self, status: int = OK) -> None:
        self.status, self.options = status, list[bytes]()

    def nvrtcCreateProgram(
        self, source: bytes, name: bytes, count: int, headers: list[bytes], names: list[bytes]
    ) -> Any:
        return OK, source

    def nvrtcCompileProgram(self, program: bytes, count: int, options: list[bytes]) -> Any:
        assert count == len(options)
        self.options = options
        return (self.status,)

    def nvrtcGetProgramLogSize(self, program: bytes) -> Any:
        return OK, 8

    def nvrtcGetProgramLog(self, program: bytes, log: bytes) -> Any:
        return (OK,)

    def nvrtcGetCUBINSize(self, program: bytes) -> Any:
        return OK, 8

    def nvrtcGetCUBIN(self, program: bytes, binary: bytes) -> Any:
        return (OK,)
