"""Every strategy against K plain gradient steps written with an explicit matrix, and against each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from lmaps.engine.local_map import LocalMAP, build, choose
from lmaps.engine.operators import HDR, JPEG, Quantize
from lmaps.engine.operators.base import Operator

from .dense import Dense, wide

SHAPE = (3, 5, 7)
SIGMAS = [100.0, 3.0, 0.5, 0.1, 0.02]


def problem(diagonal: bool = False) -> tuple[Dense, Tensor, Tensor]:
    operator = wide(40, SHAPE, diagonal)
    xhat = torch.rand(2, *SHAPE, dtype=torch.float64) * 2 - 1
    y = operator(torch.rand(2, *SHAPE, dtype=torch.float64) * 2 - 1)
    return operator, xhat, y


def plain_steps(a: Tensor, xhat: Tensor, y: Tensor, s: LocalMAP, sigma: float) -> Tensor:
    x0 = xhat.flatten(1)
    x, r = x0, s.r(sigma)
    for _ in range(int(s.inner_steps)):
        x = x - s.eta * ((1 - r) * (x - x0) + r * s.k2 * (x @ a.T - y) @ a)
    return x.reshape(xhat.shape)


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize(
    ("strategy", "tolerance"),
    [
        ("reference", 1e-13),
        ("autograd", 1e-13),
        ("spectral", 1e-12),
        ("polynomial", 1e-4),
    ],
)
@pytest.mark.parametrize("steps", [1, 20, 100])
def test_strategy_equals_plain_steps(strategy: str, tolerance: float, steps: int) -> None:
    operator, xhat, y = problem(diagonal=strategy == "spectral")
    s = LocalMAP(k1=0.22, k2=100.0, eta=0.01, inner_steps=steps, strategy=strategy)
    plan = build(operator, s, SIGMAS, (2, *SHAPE))
    if strategy == "spectral":
        plan.dtype, plan.eigenvalues, plan._filters = torch.float64, plan.basis.eigenvalues, None  # type: ignore[attr-defined]
    observed = plan.observe(y)
    for index, sigma in enumerate(SIGMAS):
        truth = plain_steps(operator.matrix, xhat, y, s, sigma)
        assert relative(plan.solve(xhat, observed, index), truth) <= tolerance
        assert relative(truth, xhat) > 1e-3 or sigma < 0.05


@pytest.mark.parametrize("strategy", ["reference", "autograd", "spectral", "polynomial"])
def test_float32_stays_within_1e_4(strategy: str) -> None:
    operator, xhat, y = problem(diagonal=strategy == "spectral")
    s = LocalMAP(k1=0.22, k2=100.0, eta=0.01, strategy=strategy)
    plan = build(operator, s, SIGMAS, (2, *SHAPE))
    observed = plan.observe(y.float())
    for index, sigma in enumerate(SIGMAS):
        truth = plain_steps(operator.matrix, xhat, y, s, sigma)
        out = plan.solve(xhat.float(), observed, index)
        assert out.dtype == torch.float32
        assert relative(out.double(), truth) <= (1e-4 if strategy == "polynomial" else 1e-5)


@pytest.mark.parametrize("strategy", ["reference", "spectral"])
def test_exact_solution_is_the_normal_equations(strategy: str) -> None:
    operator, xhat, y = problem(diagonal=strategy == "spectral")
    s = LocalMAP(k1=0.22, k2=100.0, eta=0.01, inner_steps="exact", strategy=strategy)
    plan = build(operator, s, SIGMAS, (2, *SHAPE))
    a = operator.matrix
    for index, sigma in enumerate(SIGMAS):
        r = s.r(sigma)
        left = (1 - r) * torch.eye(a.shape[1], dtype=torch.float64) + r * s.k2 * a.T @ a
        right = (1 - r) * xhat.flatten(1) + r * s.k2 * y @ a
        truth = torch.linalg.solve(left, right.T).T.reshape(xhat.shape)
        out = plan.solve(xhat, plan.observe(y), index)
        assert relative(out, truth) <= (1e-8 if strategy == "reference" else 1e-5)


def test_eq_15_is_the_exact_solution() -> None:
    """Eq. 15 with Sigma = (r k2 sy^2 / (1 - r)) I is the minimiser of Eq. 13."""
    operator, xhat, y = problem()
    a, sigma, sy = operator.matrix, 0.5, 0.05
    s = LocalMAP(k1=0.22, k2=100.0, eta=0.01, inner_steps="exact", strategy="reference")
    plan = build(operator, s, [sigma], (2, *SHAPE))
    r = s.r(sigma)
    variance = r * s.k2 * sy**2 / (1 - r)
    gain = variance * a.T @ torch.linalg.inv(variance * a @ a.T + sy**2 * torch.eye(a.shape[0], dtype=torch.float64))
    truth = xhat.flatten(1) + (y - xhat.flatten(1) @ a.T) @ gain.T
    assert relative(plan.solve(xhat, plan.observe(y), 0).flatten(1), truth) <= 1e-8


def test_degree_falls_with_r_and_stays_far_below_k() -> None:
    """DESIGN's figures for K = 100 and eta k2 L = 1: at most 26, and 6 at r = 0.05."""
    operator, _, _ = problem()
    k1 = 0.25
    sigma = {r: k1 * (r / (1 - r)) ** 0.5 for r in (0.999, 0.5, 0.05)}
    s = LocalMAP(k1=k1, k2=100.0, eta=0.01)
    degrees = build(operator, s, list(sigma.values()), (2, *SHAPE)).describe()["degrees"]
    assert isinstance(degrees, list)
    assert all(a > b for a, b in pairwise(degrees))
    assert degrees[0] <= 26
    assert degrees[2] <= 7


def test_choice_follows_the_operator() -> None:
    class Square(Operator):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    assert choose(wide(40, SHAPE, True), (1, *SHAPE)) == "spectral"
    assert choose(wide(40, SHAPE, False), (1, *SHAPE)) == "polynomial"
    assert choose(Square(), (1, *SHAPE)) == "autograd"


def test_autograd_and_reference_agree_on_an_operator_with_only_forward() -> None:
    class Cube(Operator):
        def forward(self, x: Tensor) -> Tensor:
            return x**3 + 0.5 * x.roll(1, -1)

    xhat, y = torch.rand(2, 3, 4, 5).double(), torch.rand(2, 3, 4, 5).double()
    s = {"k1": 0.5, "k2": 1.0, "eta": 0.05, "inner_steps": 30}
    out = [
        build(Cube(), LocalMAP(**s, strategy=name), SIGMAS, xhat.shape).solve(xhat, (y,), 1)  # type: ignore[arg-type]
        for name in ("reference", "autograd")
    ]
    assert relative(out[1], out[0]) < 1e-13
    assert relative(out[0], xhat) > 1e-2


def test_forced_strategies_that_cannot_serve_are_refused() -> None:
    class Square(Operator):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    for strategy in ("spectral", "polynomial"):
        with pytest.raises(ValueError, match=f"{strategy}.*Square.*autograd"):
            build(Square(), LocalMAP(0.2, 1.0, 0.1, strategy=strategy), SIGMAS, (1, *SHAPE))
    with pytest.raises(ValueError, match="no cheap basis"):
        build(wide(40, SHAPE, False), LocalMAP(0.2, 1.0, 0.1, strategy="spectral"), SIGMAS, (1, *SHAPE))
    with pytest.raises(ValueError, match="exact"):
        build(Square(), LocalMAP(0.2, 1.0, 0.1, inner_steps="exact"), SIGMAS, (1, *SHAPE))


@pytest.mark.parametrize("operator", [HDR(), HDR(scale=3.0, gradient="identity")], ids=["clip", "identity"])
@pytest.mark.parametrize("steps", [1, 100])
def test_onchip_hdr_equals_reference(operator: HDR, steps: int) -> None:
    xhat = torch.rand(2, 3, 17, 23, dtype=torch.float64) * 2 - 1
    y = operator.degrade(torch.rand(2, 3, 17, 23, dtype=torch.float64) * 2 - 1, noise=0.05)
    s = {"k1": 0.2, "k2": 10.0, "eta": 0.04, "inner_steps": steps}
    onchip = build(operator, LocalMAP(**s), SIGMAS, xhat.shape)  # type: ignore[arg-type]
    truth = build(operator, LocalMAP(**s, strategy="reference"), SIGMAS, xhat.shape)  # type: ignore[arg-type]
    assert onchip.name == "onchip"
    for index in range(len(SIGMAS)):
        out = onchip.solve(xhat.float(), onchip.observe(y.float()), index)
        assert relative(out.double(), truth.solve(xhat, (y,), index)) <= 1e-5


@pytest.mark.parametrize(
    "operator",
    [Quantize(2), JPEG(5), JPEG(30, "4:4:4"), JPEG(10, "4:2:2", chroma="average")],
    ids=["quantize", "jpeg", "jpeg-444", "jpeg-422-average"],
)
def test_onchip_quantisation_equals_reference(operator: Operator) -> None:
    """A quantiser jumps, so a rounding difference may put a value on the other side of a step: a few in a thousand."""
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 6, 7), size=(40, 54), mode="bicubic")
    xhat, truth = (smooth * 2 - 1).split(2)
    y = operator.degrade(truth, noise=0.05)
    s = {"k1": 0.5, "k2": 5.0, "eta": 0.2, "inner_steps": 20}
    onchip = build(operator, LocalMAP(**s), SIGMAS, xhat.shape)  # type: ignore[arg-type]
    truth = build(operator, LocalMAP(**s, strategy="reference"), SIGMAS, xhat.shape)  # type: ignore[arg-type]
    assert onchip.name == "onchip"
    for index in range(len(SIGMAS)):
        off = (onchip.solve(xhat, onchip.observe(y), index) - truth.solve(xhat, (y,), index)).abs() > 1e-5
        assert off.float().mean() < 5e-3
