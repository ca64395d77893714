"""Schedules and bad input: what the launchers refuse, and in which words. Nothing here runs a kernel."""

import pytest
import torch

from lmaps.kernels import (
    blur,
    group_norm,
    jpeg,
    mask,
    modulate,
    phase_retrieval,
    radix,
    schedule,
    spectral,
    stencil,
    transition,
)

ROWS = schedule.table(r=[0.5, 0.2], k2=1.0, eta=0.5)
X = torch.zeros(1, 3, 16, 16)
LAST = torch.zeros(1, 3, 4, 6).contiguous(memory_format=torch.channels_last)
ONE = torch.ones(1, 1, 16, 16)


def test_table_keeps_the_digits_of_one_minus_r() -> None:
    r = 1e4 / (1e4 + 1e-2 + 1e-6)
    rows = schedule.table(r=r, k2=2.0, eta=0.25, sigma=4.0, sigma_next=[2.0, 1.0], rho=0.6, scale=0.1)
    assert rows.shape == (2, len(schedule.COLUMNS))
    expected = torch.tensor([1 - r, 2 * r, 0.25, 2.0 * 0.8 / 4, 1.2, 0.1], dtype=torch.float64)
    assert torch.allclose(rows[0].double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: schedule.table(r=1.5, k2=1, eta=1), ValueError, "r holds 1.5"),
        (lambda: schedule.table(r=0.5, k2=float("nan"), eta=1), ValueError, "k2 holds nan"),
        (lambda: schedule.table(r=[0.5, 0.4], k2=[1, 2, 3], eta=1), ValueError, "one length"),
        (lambda: mask.steps(X, X, ONE, ROWS, 2, 5), IndexError, "step 2 is outside a table of 2"),
        (lambda: mask.steps(X, X, ONE, ROWS, 0, 0), ValueError, "at least 1"),
        (lambda: mask.steps(X.double(), X, ONE, ROWS, 0, 5), TypeError, "xhat must be float32"),
        (lambda: mask.steps(X, X[:, :, :8].clone(), ONE, ROWS, 0, 5), ValueError, "y must have shape"),
        (lambda: mask.steps(X, X, ONE.expand(1, 2, 16, 16).contiguous(), ROWS, 0, 5), ValueError, "mask must be"),
        (lambda: mask.steps(X.mT, X, ONE, ROWS, 0, 5, out=X[..., ::2]), ValueError, "contiguous"),
        (lambda: mask.steps(X, X, ONE, ROWS[:, :3], 0, 5), ValueError, "table must be"),
        (lambda: mask.steps(X, X, ONE, ROWS, torch.ones(1), 5), ValueError, "step must be"),
        (lambda: spectral.apply(X, X, ONE[..., :8], ROWS, 0, 5), ValueError, "lam must end in"),
        (lambda: spectral.apply(X.long(), X, ONE, ROWS, 0, 5), TypeError, "float32 or complex64"),
        (lambda: transition.apply(X, torch.zeros(2, dtype=torch.int64), ROWS, 0), ValueError, "seeds must be"),
        (lambda: jpeg.plan(torch.ones(3, 8, 8), "4:1:0"), ValueError, "subsampling must be one of"),
        (lambda: jpeg.plan(torch.zeros(3, 8, 8)), ValueError, "at least 1"),
        (
            lambda: jpeg.steps(
                X[..., :8].contiguous(), X[..., :8].contiguous(), jpeg.plan(torch.ones(3, 8, 8)), ROWS, 0, 1
            ),
            ValueError,
            "a multiple of 16",
        ),
        (lambda: blur.plan(torch.ones(3, 3), "mirror"), ValueError, "padding must be one of"),
        (lambda: blur.measure(X, blur.plan(torch.ones(61, 61))), ValueError, "height of at least 31"),
        (lambda: blur.adjoint(X, blur.plan(torch.ones(3, 3)), out=X), ValueError, "out must not be u"),
        (lambda: stencil.plan(blur.plan(torch.ones(9, 9)), 64, 64), ValueError, "up to 7x7"),
        (lambda: radix.axis(96), None, ""),
        (lambda: radix.axis(100), ValueError, "got 100"),
        (lambda: radix.axis(1024), ValueError, "got 1024"),
        (
            lambda: phase_retrieval.steps(X, X, phase_retrieval.plan(32, 32), ROWS, 0, 1),
            ValueError,
            "from `measurement`",
        ),
        (lambda: group_norm.apply(X, 3, torch.ones(3), torch.ones(3)), ValueError, "channels-last"),
        (lambda: modulate.apply(X, torch.ones(1, 3), torch.ones(1, 3)), ValueError, "x must be in channels-last"),
        (lambda: modulate.apply(LAST, torch.ones(1, 4), torch.ones(1, 3)), ValueError, r"scale must be .*\(1, 3\)"),
        (lambda: modulate.apply(LAST, torch.ones(1, 3), torch.ones(3, 2).T[:1]), ValueError, "shift .*side by side"),
        (lambda: modulate.apply(LAST.double(), torch.ones(1, 3), torch.ones(1, 3)), TypeError, "got torch.float64"),
    ],
)
def test_refusals(call: object, error: type[Exception] | None, words: str) -> None:
    if error is None:
        call()
        return
    with pytest.raises(error, match=words):
        call()
