"""<H x, u> = <x, H^T u> for every linear operator, every padding, odd and non-square sizes, in both precisions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.operators import LinearOperator

from .cases import ODD_KERNEL, PADDINGS, Make, Size, ids, linear_cases, pictures, relative

CASES = linear_cases()
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def adjoint_gap(operator: LinearOperator, x: Tensor, u: Tensor) -> float:
    """|<H x, u> - <x, H^T u>| / (||H x|| ||u||), accumulated in float64."""
    y, g = operator(x).double(), operator.adjoint(u).double()
    gap = (y * u.double()).sum() - (x.double() * g).sum()
    return float(gap.abs() / (y.norm() * u.double().norm()).clamp_min(1e-300))


@pytest.mark.parametrize(("name", "make", "size"), CASES, ids=ids(CASES))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_adjoint_identity(name: str, make: Make, size: Size, dtype: torch.dtype) -> None:
    operator, x = make(), pictures(size, dtype)
    y = operator(x)
    u = torch.randn(y.shape, dtype=torch.float64).to(dtype)
    assert y.dtype == dtype
    assert operator.picture_shape(y) == tuple(x.shape)
    assert operator.adjoint(u).shape == x.shape
    assert adjoint_gap(operator, x, u) <= TOLERANCE[dtype]


@pytest.mark.parametrize(("name", "make", "size"), CASES, ids=ids(CASES))
def test_adjoint_and_normal_are_those_of_autograd(name: str, make: Make, size: Size) -> None:
    operator, x = make(), pictures(size).requires_grad_()
    y = operator(x)
    u = torch.randn(y.shape, dtype=torch.float64)
    (g,) = torch.autograd.grad(y, x, u)
    assert relative(operator.adjoint(u), g) <= 1e-12
    assert relative(operator.vjp(x.detach(), u), g) <= 1e-12
    # Nor does differentiating the adjoint give anything but H.
    v = u.clone().requires_grad_()
    (back,) = torch.autograd.grad(operator.adjoint(v), v, x.detach())
    assert relative(back, y) <= 1e-12
    x = x.detach()
    assert relative(operator.normal(x), operator.adjoint(operator(x))) <= 1e-12


@pytest.mark.parametrize(("name", "make", "size"), CASES, ids=ids(CASES))
def test_inputs_are_left_alone_and_images_do_not_mix(name: str, make: Make, size: Size) -> None:
    operator, x = make(), pictures(size)
    before = x.clone()
    y, n = operator(x), operator.normal(x)
    again = operator.adjoint(y)
    y.add_(1), n.add_(1), again.add_(1)
    assert torch.equal(x, before)
    assert relative(operator(x[1:]), operator(x)[1:]) <= 1e-14
    assert relative(operator.normal(x[1:]), operator.normal(x)[1:]) <= 1e-14


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    padding=st.sampled_from(PADDINGS),
    seed=st.integers(0, 10_000),
)
def test_any_kernel_on_any_size(height: int, width: int, rows: int, columns: int, padding: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn((rows, columns), generator=generator, dtype=torch.float64)
    operator = operators.Blur(kernel, padding=padding)
    x = torch.randn((1, 2, height, width), generator=generator, dtype=torch.float64)
    u = torch.randn((1, 2, height, width), generator=generator, dtype=torch.float64)
    assert adjoint_gap(operator, x, u) <= 1e-12


@settings(max_examples=30, deadline=None, derandomize=True)
@given(factor=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9))
def test_super_resolution_on_any_multiple(factor: int, height: int, width: int) -> None:
    operator = operators.SuperResolution(factor)
    x = torch.randn((1, 1, factor * height, factor * width), dtype=torch.float64)
    u = torch.randn((1, 1, height, width), dtype=torch.float64)
    assert operator(x).shape == u.shape
    assert adjoint_gap(operator, x, u) <= 1e-12


def test_threads_share_an_operator() -> None:
    operator = operators.Blur(ODD_KERNEL)
    sizes = [(8 + n % 13, 9 + n % 7) for n in range(60)]

    def work(size: Size) -> Tensor:
        return operator.normal(pictures(size))

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, sizes))
    alone = operators.Blur(ODD_KERNEL)
    assert all(torch.equal(t, alone.normal(pictures(s))) for t, s in zip(together, sizes, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "make", "size"), CASES, ids=ids(CASES))
def test_a_gpu_gives_what_the_cpu_gives(name: str, make: Make, size: Size) -> None:
    operator, x = make(), pictures(size)
    y, n = operator(x), operator.normal(x)
    assert relative(operator(x.cuda()).cpu(), y) <= 1e-11
    assert relative(operator.normal(x.cuda()).cpu(), n) <= 1e-11
    basis = operator.to("cuda").spectrum(tuple(x.shape))
    if basis is not None:
        rebuilt = basis.from_basis(basis.eigenvalues * basis.to_basis(x.cuda()))
        assert relative(rebuilt.cpu(), n) <= 1e-10


def test_one_operator_serves_many_sizes_and_keeps_few() -> None:
    operator = operators.Blur(ODD_KERNEL)
    expected = operator(pictures((12, 12)))
    for n in range(8, 40):
        operator(pictures((n, n + 1)))
    assert len(operator._plans) <= 8
    assert torch.equal(operator(pictures((12, 12))), expected)
