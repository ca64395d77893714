"""Compile recorded launches for a GPU that is not here, and read what they need: registers, stack, shared memory.

    with recording() as launches:
        mask.steps(...)                       # on CPU tensors; nothing runs
    for launch in launches:
        compile_launch(launch, capability=90)

Needs Triton with its NVIDIA back end (its wheels carry the assembler) and TRITON_INTERPRET unset when Triton is
imported.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ._triton import NOT_INSTALLED, Launch, interpreted, triton

_POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


@dataclass(frozen=True)
class Resources:
    """What one thread block asks for.

    stack: bytes a thread keeps outside registers; 0 means nothing was spilled. wide: loads and stores of 16 bytes.
    """

    kernel: str
    capability: int
    registers: int
    stack: int
    shared: int
    warps: int
    wide: int


def compile_launch(launch: Launch, capability: int) -> Resources:
    """Compile one recorded launch exactly as Triton would specialise it on a GPU of this compute capability (80, 90,
    ...).
    """
    if triton is None:
        raise RuntimeError(NOT_INSTALLED)
    if interpreted():
        raise RuntimeError(
            "kernels are being interpreted: unset TRITON_INTERPRET before Triton is imported to compile them"
        )
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature, constants, attributes = _specialise(launch)
    source = ASTSource(fn=launch.kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {k: v for k, v in launch.options.items() if k not in signature}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    registers, stack = _usage(compiled.asm["cubin"])
    metadata = compiled.metadata
    wide = len(re.findall(r"(?:ld|st)\.global[\w.:]*\.v4\.[bf]?32", compiled.asm["ptx"]))
    return Resources(metadata.name, capability, registers, stack, metadata.shared, metadata.num_warps, wide)


def _specialise(launch: Launch) -> tuple[dict[str, str], dict[str, Any], dict[tuple[int], list[list[Any]]]]:
    """Triton's rules: pointers (from an allocator) and multiples of 16 are divisible by 16, an integer 1 is a
    constant.
    """
    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    names = [parameter.name for parameter in launch.kernel.params]
    values = dict(zip(names, launch.arguments, strict=False)) | launch.options
    for position, parameter in enumerate(launch.kernel.params):
        value = values[parameter.name]
        if parameter.is_constexpr or (isinstance(value, int) and value == 1):
            signature[parameter.name] = "constexpr"
            constants[parameter.name] = value
        elif isinstance(value, Tensor):
            signature[parameter.name] = _POINTERS[value.dtype]
            attributes[(position,)] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0:
                attributes[(position,)] = [["tt.divisibility", 16]]
    return signature, constants, attributes


def _usage(cubin: bytes) -> tuple[int, int]:
    """(registers a thread, stack bytes a thread) of a compiled kernel."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+).*?LOCAL:(\d+)", report)
    if found is None:
        raise RuntimeError(f"cuobjdump's report has no resource line:\n{report}")
    registers, stack, local = map(int, found.groups())
    return registers, stack + local
