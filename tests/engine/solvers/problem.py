"""Small problems whose posterior is known: 12 pixels, a Gaussian prior, 7 noisy measurements of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

import lmaps
from lmaps.engine import solvers
from lmaps.engine.solvers.base import Solver, Step

from ..gaussians import GaussianPrior
from ..local_map.dense import Dense, wide

SHAPE = (1, 3, 4)
SIGMA_Y = 0.2


@dataclass
class Problem:
    """y = A x0 + sigma_y n, x0 ~ prior; `mean` and `covariance` of p(x0 | y)."""

    prior: GaussianPrior
    operator: Dense
    y: Tensor
    mean: Tensor
    covariance: Tensor

    def sample(self, solver: str, images: int, schedule: Tensor | list[float], **options: Any) -> Tensor:
        """[images, 12] float64: `images` runs of the solver on the same measurement, each with its own seed."""
        y = self.y.expand(images, -1).contiguous()
        x = lmaps.sample(self.prior.denoise, self.operator, y, schedule=schedule, solver=solver, **options)
        return x.flatten(1).double()


def gaussian(
    *, diagonal: bool = True, isotropic: float | None = None, rows: int = 7, sigma_y: float = SIGMA_Y
) -> Problem:
    """The problem; `isotropic` makes the prior's covariance isotropic^2 I, `diagonal` gives the operator a basis."""
    generator = torch.Generator().manual_seed(7)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64) * 0.3
    mean = torch.rand(12, generator=generator, dtype=torch.float64) - 0.5
    eye = torch.eye(12, dtype=torch.float64)
    covariance = root @ root.T + 0.02 * eye if isotropic is None else isotropic**2 * eye
    prior = GaussianPrior(mean, covariance, SHAPE)
    operator = wide(rows, SHAPE, diagonal)
    a = operator.matrix
    deviation = torch.linalg.cholesky(covariance)
    truth = mean + deviation @ torch.randn(12, generator=generator, dtype=torch.float64)
    y = (a @ truth + sigma_y * torch.randn(rows, generator=generator, dtype=torch.float64))[None].float()
    noise = sigma_y**2 * torch.eye(rows, dtype=torch.float64)
    gain = covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + noise)
    posterior = mean + gain @ (y[0].double() - a @ mean)
    return Problem(prior, operator, y, posterior, covariance - gain @ a @ covariance)


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a.double() - b.double()) / torch.linalg.vector_norm(b.double()))


def one_estimate(
    problem: Problem, solver: str, x: Tensor, sigma: float, sigma_next: float = 0.0, **options: Any
) -> tuple[Tensor, Tensor]:
    """(xhat, x0): the denoiser's answer at x [B, 1, 3, 4] and what the solver makes of it, at one noise level."""
    method, at = one_step(problem, solver, x, sigma, sigma_next, **options)
    with torch.set_grad_enabled(method.needs_gradient):
        x = x.clone().requires_grad_(method.needs_gradient)
        xhat = problem.prior.denoise(x, at.levels(x))
        x0 = method.estimate(xhat, x, at)
    return xhat.detach(), x0.detach()


def one_step(
    problem: Problem, solver: str, x: Tensor, sigma: float, sigma_next: float = 0.0, **options: Any
) -> tuple[Solver, Step]:
    sigmas = [sigma, sigma_next] if sigma_next == 0 else [sigma, sigma_next, 0.0]
    method = solvers.build(solver, problem.operator, sigmas, x.shape, **options)
    observed = method.observe(problem.y.to(x.dtype).expand(len(x), -1))
    seeds = tuple(range(len(x)))
    return method, Step(0, sigma, sigma_next, observed, problem.prior.denoise, seeds)


@cache
def states(images: int = 3, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return scale * torch.randn(images, *SHAPE, generator=generator, dtype=torch.float64)
