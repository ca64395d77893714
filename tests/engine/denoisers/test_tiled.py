"""Tiles: exact where the denoiser is local, without seams where it is not, and never larger than asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine.denoisers import TiledDenoiser, open_denoiser, open_tiled


class Fake:
    """A denoiser of one function; keeps the shapes it was called with."""

    backend, precision, supports_gradient, capturable = "fake", "float32", True, False
    device = torch.device("cpu")

    def __init__(self, function: Any) -> None:
        self.function, self.shapes = function, set[tuple[int, ...]]()

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.shapes.add(tuple(x.shape))
        return self.function(x, sigma)  # type: ignore[no-any-return]

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        out.copy_(self(x, sigma))

    def describe(self) -> dict[str, Any]:
        return {"backend": "fake", "size": (0, 0)}


@pytest.mark.parametrize("size", [(100, 37), (32, 91), (33, 32), (64, 64), (2, 70)])
def test_a_pointwise_denoiser_is_reproduced(size: tuple[int, int]) -> None:
    fake = Fake(lambda x, sigma: x / (1 + sigma[:, None, None, None] ** 2))
    tile = min(size[0], 32), min(size[1], 32)
    tiled = TiledDenoiser(fake, size, tile)
    x, sigma = torch.randn(2, 3, *size), torch.tensor([0.5, 2.0])
    torch.testing.assert_close(tiled(x, sigma), fake.function(x, sigma), rtol=1e-5, atol=1e-6)
    out = torch.full_like(x, float("nan"))
    tiled.into(x, sigma, out)
    torch.testing.assert_close(out, fake.function(x, sigma), rtol=1e-5, atol=1e-6)
    assert fake.shapes == {(2, 3, *tile)}
    assert tiled.describe()["tiles"] == len(tiled.origins)
    assert tiled.describe()["size"] == size


def test_tiles_that_disagree_leave_no_seam() -> None:
    """Each tile answers its own constant, the worst case: neighbouring pixels may differ by the ramp's slope only."""
    values = iter(torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    tiled = TiledDenoiser(Fake(lambda x, sigma: torch.full_like(x, float(next(values)))), (150, 200), (64, 64))
    y = tiled(torch.zeros(1, 3, 150, 200), torch.ones(1))
    overlap = 16
    assert y.diff(dim=2).abs().max() < 1.5 / overlap
    assert y.diff(dim=3).abs().max() < 1.5 / overlap
    assert y.max() - y.min() > 0.3  # they do disagree


def test_small_pictures_are_not_cut(tiny_prior_folder: Path) -> None:
    prior = lmaps.load_prior(tiny_prior_folder)
    options: dict[str, Any] = {"backend": "torch", "precision": "float32", "batch": 1}
    assert not isinstance(open_tiled(prior, tile=64, size=(64, 40), **options), TiledDenoiser)
    assert not isinstance(open_tiled(prior, tile=None, size=(640, 40), **options), TiledDenoiser)
    with pytest.raises(ValueError, match="at least 32 pixels, got 16"):
        open_tiled(prior, tile=16, size=(64, 40), **options)

    tiled = open_tiled(prior, tile=48, size=(40, 100), **options)
    assert isinstance(tiled, TiledDenoiser)
    assert tiled.tile == (40, 48)
    x, sigma = torch.randn(1, 3, 40, 100), torch.ones(1)
    whole = open_denoiser(prior, size=(40, 100), **options)(x, sigma)
    assert (tiled(x, sigma) - whole).abs().mean() < 0.1 * (whole - x).abs().mean()


def test_a_restoration_in_tiles(tiny_prior_folder: Path) -> None:
    restorer = lmaps.compile("sr4", str(tiny_prior_folder), size=(72, 96), tile=48, steps=2, backend="torch")
    result = restorer(torch.zeros(1, 3, 18, 24))
    assert result.image.shape == (1, 3, 72, 96)
    assert result.stats["tile"] == (48, 48)
    assert result.stats["tiles"] == 6
    assert result.stats["size"] == (72, 96)
