"""Mask, spectral filter, HDR, quantisation and the transition, on odd sizes, against their float64 twins."""

import pytest
import torch

from lmaps.kernels import filter as filters
from lmaps.kernels import mask, philox, pointwise, schedule, spectral, transition
from lmaps.kernels._triton import jit, tl

from .helpers import TOLERANCE, error, guarded, margins_untouched, pictures, poisoned, table

SHAPES = [(2, 3, 13, 29), (1, 1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_mask(shape: tuple[int, ...], step: int) -> None:
    x, y = pictures(*shape), pictures(*shape, seed=1)
    for shared in ((1, 1), (1, shape[1]), (shape[0], 1)):
        weights = pictures(*shared, *shape[2:], seed=2).abs()
        out, buffer = guarded(x)
        mask.steps(x, y, weights, table(), step, 20, out=out, block=512)
        exact = mask.steps_twin(x.double(), y.double(), weights.double(), table(), step, 20)
        assert error(out, exact) <= TOLERANCE
        assert margins_untouched(buffer)
        closed = mask.closed_form(x, y, weights, table(), step, 20, out=poisoned(x), block=512)
        assert error(closed, exact) <= TOLERANCE
        best = mask.closed_form(x, y, weights, table(), step, None, out=poisoned(x), block=512)
        minimiser = mask.steps_twin(x.double(), y.double(), weights.double(), table(), step, None)
        assert error(best, minimiser) <= TOLERANCE


def test_step_index_lives_on_the_device_and_output_may_be_the_input() -> None:
    x, y, weights = pictures(1, 1, 5, 5), pictures(1, 1, 5, 5, seed=1), torch.ones(1, 1, 5, 5)
    expected = mask.steps(x, y, weights, table(), 2, 5)
    step = torch.tensor([2], dtype=torch.int64)
    assert torch.equal(mask.steps(x, y, weights, table(), step, 5), expected)
    assert mask.steps(x, y, weights, table(), step, 5, out=x) is x
    assert torch.equal(x, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("inner", [1, 100, None])
def test_spectral(dtype: torch.dtype, inner: int | None) -> None:
    generator = torch.Generator().manual_seed(0)
    c, b = (torch.randn(2, 3, 11, 6, generator=generator, dtype=dtype) for _ in range(2))
    wide = torch.complex128 if dtype.is_complex else torch.float64
    for shared in ((1, 1), (2, 3)):
        lam = torch.rand(*shared, 11, 6, generator=generator)
        lam[..., 0] = 0
        for step in range(3):
            out = spectral.apply(c, b, lam, table(), step, inner, out=poisoned(c), block=64)
            assert error(out, spectral.apply_twin(c.to(wide), b.to(wide), lam, table(), step, inner)) <= TOLERANCE


def test_spectral_takes_coefficients_of_any_rank() -> None:
    c, b, lam = pictures(3, 50), pictures(3, 50, seed=1), pictures(1, 50, seed=2).abs()
    out = spectral.apply(c, b, lam, table(), 1, 10, block=64)
    assert error(out, spectral.apply_twin(c.double(), b.double(), lam, table(), 1, 10)) <= TOLERANCE


def test_filter_at_and_near_zero() -> None:
    """q(m) from 50 digits' worth of care: eta K at m = 0, and full accuracy just above it."""
    m = torch.tensor([[0.0, 1e-30, 1e-12, 1e-7, 1e-4, 0.1, 1.0, 1.9, 2.0]], dtype=torch.float32)
    one = schedule.table(r=1.0, k2=1.0, eta=1.0)
    # c = 0, b = 1, gain = 1 and keep = 0 leave q(lam) itself.
    q = spectral.apply(torch.zeros_like(m), torch.ones_like(m), m, one, 0, 100, block=16).double()
    wide = m.double()
    exact = -torch.expm1(100 * torch.log1p(-wide.clamp(max=0.5))) / wide.clamp(min=1e-300)
    exact = torch.where(wide > 0.5, (1 - (1 - wide) ** 100) / wide.clamp(min=1), exact)
    exact[0, 0] = 100
    assert torch.allclose(q[0, :7], exact[0, :7], rtol=1e-6, atol=0)
    assert torch.allclose(q[0, 7:], exact[0, 7:], rtol=1e-4, atol=1e-4)
    assert torch.allclose(filters.filter_gain_twin(wide, 1.0, 100), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("surrogate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_hdr(shape: tuple[int, ...], surrogate: bool) -> None:
    x, y = pictures(*shape), pictures(*shape, seed=1)
    for step in range(3):
        out, buffer = guarded(x)
        pointwise.hdr(x, y, table(), step, 20, surrogate=surrogate, out=out, block=512)
        exact = pointwise.hdr_twin(x.double(), y.double(), table(), step, 20, surrogate=surrogate)
        assert error(out, exact) <= TOLERANCE
        assert margins_untouched(buffer)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_quantise(bits: int) -> None:
    for shape in SHAPES:
        x, y = pictures(*shape), pictures(*shape, seed=1)
        out = pointwise.quantise(x, y, table(), 1, 10, bits=bits, out=poisoned(x), block=512)
        assert error(out, pointwise.quantise_twin(x.double(), y.double(), table(), 1, 10, bits=bits)) <= TOLERANCE


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (3, 1, 16, 33)])
def test_transition(shape: tuple[int, ...]) -> None:
    x0, x = pictures(*shape), pictures(*shape, seed=1)
    seeds = torch.tensor([0, 2**63 - 1, -5])[: shape[0]]
    for step in range(3):
        (out, buffer), scaled = guarded(x0), poisoned(x0)
        transition.apply(x0, seeds, table(), step, x=x, out=out, scaled=scaled, quads=64)
        exact, exact_scaled = transition.apply_twin(x0.double(), seeds, table(), step, x=x.double())
        assert error(out, exact) <= TOLERANCE
        assert error(scaled, exact_scaled) <= TOLERANCE
        assert margins_untouched(buffer)
    fresh = transition.apply(x0, seeds, table(), 0, quads=64)
    assert error(fresh, transition.apply_twin(x0.double(), seeds, table(), 0)[0]) <= TOLERANCE


def test_noise_is_the_defined_one_and_knows_only_its_own_image() -> None:
    """x0 = 0 and noise = 2 leave twice the numbers of `philox.normal`; an image alone equals the image in a batch."""
    seeds, zero = torch.tensor([11, 12]), torch.zeros(2, 3, 9, 5)
    both = transition.apply(zero, seeds, table(), 0, quads=32)
    alone = transition.apply(zero[1:], seeds[1:], table(), 0, quads=128)
    assert torch.equal(both[1:], alone)
    expected = torch.stack([philox.normal(135, seed, 0, 0) for seed in (11, 12)]).view(2, 3, 9, 5)
    assert torch.allclose(both / 2, expected, rtol=0, atol=4e-6)
    other = transition.apply(zero, seeds, table(), 0, stream=1, quads=32)
    assert not torch.allclose(both, other)


@jit
def _uniforms_kernel(out_ptr: tl.tensor, seed_ptr: tl.tensor, step: tl.tensor, stream: tl.tensor) -> None:
    quad = tl.arange(0, 64)
    w0, w1, w2, w3 = tl.philox(tl.load(seed_ptr), quad, quad * 0 + step, quad * 0 + stream, quad * 0)
    tl.store(out_ptr + quad, transition._uniform(w0))
    tl.store(out_ptr + 64 + quad, transition._uniform(w1))
    tl.store(out_ptr + 128 + quad, transition._uniform(w2))
    tl.store(out_ptr + 192 + quad, transition._uniform(w3))


def test_uniforms_are_equal_bit_for_bit() -> None:
    for seed in (0, 2**40 + 3, -1):
        out = torch.empty(4, 64)
        _uniforms_kernel[(1,)](out, torch.tensor([seed]), 7, 2)
        assert torch.equal(out, torch.stack(philox.uniforms(64, seed, 7, 2)))
