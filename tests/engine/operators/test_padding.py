"""Borders and their gradient: torch's own as the oracle, and nothing in it whose order a GPU leaves to chance."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lmaps.engine import operators
from lmaps.engine.operators import Operator
from lmaps.engine.operators.padding import PADDINGS, Extension

from .cases import ODD_KERNEL, pictures, relative

# What torch adds with atomics on a GPU, by its page on `use_deterministic_algorithms`.
LEFT_TO_CHANCE = ("reflection_pad2d_backward", "replication_pad2d_backward", "index_add", "scatter_add", "index_put")
Margins = tuple[int, int, int, int]
# (size, margins): within the picture, beyond it, and beyond it several times over.
PICTURES: list[tuple[tuple[int, int], Margins]] = [
    ((6, 9), (5, 3, 0, 8)),
    ((5, 4), (0, 0, 0, 0)),
    ((4, 3), (4, 7, 3, 2)),
    ((3, 2), (13, 9, 17, 20)),
    ((1, 5), (3, 2, 11, 6)),
]
sized = pytest.mark.parametrize(("size", "margins"), PICTURES)
padded = pytest.mark.parametrize("padding", PADDINGS)


class Seen(TorchDispatchMode):
    """Keeps the names of the operations that run in its context, those of backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._overloadpacket.__name__)
        return func(*args, **(kwargs or {}))

    def left_to_chance(self) -> set[str]:
        return {name for name in self.names if name.startswith(LEFT_TO_CHANCE)}


def torchs(x: Tensor, margins: Margins, padding: str) -> Tensor:
    """The same by torch alone, which bounces or turns once a call."""
    top, bottom, left, right = margins
    across = _torchs_rows(x, left, right, padding)
    return _torchs_rows(across.mT, top, bottom, padding).mT


def _torchs_rows(x: Tensor, before: int, after: int, padding: str) -> Tensor:
    mode = {"zero": "constant", "reflect": "reflect" if x.shape[-1] > 1 else "replicate"}.get(padding, padding)
    while before or after:
        reach = {"reflect": x.shape[-1] - 1, "circular": x.shape[-1]}.get(mode, before + after)
        b, a = min(before, reach), min(after, reach)
        x, before, after = F.pad(x, (b, a, 0, 0), mode=mode), before - b, after - a
    return x


@padded
@sized
def test_the_gradient_is_that_of_torchs_padding(size: tuple[int, int], margins: Margins, padding: str) -> None:
    extension = Extension(size, margins, padding)
    x = pictures(size).requires_grad_()
    z, expected = extension.extend(x), torchs(x, margins, padding)
    assert torch.equal(z, expected)
    u = torch.randn(z.shape, dtype=z.dtype, generator=torch.Generator().manual_seed(1))
    (g,), (h,) = torch.autograd.grad(z, x, u), torch.autograd.grad(expected, x, u)
    assert relative(g, h) <= 1e-14


@padded
@sized
def test_derivatives_of_every_kind(size: tuple[int, int], margins: Margins, padding: str) -> None:
    extension = Extension(size, margins, padding)
    x = pictures(size)[:1, :1].requires_grad_()
    assert torch.autograd.gradcheck(extension.extend, (x,), check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(extension.extend, (x,), fast_mode=True)
    both = torch.stack([x.detach(), -x.detach()])
    gradients = torch.func.vmap(torch.func.grad(lambda v: extension.extend(v).pow(3).sum()))(both)
    assert torch.allclose(gradients[0], gradients[1])


@padded
@sized
def test_no_sum_of_the_gradient_is_left_to_chance(size: tuple[int, int], margins: Margins, padding: str) -> None:
    extension = Extension(size, margins, padding)
    x = pictures(size).requires_grad_()
    with Seen() as seen:
        torch.autograd.grad(extension.extend(x).square().sum(), x)
    assert not seen.left_to_chance()


def _blur(padding: str) -> Operator:
    return operators.Blur(ODD_KERNEL, padding=padding)


@pytest.mark.parametrize("make", [operators.NonlinearBlur, *[lambda p=p: _blur(p) for p in PADDINGS]])
def test_no_blurs_gradient_is_left_to_chance(make: Any) -> None:
    operator, x = make(), pictures((12, 15)).requires_grad_()
    operator(x.detach())  # what a size needs is worked out once, and not on the way of the gradient
    with Seen() as seen:
        torch.autograd.grad(operator(x).square().sum(), x)
    assert not seen.left_to_chance()
