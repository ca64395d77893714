from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps.engine.priors.padding import pad_to_multiple, padded


@pytest.mark.parametrize(("size", "want"), [(1, 8), (8, 8), (9, 16), (255, 256), (256, 256)])
def test_padded(size: int, want: int) -> None:
    assert padded(size, 8) == want


@pytest.mark.parametrize("size", [(5, 7), (5, 19), (37, 51), (64, 41), (8, 9)])
def test_mirrors_like_numpy_where_the_sides_are_long_enough(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    down, right = padded(size[0], 8) - size[0], padded(size[1], 8) - size[1]
    mode_h, mode_w = ("reflect" if m < n else "edge" for m, n in ((down, size[0]), (right, size[1])))
    want = np.pad(x.numpy(), ((0, 0), (0, 0), (0, 0), (0, right)), mode=mode_w)
    want = np.pad(want, ((0, 0), (0, 0), (0, down), (0, 0)), mode=mode_h)
    assert np.array_equal(pad_to_multiple(x, 8).numpy(), want)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 3), (4, 4)])
def test_sides_too_short_to_mirror_repeat_their_edge(size: tuple[int, int]) -> None:
    x = torch.randn(1, 1, *size)
    y = pad_to_multiple(x, 8)
    assert y.shape[-2] % 8 == 0
    assert y.shape[-1] % 8 == 0
    assert torch.equal(y[..., : size[0], : size[1]], x)
    if size[0] <= 4:
        assert torch.equal(y[..., -1, : size[1]], x[..., -1, :])


def test_nothing_to_do_copies_nothing() -> None:
    x = torch.randn(1, 3, 16, 24)
    assert pad_to_multiple(x, 8) is x
