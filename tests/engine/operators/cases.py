"""The linear operators under test, each with picture sizes it must serve: odd, non-square, smaller than the kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.operators import LinearOperator

PADDINGS = ("reflect", "circular", "replicate", "zero")
Size = tuple[int, int]
Make = Callable[[], LinearOperator]

_generator = torch.Generator().manual_seed(5)
# A kernel that is no product of two profiles, not symmetric, with sides of both parities and a zero border.
ODD_KERNEL = torch.zeros(7, 6, dtype=torch.float64)
ODD_KERNEL[1:6, :5] = torch.rand((5, 5), generator=_generator, dtype=torch.float64) - 0.3
# A product of two profiles that is not symmetric.
PRODUCT_KERNEL = torch.outer(torch.tensor([0.1, 0.5, 0.3, 0.2]).double(), torch.tensor([0.7, 0.1, -0.4]).double())
HALF_MASK = (torch.rand((3, 9, 14), generator=_generator) < 0.5).double()

SIZES: list[Size] = [(17, 24), (9, 33), (64, 31), (5, 5), (1, 8)]


def linear_cases() -> list[tuple[str, Make, Size]]:
    cases: list[tuple[str, Make, Size]] = []
    for size in SIZES:
        cases.append(("denoise", operators.Denoise, size))
        cases.append(("random", lambda: operators.Inpainting.random(keep=0.3, seed=4), size))
        for p in PADDINGS:
            cases.append((f"blur-{p}", lambda p=p: operators.Blur(ODD_KERNEL, padding=p), size))
            cases.append((f"product-{p}", lambda p=p: operators.Blur(PRODUCT_KERNEL, padding=p), size))
            cases.append((f"gaussian-{p}", lambda p=p: operators.GaussianBlur(21, 1.7, padding=p), size))
            cases.append((f"motion-{p}", lambda p=p: operators.MotionBlur(21, 0.5, seed=1, padding=p), size))
    for factor, size in ((4, (16, 44)), (3, (9, 27)), (2, (2, 10)), (1, (5, 7)), (4, (4, 4))):
        cases.append((f"sr{factor}", lambda f=factor: operators.SuperResolution(f), size))
    cases.append(("box", lambda: operators.Inpainting.box(size=5, seed=2), (11, 14)))
    cases.append(("mask", lambda: operators.Inpainting(HALF_MASK), (9, 14)))
    return cases


def ids(cases: list[tuple[str, Make, Size]]) -> list[str]:
    return [f"{name}-{size[0]}x{size[1]}" for name, _, size in cases]


def pictures(size: Size, dtype: torch.dtype = torch.float64, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, *size), generator=generator, dtype=torch.float64).mul(2).sub(1).to(dtype)


def relative(a: Tensor, b: Tensor) -> float:
    """||a - b|| / ||b||."""
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).norm() / b.norm().clamp_min(1e-300))
