"""The strategy each real operator gets, against K plain gradient steps in float64."""

from __future__ import annotations

import pytest
import torch

from lmaps import operators
from lmaps.engine.local_map import LocalMAP, build
from lmaps.engine.operators import LinearOperator, Operator
from lmaps.engine.operators.base import norm_squared

SIGMAS = [100.0, 1.0, 0.2, 0.05]
CASES: list[tuple[str, Operator, tuple[int, int], str]] = [
    ("denoise", operators.Denoise(), (17, 23), "spectral"),
    ("box", operators.Inpainting.box(size=9), (37, 31), "spectral"),
    ("random", operators.Inpainting.random(), (37, 31), "spectral"),
    ("sr4", operators.SuperResolution(4), (36, 28), "spectral"),
    ("sr3", operators.SuperResolution(3), (36, 27), "spectral"),
    *[
        (f"gaussian-{p}", operators.GaussianBlur(size=21, std=2.0, padding=p), (37, 30), "spectral")
        for p in ("reflect", "circular", "replicate", "zero")
    ],
    ("motion-circular", operators.MotionBlur(size=21, padding="circular"), (37, 30), "spectral"),
    *[
        (f"motion-{p}", operators.MotionBlur(size=21, padding=p), (37, 30), "polynomial")
        for p in ("reflect", "replicate", "zero")
    ],
    ("phase", operators.PhaseRetrieval(), (32, 31), "stepped"),
    ("camera shake", operators.NonlinearBlur(), (37, 31), "stepped"),
    ("camera shake, picture smaller than it", operators.NonlinearBlur(seed=3), (11, 9), "stepped"),
]


@pytest.mark.parametrize(("operator", "size", "strategy"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_chosen_strategy_equals_the_plain_loop(operator: Operator, size: tuple[int, int], strategy: str) -> None:
    shape = (2, 3, *size)
    xhat, truth = (torch.rand(shape, dtype=torch.float64) * 2 - 1 for _ in range(2))
    y = operator.degrade(truth, noise=0.05)
    if isinstance(operator, LinearOperator):
        settings = {"k1": 0.22, "k2": 100.0, "eta": 0.01 / norm_squared(operator, shape)}
    elif isinstance(operator, operators.NonlinearBlur):
        settings = {"k1": 0.22, "k2": 1.0, "eta": 0.05}
    else:
        settings = {"k1": 10.0, "k2": 0.3, "eta": 0.1}
    chosen = build(operator, LocalMAP(**settings), SIGMAS, shape)  # type: ignore[arg-type]
    plain = build(operator, LocalMAP(**settings, strategy="reference"), SIGMAS, shape)  # type: ignore[arg-type]
    assert chosen.name == strategy
    observed = chosen.observe(y.float())
    for index in range(len(SIGMAS)):
        expected = plain.solve(xhat, (y,), index)
        got = chosen.solve(xhat.float(), observed, index).double()
        difference = torch.linalg.vector_norm(got - expected) / torch.linalg.vector_norm(expected)
        assert difference <= (1e-4 if strategy == "polynomial" else 1e-5)
        assert index > 0 or torch.linalg.vector_norm(expected - xhat) > 0.1 * torch.linalg.vector_norm(xhat)
