"""A network without its weights: their names and shapes, at no cost in memory, whatever the network's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _NoStorage(TorchFunctionMode):
    """torch.empty, which layers make their parameters with, on the meta device; tables that are computed stay real."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def without_weights(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` builds, its parameters on the meta device until `fill` gives them values."""
    with _NoStorage():
        return build()


def fill(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """Make `weights`, all of the module's and as they are, its parameters; in evaluation mode and frozen.

    Raises RuntimeError for names or shapes that differ, and where something is left without a value.
    """
    module.load_state_dict(dict(weights), assign=True)
    left = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if value.is_meta]
    if left:
        raise RuntimeError(
            f"{type(module).__name__} has tensors that neither the weights nor its settings give: {left}"
        )
    return module.eval().requires_grad_(False)
