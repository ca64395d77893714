"""What a recording forbids, found before one begins: a recording that breaks off leaves torch's allocator in disorder."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = frozenset({torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default})
_COPIES = frozenset({torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default})


class NoReading(TorchDispatchMode):
    """Raises RuntimeError for operations of this thread that make the host wait for the GPU: reading a tensor's value, and
    copying one between the host and the GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READS:
            raise RuntimeError(f"a step reads a tensor's value on the host ({func})")
        out = func(*args, **(kwargs or {}))
        if func in _COPIES:
            source = args[1] if func is torch.ops.aten.copy_.default else args[0]
            # A single number travels with the launch.
            if source.device.type != out.device.type and source.ndim > 0:
                raise RuntimeError(f"a step copies a tensor from {source.device} to {out.device}")
        return out
