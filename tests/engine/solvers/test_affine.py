"""Solvers on an affine H: the same as on its linear part with the measurement shifted, and right against a known posterior."""

from __future__ import annotations

import pytest
import torch

import lmaps
from lmaps.engine import solvers
from lmaps.engine.operators import InverseScattering

from ..gaussians import GaussianPrior
from ..local_map.affine import Shifted
from .problem import gaussian, relative
from .test_contract import BASIS, SHORT, options


@pytest.mark.parametrize("diagonal", [True, False], ids=["basis", "no basis"])
@pytest.mark.parametrize("name", solvers.available())
def test_an_affine_operator_is_the_linear_one_with_y_shifted(name: str, diagonal: bool) -> None:
    problem = gaussian(diagonal=diagonal)
    affine = Shifted(problem.operator)
    chosen = {**options(name), **({"start": "zero"} if name == "red-diff" else {})}

    def run(operator: object, y: torch.Tensor) -> torch.Tensor:
        return lmaps.sample(problem.prior.denoise, operator, y, schedule=SHORT, solver=name, seed=3, **chosen)  # type: ignore[arg-type]

    if name in BASIS and not diagonal:
        with pytest.raises(ValueError, match="Shifted has no cheap basis"):
            run(affine, problem.y)
        return
    plain = run(problem.operator, problem.y)
    shifted = run(affine, (problem.y.double() + affine.b).float())
    assert relative(shifted, plain) <= 1e-4


def test_lmaps_finds_the_posterior_of_inverse_scattering() -> None:
    """A Gaussian prior, the local MAP solved exactly with the prior's own variance in the place of k1^2: as the noise falls the
    estimate becomes the posterior's mean, known in closed form."""
    side, deviation, noise = 8, 0.4, 1e-3
    operator = InverseScattering(12, 4, side=side)
    count = side**2
    pixels = torch.eye(count, dtype=torch.float64).reshape(count, 1, side, side)
    a = operator.tangent(pixels).flatten(1).T
    prior = GaussianPrior(
        torch.full((count,), -0.3, dtype=torch.float64),
        deviation**2 * torch.eye(count, dtype=torch.float64),
        (1, side, side),
    )
    generator = torch.Generator().manual_seed(6)
    truth = -0.3 + deviation * torch.randn((1, 1, side, side), generator=generator, dtype=torch.float64)
    y = operator.degrade(truth, noise, seed=2)
    shift = operator.constant(tuple(truth.shape), truth).flatten()
    expected = prior.posterior_mean(a, y.flatten(1) - shift, noise)
    # At sigma = infinity xhat is the prior's mean; r k2 / (1 - r) has to be deviation^2 / noise^2 there.
    r = 1e8 / (1e8 + deviation**2 + 1e-6)
    k2 = deviation**2 / noise**2 * (1 - r) / r
    x = lmaps.sample(
        prior.denoise, operator, y.float(), schedule=[1e4, 0.0], k1=deviation, k2=k2, eta=1.0, inner_steps="exact"
    )
    assert relative(x, expected) <= 1e-3
    assert relative(x, truth) < 0.9
