"""Phase retrieval against numpy.fft, and its hand-written gradient against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps.engine.operators import Operator, PhaseRetrieval

from .cases import pictures, relative

SIZES = [(32, 32), (17, 24), (9, 31), (8, 5)]


def modulus(image: np.ndarray, oversample: float) -> np.ndarray:
    """Padded on both sides, centred orthonormal transform, modulus: the definition, step by step."""
    pads = [(int(oversample / 8 * n),) * 2 for n in image.shape]
    frame = np.pad((image + 1) / 2, pads)
    return np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(frame), norm="ortho")))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("oversample", [0.0, 1.0, 2.0, 3.3])
def test_is_the_modulus_of_numpy(size: tuple[int, int], oversample: float) -> None:
    x = pictures(size)
    operator = PhaseRetrieval(oversample)
    y = operator(x)
    np.testing.assert_allclose(y[1, 2].numpy(), modulus(x[1, 2].numpy(), oversample), atol=1e-12)
    assert operator.picture_shape(y) == tuple(x.shape)


def test_reference_size() -> None:
    assert PhaseRetrieval()(pictures((256, 256), torch.float32)).shape == (2, 3, 384, 384)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("oversample", [0.0, 1.0, 2.0])
def test_gradient_is_that_of_autograd(size: tuple[int, int], oversample: float) -> None:
    operator, x = PhaseRetrieval(oversample), pictures(size)
    u = torch.randn(operator(x).shape, dtype=torch.float64)
    assert relative(operator.vjp(x, u), Operator.vjp(operator, x, u)) <= 1e-12
    y = operator(x) + u
    assert relative(operator.data_gradient(x, y), Operator.data_gradient(operator, x, y)) <= 1e-12


def test_gradient_is_finite_where_the_modulus_is_zero() -> None:
    """A black picture has z = 0 everywhere, where the modulus has no derivative: 0 is taken."""
    operator = PhaseRetrieval()
    black = torch.full((1, 1, 8, 8), -1.0, dtype=torch.float64)
    y = torch.ones(operator(black).shape, dtype=torch.float64)
    assert torch.equal(operator.vjp(black, y), torch.zeros_like(black))
    assert torch.equal(operator.data_gradient(black, y), torch.zeros_like(black))


def test_start_has_the_modulus_of_the_measurement() -> None:
    """Zero phase: before it is cropped and clipped, the start has the measured modulus. A centred point shows it whole."""
    x = -torch.ones((1, 1, 16, 16), dtype=torch.float64)
    x[..., 8, 8] = 1
    operator = PhaseRetrieval()
    start = operator.start(operator(x))
    assert start.shape == x.shape
    assert relative(start, x) <= 1e-12
    wide = operator.start(operator(pictures((17, 24))))
    assert wide.shape == (2, 3, 17, 24)
    assert float(wide.abs().max()) <= 1


def test_a_measurement_of_no_picture_is_named() -> None:
    with pytest.raises(ValueError, match=r"no picture has a side of 11 "):
        PhaseRetrieval().picture_shape(torch.zeros(1, 1, 11, 12))
