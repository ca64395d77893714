"""Masks: brought by the user, and drawn like those of the reference set-up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps.engine.operators import Inpainting

from .cases import pictures


def test_known_pixels_stay_and_missing_ones_are_grey() -> None:
    mask = torch.tensor([[1, 0, 1], [0, 1, 1]])
    x = pictures((2, 3))
    y = Inpainting(mask)(x)
    assert torch.equal(y[..., mask == 1], x[..., mask == 1])
    assert float(y[..., mask == 0].abs().max()) == 0


@pytest.mark.parametrize("kind", ["bool", "uint8", "float", "numpy", "list", "channels"])
def test_masks_in_any_form(kind: str) -> None:
    plain = np.array([[1, 0], [1, 1]])
    forms = {
        "bool": torch.from_numpy(plain).bool(),
        "uint8": plain.astype(np.uint8),
        "float": torch.from_numpy(plain).float(),
        "numpy": plain,
        "list": plain.tolist(),
        "channels": np.stack([plain] * 3),
    }
    y = Inpainting(forms[kind])(torch.ones(1, 3, 2, 2))
    np.testing.assert_array_equal(y[0, 2].numpy(), plain)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_box_is_the_one_of_the_reference_set_up(seed: int) -> None:
    """DAPS draws height, width, top and left from NumPy's global generator: integers in [128, 129) and [32, 96)."""
    np.random.seed(seed)
    height, width = np.random.randint(128, 129), np.random.randint(128, 129)
    top, left = np.random.randint(32, 256 - 32 - height), np.random.randint(32, 256 - 32 - width)
    expected = np.ones((256, 256))
    expected[top : top + height, left : left + width] = 0
    np.testing.assert_array_equal(Inpainting.box(seed=seed).mask(256, 256)[0].numpy(), expected)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_scattered_pixels_are_those_of_the_reference_set_up(seed: int) -> None:
    """DAPS draws a share p ~ U(0.70, 0.71), then floor(65536 p) positions without replacement."""
    np.random.seed(seed)
    share = np.random.uniform(0.70, 0.71)
    missing = np.random.choice(256 * 256, int(256 * 256 * share), replace=False)
    expected = np.ones(256 * 256)
    expected[missing] = 0
    np.testing.assert_array_equal(Inpainting.random(seed=seed).mask(256, 256)[0].numpy().ravel(), expected)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (200, 300), (129, 160), (128, 128), (131, 401)])
def test_box_fits_every_picture(height: int, width: int) -> None:
    for seed in range(5):
        hole = Inpainting.box(seed=seed).mask(height, width)[0] == 0
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert int(hole.sum()) == 128 * 128
        assert len(rows) == len(columns) == 128
        margin = [min(32, (side - 128) // 2) for side in (height, width)]
        assert margin[0] <= int(rows[0])
        assert int(rows[-1]) < height - margin[0]
        assert margin[1] <= int(columns[0])
        assert int(columns[-1]) < width - margin[1]


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.995, 1.0])
def test_share_that_is_kept(keep: float) -> None:
    kept = float(Inpainting.random(keep, seed=2).mask(121, 173).mean())
    assert keep - 0.0101 <= kept <= keep + 1e-4


def test_lazy_and_fixed_masks_agree() -> None:
    for lazy, fixed in (
        (Inpainting.box(9, seed=3), Inpainting.box(9, seed=3, shape=(31, 40))),
        (Inpainting.random(seed=3), Inpainting.random(seed=3, shape=(31, 40))),
    ):
        x = pictures((31, 40))
        assert torch.equal(lazy(x), fixed(x))
        lazy(pictures((20, 20)))
        with pytest.raises(ValueError, match="31x40"):
            fixed(pictures((20, 20)))


def test_noise_is_added_in_the_hole_too() -> None:
    operator = Inpainting.box(64)
    y = operator.degrade(pictures((128, 128)), noise=0.05, seed=1)
    hole = operator.mask(128, 128)[0] == 0
    assert float(y[..., hole].std()) == pytest.approx(0.05, rel=0.05)
