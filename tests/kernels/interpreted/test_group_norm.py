"""GroupNorm with scale-shift and SiLU in channels-last memory."""

import pytest
import torch

from lmaps.kernels import group_norm

from .helpers import TOLERANCE, error, pictures, poisoned

SHAPES = [((2, 24, 5, 7), 8), ((1, 48, 13, 11), 4), ((2, 6, 1, 1), 3)]


@pytest.mark.parametrize(("shape", "groups"), SHAPES)
@pytest.mark.parametrize("small", [8192, 0])
def test_group_norm(shape: tuple[int, ...], groups: int, small: int) -> None:
    x = (pictures(*shape) * 0.3 + 5).contiguous(memory_format=torch.channels_last)
    weight, bias, scale, shift = (pictures(n, seed=i) for i, n in enumerate((shape[1], shape[1], shape[1], shape[1])))
    scale, shift = scale.expand(shape[0], -1).contiguous(), shift.expand(shape[0], -1).contiguous()
    for options in ({}, {"silu": False}, {"scale": scale, "shift": shift}):
        out = group_norm.apply(x, groups, weight, bias, out=poisoned(x), small=small, stretches=5, tile=512, **options)
        exact = group_norm.apply_twin(x.double(), groups, weight, bias, **options)
        # The mean of 5 is rounded to float32, and the spread about it is thirty times smaller.
        assert error(out, exact) <= 3 * TOLERANCE


def test_library_gives_the_same() -> None:
    x = pictures(2, 24, 6, 5).contiguous(memory_format=torch.channels_last)
    weight, bias = pictures(24, seed=1), pictures(24, seed=2)
    exact = torch.nn.functional.silu(torch.nn.functional.group_norm(x.double(), 8, weight.double(), bias.double()))
    for small in (8192, 0):
        assert error(group_norm.apply(x, 8, weight, bias, small=small, stretches=3, tile=256), exact) <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_and_out(dtype: torch.dtype) -> None:
    """Statistics stay float32: only the last rounding shows (the interpreter truncates it to bfloat16)."""
    x = (pictures(1, 16, 9, 9) + 2).to(dtype).contiguous(memory_format=torch.channels_last)
    weight, bias = pictures(16, seed=1).to(dtype), pictures(16, seed=2).to(dtype)
    for small in (8192, 0):
        out = group_norm.apply(x, 4, weight, bias, out=poisoned(x), small=small, stretches=3, tile=256)
        assert out.dtype == dtype
        assert out.is_contiguous(memory_format=torch.channels_last)
        limit = 1e-3 if dtype == torch.float16 else 5e-3
        assert error(out, group_norm.apply_twin(x.double(), 4, weight, bias)) <= limit
