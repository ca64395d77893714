"""The twins themselves, against automatic differentiation, scipy and torch: what the kernels are held to is right."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch
from torch import Tensor

from lmaps.kernels import blur, filter, jpeg, mask, mri, phase_retrieval, pointwise, schedule, separable

ROWS = schedule.table(r=0.3, k2=1.7, eta=0.2)
KEEP, GAIN, ETA = 1 - 0.3, 0.3 * 1.7, 0.2


def _double(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def _descend(xhat: Tensor, loss: object, steps: int) -> Tensor:
    """Gradient descent on KEEP/2 ||x - xhat||^2 + GAIN * loss(x) by automatic differentiation."""
    x = xhat.clone()
    for _ in range(steps):
        x.requires_grad_()
        (g,) = torch.autograd.grad(0.5 * KEEP * (x - xhat).square().sum() + GAIN * loss(x), x)
        x = (x - ETA * g).detach()
    return x


def _close(a: Tensor, b: Tensor) -> None:
    assert torch.allclose(a, b, rtol=1e-6, atol=2e-7)


def test_mask_and_hdr() -> None:
    x, y, w = _double(2, 2, 5, 4), _double(2, 2, 5, 4, seed=1), _double(1, 1, 5, 4, seed=2)
    _close(mask.steps_twin(x, y, w, ROWS, 0, 4), _descend(x, lambda x: 0.5 * (w * x - y).square().sum(), 4))
    _close(
        pointwise.hdr_twin(x, y, ROWS, 0, 4),
        _descend(x, lambda x: 0.5 * ((2 * x).clamp(-1, 1) - y).square().sum(), 4),
    )


def test_quantise_has_the_levels_of_equation_32() -> None:
    x = torch.linspace(-1, 1, 301, dtype=torch.float64).view(1, 1, 1, -1)
    one = schedule.table(r=1.0, k2=1.0, eta=1.0)
    # With r = k2 = eta = 1 and y = 0 a step takes away H(x).
    measured = x - pointwise.quantise_twin(x, torch.zeros_like(x), one, 0, 1, bits=2)
    assert np.allclose(np.unique(measured.numpy().round(12)), [-1, -1 / 3, 1 / 3, 1])
    assert float((measured - x).abs().max()) <= 1 / 3 + 1e-12


@pytest.mark.parametrize("padding", list(blur.PADDINGS))
def test_blur_against_scipy(padding: str) -> None:
    x, kernel = _double(1, 1, 9, 11), _double(3, 5, seed=1)
    mode = {"zero": "constant", "reflect": "mirror", "circular": "wrap", "replicate": "nearest"}[padding]
    expected = scipy.ndimage.correlate(x[0, 0].numpy(), kernel.numpy(), mode=mode)
    _close(blur.measure_twin(x, kernel, padding)[0, 0], torch.from_numpy(expected))


def test_separable() -> None:
    a, b, x, y = _double(3, 6), _double(4, 5), _double(1, 2, 6, 5), _double(1, 2, 3, 4)
    expected = _descend(x, lambda x: 0.5 * (a @ x @ b.T - y).square().sum(), 3)
    _close(separable.steps_twin(x, y, a, b, ROWS, 0, 3), expected)


def test_phase_retrieval() -> None:
    """H as the reference set-up has it: (x + 1)/2 in the middle of its frame, centred transform, modulus."""
    x, y = _double(1, 1, 16, 24), _double(1, 1, 32, 48, seed=1).abs()

    def loss(x: Tensor) -> Tensor:
        z = torch.nn.functional.pad((x + 1) / 2, (12, 12, 8, 8))
        z = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(z, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
        return 0.5 * (z.abs() - y).square().sum()

    expected = _descend(x, loss, 3)
    _close(phase_retrieval.steps_twin(x, y, (32, 48), ROWS, 0, 3), expected)
    prepared = phase_retrieval.measurement(y)
    _close(phase_retrieval.steps_torch(x, prepared, phase_retrieval.plan(32, 48), ROWS.double(), 0, 3), expected)


def test_mri() -> None:
    x, maps = _double(1, 2, 16, 32), torch.view_as_complex(_double(1, 3, 16, 32, 2, seed=1))
    weights = (_double(1, 1, 16, 32, seed=2) > 0).double()
    y = torch.view_as_complex(_double(1, 3, 16, 32, 2, seed=3))

    def loss(x: Tensor) -> Tensor:
        z = maps * torch.complex(x[:, :1], x[:, 1:])
        z = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(z, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))
        return 0.5 * (weights * z - y).abs().square().sum()

    expected = _descend(x, loss, 3)
    _close(mri.steps_twin(x, y, maps, weights, ROWS, 0, 3), expected)


def test_jpeg_block_against_scipy() -> None:
    """A grey picture has Y = R = G = B and no chroma: decoding is rounding in scipy's DCT."""
    tables = torch.randint(5, 60, (3, 8, 8), generator=torch.Generator().manual_seed(0)).double()
    grey = _double(1, 1, 16, 16)
    decoded = jpeg.measure_twin(grey.expand(1, 3, 16, 16), jpeg.plan(tables))
    levels = 127.5 * (grey[0, 0].numpy() + 1) - 128
    expected = np.empty_like(levels)
    for i in (0, 8):
        for j in (0, 8):
            c = scipy.fft.dctn(levels[i : i + 8, j : j + 8], norm="ortho")
            c = np.round(c / tables[0].numpy()) * tables[0].numpy()
            expected[i : i + 8, j : j + 8] = scipy.fft.idctn(c, norm="ortho")
    _close(decoded[0, 0], torch.from_numpy((expected + 128) / 127.5 - 1))


def test_filter_gain_is_the_sum_of_its_steps() -> None:
    m = torch.tensor([0.0, 1e-9, 0.3, 1.5], dtype=torch.float64)
    x = torch.zeros_like(m)
    for _ in range(7):
        x = x - 0.4 * (m * x - 1)
    _close(filter.filter_gain_twin(m, 0.4, 7), x)
    _close(filter.filter_gain_twin(m[1:], 0.4, None), 1 / m[1:])
