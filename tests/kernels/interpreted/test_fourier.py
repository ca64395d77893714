"""Fourier transforms on chip, phase retrieval and MRI, against torch.fft in float64."""

import pytest
import torch

from lmaps.kernels import mri, phase_retrieval

from .helpers import TOLERANCE, error, guarded, margins_untouched, pictures, poisoned, table

TILES = (64, 64, 4)


@pytest.mark.parametrize(
    ("shape", "frame"),
    [((21, 33), (32, 48)), ((7, 40), (128, 64)), ((30, 3), (48, 256)), ((9, 50), (320, 80)), ((64, 17), (64, 384))],
)
def test_phase_retrieval(shape: tuple[int, int], frame: tuple[int, int]) -> None:
    x, y = pictures(2, 1, *shape), pictures(2, 1, *frame, seed=1).abs()
    setting, prepared = phase_retrieval.plan(*frame), phase_retrieval.measurement(y)
    out, buffer = guarded(x)
    scratch = poisoned(phase_retrieval.work(x, setting))
    phase_retrieval.steps(x, prepared, setting, table(), 1, 2, out=out, scratch=scratch, tiles=TILES)
    exact = phase_retrieval.steps_twin(x.double(), y.double(), frame, table(), 1, 2)
    assert error(out, exact) <= TOLERANCE
    assert margins_untouched(buffer)
    # The change alone, which is smaller than the picture.
    assert error(out - x, exact - x.double()) <= 5 * TOLERANCE
    assert error(phase_retrieval.steps_torch(x, prepared, setting, table(), 1, 2), exact) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("frame", [(128, 512), (384, 320), (512, 256)])
def test_phase_retrieval_at_full_lengths(frame: tuple[int, int]) -> None:
    x, y = pictures(1, 1, 100, 90), pictures(1, 1, *frame, seed=1).abs()
    setting = phase_retrieval.plan(*frame)
    out = phase_retrieval.steps(x, phase_retrieval.measurement(y), setting, table(), 1, 2, tiles=(128, 256, 4))
    assert error(out, phase_retrieval.steps_twin(x.double(), y.double(), frame, table(), 1, 2)) <= TOLERANCE


def test_a_black_picture_has_no_phase_and_stays_finite() -> None:
    x, y = -torch.ones(1, 1, 16, 16), torch.ones(1, 1, 32, 32)
    setting = phase_retrieval.plan(32, 32)
    out = phase_retrieval.steps(x, phase_retrieval.measurement(y), setting, table(), 1, 1, tiles=TILES)
    assert torch.equal(out, x)


@pytest.mark.parametrize(("side", "coils", "maps_shared"), [((32, 48), 1, True), ((48, 32), 3, False)])
def test_mri(side: tuple[int, int], coils: int, maps_shared: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = pictures(2, 2, *side)
    maps = torch.randn(1 if maps_shared else 2, coils, *side, generator=generator, dtype=torch.complex64) / coils
    mask = (torch.rand(1, 1, 1, side[1], generator=generator) < 0.5).float().expand(1, 1, *side)
    y = mask * torch.randn(2, coils, *side, generator=generator, dtype=torch.complex64)
    setting, prepared = mri.plan(maps, mask), mri.measurement(y)
    out, buffer = guarded(x)
    mri.steps(x, prepared, setting, table(), 1, 2, out=out, scratch=poisoned(prepared), tiles=TILES)
    exact = mri.steps_twin(x.double(), y.to(torch.complex128), maps.to(torch.complex128), mask.double(), table(), 1, 2)
    assert error(out, exact) <= TOLERANCE
    assert margins_untouched(buffer)
    assert error(mri.steps_torch(x, prepared, setting, table(), 1, 2), exact) <= TOLERANCE


def test_out_must_not_be_xhat() -> None:
    x = pictures(1, 1, 16, 16)
    setting = phase_retrieval.plan(32, 32)
    with pytest.raises(ValueError, match="out must not be xhat"):
        phase_retrieval.steps(x, torch.ones(1, 1, 32, 17), setting, table(), 1, 1, out=x)
