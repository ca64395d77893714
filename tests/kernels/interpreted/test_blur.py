"""Blurs: H, its adjoint at every border, and the steps, against twins that pad and differentiate."""

import pytest
import torch

from lmaps.kernels import blur, separable, stencil

from .helpers import TOLERANCE, error, guarded, margins_untouched, pictures, poisoned, table

TILE = (16, 32)
CASES = [((3, 5), (7, 11)), ((2, 4), (9, 6)), ((3, 3), (2, 23))]


def _kernel(size: tuple[int, int]) -> torch.Tensor:
    return pictures(*size, seed=5) / 3


@pytest.mark.parametrize(("size", "shape"), CASES)
@pytest.mark.parametrize("padding", list(blur.PADDINGS))
def test_measurement_and_adjoint(padding: str, size: tuple[int, int], shape: tuple[int, int]) -> None:
    x, u, kernel = pictures(2, 1, *shape), pictures(2, 1, *shape, seed=1), _kernel(size)
    setting = blur.plan(kernel, padding)
    (out, buffer), (back, back_buffer) = guarded(x), guarded(x)
    blur.measure(x, setting, out=out, tile=TILE)
    blur.adjoint(u, setting, out=back, tile=TILE)
    assert error(out, blur.measure_twin(x.double(), kernel, padding)) <= TOLERANCE
    assert error(back, blur.adjoint_twin(u.double(), kernel, padding)) <= TOLERANCE
    assert abs(float((out * u).sum() - (x * back).sum())) <= 1e-5 * float(out.norm() * u.norm())
    assert margins_untouched(buffer)
    assert margins_untouched(back_buffer)


@pytest.mark.parametrize("padding", list(blur.PADDINGS))
def test_steps_and_stencil(padding: str) -> None:
    size, shape = (3, 2), (7, 5)
    kernel = _kernel(size)
    x, y = pictures(2, 1, *shape), pictures(2, 1, *shape, seed=1)
    setting = blur.plan(kernel, padding)
    exact = blur.steps_twin(x.double(), y.double(), kernel, padding, table(), 1, 2)
    out = blur.steps(x, y, setting, table(), 1, 2, out=poisoned(x), scratch=poisoned(x), tile=TILE)
    assert error(out, exact) <= TOLERANCE
    hty = blur.adjoint_twin(y, kernel, padding)
    normal = stencil.plan(setting, *shape)
    for inner in (1, 2) if padding == "reflect" else (2,):
        exact = blur.steps_twin(x.double(), y.double(), kernel, padding, table(), 1, inner)
        out = stencil.steps(x, hty, normal, table(), 1, inner, out=poisoned(x), scratch=poisoned(x), tile=TILE)
        assert error(out, exact) <= TOLERANCE


def test_several_tiles_agree_with_one() -> None:
    x, kernel = pictures(1, 1, 9, 10), _kernel((3, 3))
    setting = blur.plan(kernel, "reflect")
    assert torch.allclose(blur.adjoint(x, setting, tile=(8, 8)), blur.adjoint(x, setting, tile=TILE), atol=1e-6)
    normal = stencil.plan(setting, 9, 10)
    one, many = (stencil.steps(x, x.clone(), normal, table(), 1, 1, tile=t) for t in (TILE, (8, 8)))
    assert torch.allclose(one, many, atol=1e-6)


@pytest.mark.parametrize(("down", "across"), [((4, 12), (5, 9)), ((8, 8), (16, 16)), ((3, 1), (1, 2))])
def test_separable(down: tuple[int, int], across: tuple[int, int]) -> None:
    a, b = pictures(*down, seed=3) / 2, pictures(*across, seed=4) / 2
    x, y = pictures(2, 1, down[1], across[1]), pictures(2, 1, down[0], across[0], seed=1)
    out = separable.steps(
        x, a.T @ y @ b, separable.plan(a, b), table(), 1, 2, out=poisoned(x), scratch=poisoned(x), tile=TILE
    )
    assert error(out, separable.steps_twin(x.double(), y.double(), a, b, table(), 1, 2)) <= TOLERANCE


def test_separable_keeps_only_the_band() -> None:
    band = torch.eye(30) + torch.diag(torch.ones(29), 1)
    assert separable.plan(band, torch.eye(30)).down.shape == (30, 3)
    assert separable.plan(band, torch.eye(30)).across.shape == (30, 1)
