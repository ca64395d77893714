"""What methods ask of H: (H^T H + c I)^-1, H^+, the coordinates in which H^T H is diagonal, and how steep it is."""

from __future__ import annotations

import torch
from torch import Tensor

from ..local_map.reference import solve_regularised
from ..operators.base import LinearOperator, Operator, Spectrum
from ..settings import largest_eigenvalue
from .base import Shape, Undefined

# Eigenvalues of H^T H below this share of the largest count as zero, as in `LinearOperator.pinv`.
CUTOFF = 1e-6
# Below this share they are zero to the rounding of float64.
UNSEEN = 1e-12
# Conjugate gradients stop here: a denoiser's estimate is not known better, and more would fit the rounding errors.
CG_TOLERANCE = 1e-5
CG_ITERATIONS = 100


def linear(operator: Operator, solver: str) -> LinearOperator:
    """The operator, if it is linear. Raises `Undefined` naming the solver, the operator and what to use instead."""
    if isinstance(operator, LinearOperator):
        return operator
    raise Undefined(
        f"solver {solver!r} is for linear operators, and {type(operator).__name__} is not one: "
        "use lmaps, daps, sitcom, dps, diffpir, red-diff or dcdp"
    )


def diagonal(operator: Operator, solver: str, shape: Shape) -> tuple[LinearOperator, Spectrum]:
    """The operator and its basis, if it has one. Raises `Undefined` naming the solver, the operator and the mend."""
    h = linear(operator, solver)
    basis = h.spectrum(tuple(shape))
    if basis is None:
        raise Undefined(
            f"solver {solver!r} works on the singular values of H, and {type(operator).__name__} has no cheap basis: "
            'use padding="circular" for a blur, or a solver that does without (lmaps, daps, diffpir, pigdm)'
        )
    return h, basis


class Normal:
    """H^T H of one operator for one picture shape.

    Where there is a basis V of H^T H, a function f of it is V f(lam) V^-1; elsewhere conjugate gradients solve with it.
    Guidance needs H^T (H H^T + c I)^-1 v, which is (H^T H + c I)^-1 H^T v: `resolve(H^T v, c)`.
    """

    def __init__(self, operator: LinearOperator, shape: Shape) -> None:
        self.operator = operator
        self.basis = operator.spectrum(tuple(shape))

    @property
    def method(self) -> str:
        return "spectral" if self.basis is not None else "conjugate gradients"

    def resolve(self, g: Tensor, shift: float) -> Tensor:
        """(H^T H + shift I)^-1 g for g = H^T v, [B, C, H, W]; for shift = 0 the pseudo-inverse of H^T H.

        Directions that H does not see hold only the rounding errors of g, which 1 / shift would blow up: they are left out.
        """
        if self.basis is None:
            return solve_regularised(self.operator, g, shift, 1.0, CG_TOLERANCE, CG_ITERATIONS)
        lam = self.basis.eigenvalues
        seen = lam > (CUTOFF if shift == 0 else UNSEEN) * lam.amax()
        return self.apply(g, seen / torch.where(seen, lam + shift, 1.0))

    def draw(self, target: Tensor, mean: Tensor, noise: float, spread: float, fresh: Tensor) -> Tensor:
        """N(A^-1 (target / noise^2 + mean / spread^2), A^-1), A = H^T H / noise^2 + I / spread^2: the posterior of
        x ~ N(mean, spread^2 I) given H^T y = target. fresh ~ N(0, I) is what makes it random. Needs a basis.
        """
        assert self.basis is not None
        lam, shift = self.basis.eigenvalues, (noise / spread) ** 2
        seen = lam > UNSEEN * lam.amax()
        terms = ((target, seen / (lam + shift)), (mean, shift / (lam + shift)), (fresh, noise / (lam + shift).sqrt()))
        c = sum(_like(gain, x) * self.basis.to_basis(x) for x, gain in terms)
        assert isinstance(c, Tensor)
        return self.basis.from_basis(c)

    def apply(self, x: Tensor, gain: Tensor) -> Tensor:
        """V diag(gain) V^-1 x, for a gain of float64 shaped like the eigenvalues. Needs a basis."""
        assert self.basis is not None
        return self.basis.from_basis(_like(gain, x) * self.basis.to_basis(x))


def _like(gain: Tensor, x: Tensor) -> Tensor:
    return gain.to(device=x.device, dtype=x.dtype)


def curvature(operator: Operator, shape: Shape) -> float:
    """L = lmax(J^T J), the bound that gradient steps on (1/2)||H(x) - y||^2 keep; an estimate unless H is linear.

    Where H has no derivative it is that of the surrogate of Eq. 17, ||J'^T u||^2 / ||u||^2 for a random u: 1 for J' = I.
    """
    if operator.differentiable:
        return largest_eigenvalue(operator, shape)
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand((1, *shape[1:]), generator=generator, dtype=torch.float32) - 0.5).to(operator.device)
    u = torch.randn(operator(x).shape, generator=generator, dtype=torch.float32).to(operator.device)
    return float((operator.surrogate_vjp(x, u).norm() / u.norm()).square())


def minimiser(normal: Normal, xhat: Tensor, target: Tensor, shift: float) -> Tensor:
    """argmin_x ||y - H x||^2 + shift ||x - xhat||^2 = xhat + (H^T H + shift I)^-1 (H^T y - H^T H xhat); target = H^T y."""
    return xhat + normal.resolve(target - normal.operator.normal(xhat), shift)
