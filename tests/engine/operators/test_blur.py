"""Blurs against scipy.ndimage, and the two kernels of the reference set-up."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.ndimage
import torch

from lmaps.engine import operators

from .cases import ODD_KERNEL, PADDINGS, PRODUCT_KERNEL, pictures, relative

SCIPY_MODE = {"reflect": "mirror", "circular": "wrap", "replicate": "nearest", "zero": "constant"}
KERNELS = {"general": ODD_KERNEL, "product": PRODUCT_KERNEL, "single": torch.tensor([[2.0]])}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
@pytest.mark.parametrize("size", [(17, 24), (33, 8), (3, 5), (1, 9)])
def test_correlation_is_that_of_scipy(padding: str, kernel: torch.Tensor, size: tuple[int, int]) -> None:
    x = pictures(size)
    y = operators.Blur(kernel, padding=padding)(x)
    for image, blurred in zip(x.flatten(0, 1).numpy(), y.flatten(0, 1).numpy(), strict=True):
        expected = scipy.ndimage.correlate(image, kernel.numpy(), mode=SCIPY_MODE[padding])
        np.testing.assert_allclose(blurred, expected, atol=1e-12)


def test_a_flipped_kernel_convolves() -> None:
    kernel = ODD_KERNEL[:, :5]
    x = pictures((20, 21))
    y = operators.Blur(kernel.flip(0, 1), padding="zero")(x)
    expected = scipy.ndimage.convolve(x[0, 0].numpy(), kernel.numpy(), mode="constant")
    np.testing.assert_allclose(y[0, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("padding", PADDINGS)
def test_float32_stays_close_to_float64(padding: str) -> None:
    for operator in (operators.GaussianBlur(padding=padding), operators.MotionBlur(padding=padding)):
        x = pictures((96, 80))
        assert relative(operator(x.float()), operator(x)) <= 2e-6
        assert relative(operator.normal(x.float()), operator.normal(x)) <= 2e-6


@pytest.mark.parametrize(("size", "std"), [(61, 3.0), (9, 3.0), (15, 0.4), (5, 10.0)])
def test_gaussian_kernel_is_that_of_scipy(size: int, std: float) -> None:
    impulse = np.zeros((size, size))
    impulse[size // 2, size // 2] = 1
    expected = scipy.ndimage.gaussian_filter(impulse, sigma=std)
    kernel = operators.GaussianBlur(size, std).kernel
    np.testing.assert_allclose(kernel.numpy(), expected, atol=1e-15)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)


def test_reference_gaussian_has_25_taps() -> None:
    kernel = operators.GaussianBlur().kernel
    assert kernel.shape == (61, 61)
    assert int((kernel > 0).any(0).sum()) == 25


def test_motion_kernel_is_reproducible_and_sums_to_one() -> None:
    one, same, other = (operators.MotionBlur(seed=s).kernel for s in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    for size, intensity in ((61, 0.0), (61, 0.5), (61, 1.0), (31, 0.5), (5, 0.5)):
        kernel = operators.MotionBlur(size, intensity, seed=1).kernel
        assert kernel.shape == (size, size)
        assert float(kernel.sum()) == pytest.approx(1, abs=1e-12)
        assert float(kernel.min()) >= 0
        # 8-bit values before they are normalised.
        levels = kernel * (255 / kernel.max())
        assert int((kernel > 0).sum()) >= 3
        assert float(levels.max()) == pytest.approx(255)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, (-0.271, 0.034, 3.629, 117.67, 17.415)),
        (1, (1.807, 1.359, 14.731, 7.234, 9.282)),
        (42, (0.387, 0.759, 2.463, 7.709, 3.997)),
    ],
)
def test_motion_kernels_are_those_of_the_reference_set_up(seed: int, expected: tuple[float, ...]) -> None:
    """Mean row and column, their variances and covariance, recorded from the reference implementation: the second kernel
    it draws after numpy.random.seed(seed), 61x61, intensity 0.5."""
    k, i = operators.MotionBlur(seed=seed).kernel, torch.arange(61, dtype=torch.float64) - 30
    row, column = float(k.sum(1) @ i), float(k.sum(0) @ i)
    spread = (float(k.sum(1) @ i**2) - row**2, float(k.sum(0) @ i**2) - column**2, float(i @ k @ i) - row * column)
    # Versions of Pillow draw lines a little differently.
    assert (row, column, *spread) == pytest.approx(expected, rel=0.05, abs=0.1)


def test_motion_path_is_centred() -> None:
    kernel = operators.MotionBlur(61, 0.5, seed=0).kernel
    at = torch.arange(61, dtype=torch.float64)
    assert abs(float((kernel.sum(1) * at).sum()) - 30) < 4
    assert abs(float((kernel.sum(0) * at).sum()) - 30) < 4


def test_motion_blur_leaves_the_global_generators_alone() -> None:
    np.random.seed(7)
    torch.manual_seed(7)
    expected = (np.random.rand(), float(torch.rand(())))
    np.random.seed(7)
    torch.manual_seed(7)
    operators.MotionBlur(seed=1)
    operators.Inpainting.random()(pictures((8, 8)))
    assert (np.random.rand(), float(torch.rand(()))) == expected


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_constant_stays_where_nothing_leaks_in(padding: str) -> None:
    x = torch.full((1, 3, 40, 52), 0.3, dtype=torch.float64)
    for operator in (operators.GaussianBlur(31, 3.0, padding), operators.MotionBlur(31, 0.5, 0, padding)):
        y = operator(x)
        if padding == "zero":
            assert float(y[..., 0, 0].max()) < 0.3
        else:
            assert float((y - x).abs().max()) <= 1e-12


def test_a_float32_gaussian_is_recognised_as_a_product() -> None:
    kernel = operators.GaussianBlur().kernel
    brought = operators.Blur(kernel.float().numpy())
    assert brought.spectrum((1, 3, 32, 32)) is not None
    x = pictures((32, 32))
    assert relative(brought(x), operators.GaussianBlur()(x)) <= 1e-6


def test_start_is_closer_than_the_measurement() -> None:
    t = torch.linspace(0, 1, 96, dtype=torch.float64)
    x = torch.sin(2 * torch.pi * (3 * t[:, None] + 5 * t)).sign().expand(1, 3, 96, 96).contiguous() * 0.6
    for operator in (operators.GaussianBlur(31, 2.0), operators.MotionBlur(31, 0.5, seed=2)):
        y = operator.degrade(x, noise=0.05)
        start = operator.start(y)
        assert (start - x).square().mean() < 0.9 * (y - x).square().mean()
    # What the docstring says it solves: (H^T H + w I)(s - y) = H^T (y - H y).
    s = operator.start(y) - y
    left, right = operator.normal(s) + 0.02 * s, operator.adjoint(y - operator(y))
    assert relative(left, right) < 0.05


def test_operators_copy_and_pickle() -> None:
    for operator in (operators.MotionBlur(21), operators.GaussianBlur(21), operators.SuperResolution()):
        x = pictures((24, 28))
        y = operator(x)
        assert torch.equal(copy.deepcopy(operator)(x), y)
        assert torch.equal(pickle.loads(pickle.dumps(operator))(x), y)


def test_compiled_and_torch_transforms_agree_and_gradients_pass() -> None:
    """Float32 pictures go through compiled code, float64 and whatever autograd watches through torch."""
    operator = operators.MotionBlur(size=9, seed=3)
    x = torch.randn(2, 3, 21, 34, generator=torch.Generator().manual_seed(0))
    for name in ("forward", "adjoint", "normal"):
        plain, exact = getattr(operator, name)(x), getattr(operator, name)(x.double())
        watched = getattr(operator, name)(x.clone().requires_grad_())
        assert watched.requires_grad
        assert not plain.requires_grad
        for found in (plain, watched):
            assert float((found - exact).norm() / exact.norm()) < 1e-6
    coefficients, bound = [0.3, -0.2, 0.1, 0.05], 1.1
    exact = operator.chebyshev(x.double(), coefficients, bound)
    assert float((operator.chebyshev(x, coefficients, bound) - exact).norm() / exact.norm()) < 1e-6
    _, jacobian = torch.autograd.functional.vjp(operator, x, x)
    assert float((jacobian - operator.adjoint(x)).norm() / jacobian.norm()) < 1e-6
