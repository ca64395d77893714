"""The compiled kernels, one by one, against the same arithmetic in torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lmaps import _native

from .conftest import Against

Shape = tuple[int, int, int, int]
STEPS, R, K2, ETA = 100, 0.5, 20.0, 0.05


@pytest.fixture(autouse=True)
def _all_cores() -> None:
    _native.set_threads(torch.get_num_threads())


def pictures(shape: Shape) -> tuple[Tensor, Tensor]:
    return torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1


def test_mask_steps(against: Against, shape: Shape) -> None:
    xhat, y = pictures(shape)
    mask, out = (torch.rand(shape[-2:]) < 0.3).float(), torch.empty(shape)

    def loop() -> Tensor:
        x = xhat
        for _ in range(STEPS):
            x = x - ETA * ((1 - R) * (x - xhat) + R * K2 * mask * (mask * x - y))
        return x

    against(lambda: _native.mask_steps(xhat, y, mask, R, K2, ETA, STEPS, out=out), loop, figure="kernel: mask, K = 100")


def test_blur_steps(against: Against, shape: Shape) -> None:
    xhat, y = pictures(shape)
    kernel, out = torch.rand(5, 5), torch.empty(shape)
    kernel /= kernel.sum()
    weight = kernel.expand(3, 1, 5, 5)

    def loop() -> Tensor:
        x = xhat
        for _ in range(STEPS):
            misfit = F.conv2d(F.pad(x, (2, 2, 2, 2), mode="circular"), weight, groups=3) - y
            back = F.conv2d(F.pad(misfit, (2, 2, 2, 2), mode="circular"), weight.flip(2, 3), groups=3)
            x = x - ETA * ((1 - R) * (x - xhat) + R * K2 * back)
        return x

    against(
        lambda: _native.blur_steps(xhat, y, kernel, "circular", R, K2, ETA, STEPS, out=out),
        loop,
        figure="kernel: 5x5 blur, circular, K = 100",
    )


def test_spectral_filter(against: Against, shape: Shape) -> None:
    c, b = pictures(shape)
    lam, out = torch.rand(shape[-2:]), torch.empty(shape)

    def plain() -> Tensor:
        m = (1 - R) + R * K2 * lam
        return c + (1 - (1 - ETA * m) ** STEPS) / m * R * K2 * (b - lam * c)

    against(
        lambda: _native.spectral_filter(c, b, lam, R, K2, ETA, STEPS, out=out), plain, figure="kernel: spectral filter"
    )


def test_transition(against: Against, shape: Shape) -> None:
    x0, x = pictures(shape)
    out = torch.empty(shape)
    generator = torch.Generator()

    def plain() -> Tensor:
        generator.manual_seed(1)
        return x0 + 0.5 * torch.randn(shape, generator=generator)

    against(
        lambda: _native.transition(x0, x, 1.0, 0.5, 1.0, [1], 3, out=out),
        plain,
        figure="kernel: transition with its noise, against torch.randn",
    )
