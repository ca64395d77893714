"""JPEG on whole macroblocks against its twin, for every chroma subsampling."""

import pytest
import torch

from lmaps.kernels import jpeg

from .helpers import TOLERANCE, error, guarded, margins_untouched, pictures, table


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("subsampling", list(jpeg.SUBSAMPLING))
def test_jpeg(subsampling: str, average: bool) -> None:
    down, across = jpeg.SUBSAMPLING[subsampling]
    shape = (2, 3, 16 * down, 24 * across)
    x, y = pictures(*shape), pictures(*shape, seed=1)
    tables = torch.randint(10, 80, (3, 8, 8), generator=torch.Generator().manual_seed(2)).float()
    setting = jpeg.plan(tables, subsampling, average=average)
    out, buffer = guarded(x)
    jpeg.steps(x, y, setting, table(), 1, 3, out=out, pixels=2048)
    assert error(out, jpeg.steps_twin(x.double(), y.double(), setting, table(), 1, 3)) <= TOLERANCE
    assert margins_untouched(buffer)


def test_a_program_may_hold_more_macroblocks_than_there_are() -> None:
    x, y = pictures(1, 3, 16, 48), pictures(1, 3, 16, 48, seed=1)
    setting = jpeg.plan(torch.full((3, 8, 8), 30.0))
    outs = [jpeg.steps(x, y, setting, table(), 1, 2, pixels=pixels) for pixels in (256, 512, 4096)]
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], outs[2])


def test_rounding_is_half_to_even() -> None:
    """Adding and taking away 1.5 * 2^23, as the kernel does, rounds like torch.round."""
    values = torch.arange(-40000, 40000, dtype=torch.float32) / 4
    assert torch.equal((values + 12582912.0) - 12582912.0, torch.round(values))
