"""The noise: known answers of the generator, and the moments of what is made of it."""

import math

import pytest
import torch

from lmaps.kernels import philox

# Known answers of Philox4x32-10 published with Random123 (kat_vectors): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]) -> None:
    words = philox.philox(tuple(torch.tensor([c]) for c in counter), key)
    assert tuple(int(word) for word in words) == expected


def test_moments() -> None:
    n = philox.normal(2_000_000, seed=3, step=5, stream=0, dtype=torch.float64)
    for power, expected, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((n**power).mean()) - expected) < 5 * math.sqrt(spread / len(n))
    assert abs(float((n[:-1] * n[1:]).mean())) < 5 / math.sqrt(len(n))


def test_float64_is_the_same_noise_more_precisely() -> None:
    plain, precise = (philox.normal(1001, 9, 2, 1, dtype=t) for t in (torch.float32, torch.float64))
    assert torch.allclose(plain.double(), precise, rtol=0, atol=5e-6)


def test_a_prefix_is_the_same_whatever_the_count() -> None:
    assert torch.equal(philox.normal(1001, 9, 2, 1)[:7], philox.normal(7, 9, 2, 1))
