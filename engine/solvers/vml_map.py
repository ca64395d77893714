"""VML-MAP: at every noise level the state itself is moved until p(x0 | x_t) lies as near to p(x0 | y) as it can.

    VML(x) = KL(p(x0 | x) || p(x0 | y)),   with D = xhat(x), C = Cov[x0 | x] = sigma^2 J,   J = dD / dx, for linear H
           = -log p(x) - ||D - x||^2 / (2 sigma^2) - tr C / (2 sigma^2) + ||y - H D||^2 / (2 sigma_y^2)
             + tr(H C H^T) / (2 sigma_y^2) + const

    x  <- x + step J^T P [ (D - x) / sigma^2 + H^T (y - H D) / sigma_y^2 ],   K times;    x0 = D(x);   x_next: Eq. 2

The bracket is minus the gradient without the two traces, which `probes` estimates by Hutchinson's random vectors (their own
gradient needs the network's second derivative). P = I, or P = (H^T H / sigma_y^2 + I / sigma^2)^-1 when preconditioned.
Source: Gutha, Vinuesa, Azizpour 2025, "Variational mode-seeking loss", arXiv 2512.10524, Proposition 2. Its step sizes and its
preconditioner are not published as code: P and the steps here are derived, so that for a Gaussian prior they never overshoot.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..operators import checks
from ..operators.base import LinearOperator, Operator
from .base import Shape, Solver, Step, Undefined, check_noisy, check_rho
from .gradient import pull_back
from .linear import Normal, curvature


class VMLMAP(Solver):
    """Linear H; for others the loss without its traces and without preconditioning, J_H^T (y - H(D)) in the place of H^T (...).

    noise: sigma_y.   inner_steps: K.   lr: step in units of the longest safe one, 1 / (L / sigma_y^2 + 1 / sigma^2), or of 1
    when preconditioned.   precondition: by default wherever H is linear and the traces are dropped.
    probes: random vectors for the traces; 0 drops them. P stands between J^T and the bracket, where the traces have no
    counterpart, so with probes the whole gradient is scaled by one number: anything else would descend no loss.
    """

    name = "vml-map"
    mend = "lower lr"
    needs_gradient = True

    def __init__(
        self,
        operator: Operator,
        sigmas: Sequence[float],
        shape: Shape,
        *,
        noise: float = 0.05,
        inner_steps: int = 10,
        lr: float = 1.0,
        precondition: bool | None = None,
        probes: int = 0,
        rho: float = 1.0,
    ) -> None:
        self.operator = operator
        self.noise = check_noisy(noise, self.name, "lmaps, ddnm or dmplug")
        self.inner_steps = checks.whole(inner_steps, "inner_steps", 1)
        self.lr = checks.real(lr, "lr", 0, open_low=True)
        self.probes = checks.whole(probes, "probes", 0)
        self.rho = check_rho(rho)
        self.normal = Normal(operator, shape) if isinstance(operator, LinearOperator) else None
        default = self.normal is not None and self.probes == 0
        self.precondition = default if precondition is None else precondition
        if self.precondition and self.probes:
            raise ValueError(
                "precondition and probes of solver 'vml-map' exclude each other: its traces cannot be preconditioned"
            )
        if self.normal is None and (self.precondition or self.probes):
            raise Undefined(
                f"precondition and probes of solver 'vml-map' need a linear operator, {type(operator).__name__} is not one"
            )
        self.bound = curvature(operator, shape)

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        for k in range(self.inner_steps):
            clean = xhat.detach()
            with torch.no_grad():
                pull = (clean - x) / at.sigma**2 - self.operator.data_gradient(clean, at.observed) / self.noise**2
                pull = self._preconditioned(pull, at.sigma)
            traces = self._trace_gradient(xhat, x, at, k) if self.probes else 0.0
            scale = self.lr * (1.0 if self.precondition else self._safe(at.sigma))
            x = (x.detach() + scale * (pull_back(xhat, x, pull) - traces)).requires_grad_()
            xhat = at.denoise(x, at.levels(x))
        at.memory["x"] = x.detach()
        return xhat

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return super().transition(x0, at.memory["x"], at)

    def describe(self) -> dict[str, object]:
        return {"solver": self.name, "inner_steps": self.inner_steps, "preconditioned": self.precondition}

    def _safe(self, sigma: float) -> float:
        return 1 / (self.bound / self.noise**2 + 1 / sigma**2)

    def _preconditioned(self, pull: Tensor, sigma: float) -> Tensor:
        """(H^T H / sigma_y^2 + I / sigma^2)^-1 pull; what H does not see is scaled by sigma^2."""
        if not self.precondition or self.normal is None:
            return pull
        shift = (self.noise / sigma) ** 2
        if self.normal.basis is not None:
            return self.normal.apply(pull, self.noise**2 / (self.normal.basis.eigenvalues + shift))
        return self.noise**2 * self.normal.resolve(pull, shift)

    def _trace_gradient(self, xhat: Tensor, x: Tensor, at: Step, k: int) -> Tensor:
        """Gradient of -tr J / 2 + sigma^2 tr(H J H^T) / (2 sigma_y^2), z^T J z averaged over z = n and over z = H^T n."""
        assert isinstance(self.operator, LinearOperator)
        value = xhat.new_zeros(())
        weight = (at.sigma / self.noise) ** 2
        for p in range(self.probes):
            draw = 2 * (k * self.probes + p)
            for z, share in (
                (at.normal(x, draw), -0.5),
                (self.operator.adjoint(at.normal(at.observed, draw + 1)), 0.5 * weight),
            ):
                (jz,) = torch.autograd.grad(xhat, x, z.to(xhat.dtype), create_graph=True)
                value = value + share * (jz * z).sum() / self.probes
        if not value.requires_grad:  # a network that is linear in x has a constant J
            return torch.zeros_like(x)
        (g,) = torch.autograd.grad(value, x, retain_graph=True)
        return g
