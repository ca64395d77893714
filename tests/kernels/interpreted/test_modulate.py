"""Scale-shift and SiLU in channels-last memory."""

import pytest
import torch

from lmaps.kernels import modulate

from .helpers import TOLERANCE, error, pictures, poisoned


@pytest.mark.parametrize("shape", [(2, 24, 5, 7), (1, 48, 13, 11), (3, 1, 1, 1), (2, 5, 9, 1)])
@pytest.mark.parametrize("silu", [True, False])
def test_modulate(shape: tuple[int, ...], silu: bool) -> None:
    x = pictures(*shape).mul(3).contiguous(memory_format=torch.channels_last)
    scale, shift = pictures(shape[0], 2 * shape[1], seed=1).chunk(2, dim=1)  # rows lie apart
    out = modulate.apply(x, scale, shift, silu=silu, out=poisoned(x), block=256)
    h = x.double() * (1 + scale.double()[:, :, None, None]) + shift.double()[:, :, None, None]
    assert error(out, torch.nn.functional.silu(h) if silu else h) <= TOLERANCE
    assert (
        error(modulate.apply_twin(x.double(), scale, shift, silu=silu), torch.nn.functional.silu(h) if silu else h)
        < 1e-14
    )
    modulate.apply(x, scale, shift, silu=silu, out=x, block=4096)
    assert torch.equal(x, out)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype: torch.dtype) -> None:
    x = pictures(1, 16, 9, 9).to(dtype).contiguous(memory_format=torch.channels_last)
    scale, shift = pictures(1, 16, seed=1).to(dtype), pictures(1, 16, seed=2).to(dtype)
    out = modulate.apply(x, scale, shift, out=poisoned(x), block=4096)
    assert out.dtype == dtype
    # The interpreter truncates to bfloat16 where a GPU rounds.
    limit = 1e-3 if dtype == torch.float16 else 5e-3
    assert error(out, modulate.apply_twin(x.double(), scale, shift)) <= limit
