"""Any height and width for a network that wants multiples of m: mirror the picture over its lower and right edge."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def padded(size: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `size`."""
    return -(-size // multiple) * multiple


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """x [B, C, H, W] -> [B, C, H', W'] with H' and W' divisible by `multiple`; x itself where nothing is missing.

    Reflected where the side is long enough, else its last row or column is repeated. Crop the result back with
    `[..., :H, :W]`.
    """
    for axis, side in ((-1, x.shape[-1]), (-2, x.shape[-2])):
        missing = padded(side, multiple) - side
        if missing:
            amount = (0, missing, 0, 0) if axis == -1 else (0, 0, 0, missing)
            x = functional.pad(x, amount, mode="reflect" if missing < side else "replicate")
    return x
