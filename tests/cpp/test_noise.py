"""The noise is the documented function of (seed, stream, step, index), bit for bit where it can be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lmaps import _native
from lmaps.kernels import philox

from .twins import Guarded, random, relative

# The known answers that Random123 publishes for philox4x32 with 10 rounds: counter, key, words.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
SEEDS = [0, 1, 2**63 - 1, 2**64 - 1, -5, 0x9E3779B97F4A7C15]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(isa: str, counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]) -> None:
    first, step, stream, top = counter
    got = _native.philox_words(1, key[0] | key[1] << 32, step, stream, first=first, top=top)
    assert got.tolist() == [list(words)]


@pytest.mark.parametrize("seed", SEEDS)
def test_uniforms_are_those_of_the_definition(isa: str, seed: int) -> None:
    blocks = 1003
    index = torch.arange(blocks)
    constant = torch.zeros_like(index)
    expected = philox.philox(
        (index, constant + 7, constant + 2, constant), (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
    )
    words = _native.philox_words(blocks, seed, 7, 2)
    assert words.dtype == np.uint32
    np.testing.assert_array_equal(words.astype(np.int64), torch.stack(expected, 1).numpy())


@pytest.mark.parametrize("count", [1, 3, 4, 63, 64, 65, 8191, 8192, 8193, 100003])
def test_normals_equal_the_torch_twin(isa: str, count: int) -> None:
    out = Guarded((count,))
    numbers = out.check(_native.normal(count, 12345678901, 9, 1, out=out.inside))
    expected = philox.normal(count, 12345678901, 9, 1).numpy()
    assert np.abs(numbers - expected).max() <= 2e-6


def test_normals_have_the_same_bits_under_every_variant() -> None:
    drawn = []
    for name in _native.available_isas():
        _native.force_isa(name)
        drawn.append(_native.normal(300_001, 3, 1, 0).tobytes())
    assert len(set(drawn)) == 1


def test_normals_against_float64() -> None:
    """Box-Muller in double precision from the same uniforms, the rare extremes included."""
    count = 2_000_000
    words = _native.philox_words(count // 4, 8, 0, 0).astype(np.int64)
    u = ((words >> 8).astype(np.float32) + np.float32(0.5)).astype(np.float64) * 2.0**-24
    radius = np.sqrt(-2 * np.log(u[:, 0::2]))
    angle = 2 * np.pi * u[:, 1::2]
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(-1)
    # The definition rounds the angle to float32, half a unit of 2^-22 at most, and the radius reaches 5.9.
    assert np.abs(_native.normal(count, 8, 0, 0) - expected).max() <= 3e-6


@pytest.mark.parametrize(("sigma", "sigma_next", "rho"), [(100.0, 97.8, 1.0), (3.0, 2.5, 0.3), (0.1, 0.05, 0.0)])
def test_transition(isa: str, sigma: float, sigma_next: float, rho: float) -> None:
    rng = np.random.default_rng(0)
    shape = (3, 3, 17, 31)
    x0, x = random(rng, *shape), random(rng, *shape)
    seeds = [5, -1, 2**40]
    out = Guarded(shape)
    x_next = out.check(_native.transition(x0, x, sigma, sigma_next, rho, seeds, 11, out=out.inside))
    noise = np.stack([philox.normal(x0[0].size, seed, 11, 0).numpy().reshape(shape[1:]) for seed in seeds])
    drift = np.sqrt(1 - rho**2) * (x.astype(np.float64) - x0) / sigma
    assert relative(x_next, x0 + sigma_next * (drift + rho * noise)) <= 2e-6


def test_last_transition_gives_x0_exactly(isa: str) -> None:
    rng = np.random.default_rng(0)
    x0, x = random(rng, 2, 1, 5, 7), np.full((2, 1, 5, 7), np.inf, np.float32)
    np.testing.assert_array_equal(_native.transition(x0, x, 0.1, 0.0, 1.0, [1, 2], 0), x0)


def test_an_image_of_a_batch_equals_the_image_alone(isa: str) -> None:
    rng = np.random.default_rng(1)
    x0, x = random(rng, 3, 3, 33, 65), random(rng, 3, 3, 33, 65)
    together = _native.transition(x0, x, 2.0, 1.0, 0.7, [4, 5, 6], 2)
    for i, seed in enumerate([4, 5, 6]):
        alone = _native.transition(x0[i : i + 1], x[i : i + 1], 2.0, 1.0, 0.7, [seed], 2)
        np.testing.assert_array_equal(together[i : i + 1], alone)


def test_torch_tensors_are_read_and_written_in_place() -> None:
    out = torch.full((10,), float("nan"))
    assert _native.normal(10, 1, 0, 0, out=out) is out
    np.testing.assert_array_equal(out.numpy(), _native.normal(10, 1, 0, 0))
