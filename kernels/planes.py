"""Addressing shared by the pointwise kernels: a tensor is a row of planes, a program takes a block of one plane."""

from __future__ import annotations

from ._triton import jit, tl


@jit
def plane_block(size: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """(plane, offsets in the plane, mask) of this program, int64."""
    program = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(size, BLOCK)
    plane = program // blocks
    offsets = (program - plane * blocks) * BLOCK + tl.arange(0, BLOCK)
    return plane, offsets, offsets < size


@jit
def shared_plane(
    plane: tl.tensor, channels: tl.tensor, batch_stride: tl.tensor, channel_stride: tl.tensor
) -> tl.tensor:
    """Start of the plane in a tensor that may be shared by the images (batch stride 0) or channels (channel stride
    0).
    """
    image = plane // channels
    return image * batch_stride + (plane - image * channels) * channel_stride
