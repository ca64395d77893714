"""What every operator is: a map H from pictures to measurements, and how its gradient is taken.

A picture is x [B, C, H, W] in the [-1, 1] range; a measurement is whatever H makes of it. Sums run over the entries of
one image, never over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn

from .. import inference
from ..noise import standard_normal


class Operator(nn.Module):
    """H. A subclass needs only `forward`; everything else has a default that is right, if not always fast.

    linear:         H(x) is linear in x. Linear operators derive from `LinearOperator`.
    differentiable: autograd through `forward` gives a useful gradient. If not, `surrogate_vjp` stands in (Eq. 17).
    light:          torch's part in its closed forms is a few passes over the picture, or small matrix products.
    start_inverts:  `start` is a pseudo-inverse, H(start(H(x))) = H(x), and may stand for H^+ although H is not linear.
    coarseness:     how much H rounds away, against the set-up that its task's settings were tuned for (1): the noise levels
                    of a restoration follow it.

    What an operator derives from a picture's size (matrices, masks, transfer functions) is made on first use, kept for
    the last few sizes, and follows the dtype and device of its input. `operator.to(device)` says where a spectrum's
    eigenvalues live.
    """

    linear: ClassVar[bool] = False
    light: ClassVar[bool] = False
    differentiable: bool = True
    start_inverts: ClassVar[bool] = False
    _home: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_home", torch.zeros(0, dtype=torch.float32), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where `operator.to(device)` put it; the CPU until then."""
        return self._home.device

    @property
    def coarseness(self) -> float:
        return 1.0

    def forward(self, x: Tensor) -> Tensor:
        """H(x): [B, C, H, W] in [-1, 1] -> measurement [B, ...]."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x)")

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """J_H(x)^T u: x [B, C, H, W], u shaped like H(x) -> [B, C, H, W]. Autograd unless a subclass knows better."""
        with inference.left(), torch.enable_grad():
            x, u = inference.usable(x).detach().requires_grad_(), inference.usable(u)
            (g,) = torch.autograd.grad(self.forward(x), x, u)
        return g

    def surrogate_vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """J_H'(x)^T u for a differentiable H' close to H (Eq. 17 of the paper). H' = H where H is differentiable."""
        return self.vjp(x, u)

    def data_gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """J^T (H(x) - y), half the gradient of ||H(x) - y||^2: the data term of the inner problem (Eq. 13)."""
        return self.surrogate_vjp(x, self.forward(x) - y)

    def degrade(self, x: Tensor, noise: float = 0.0, seed: int = 0) -> Tensor:
        """y = H(x) + noise * n, n ~ N(0, I) drawn for each image from its own seed (seed + index).

        x [B, C, H, W] in [-1, 1]; noise is a standard deviation in the measurement's units and must not be negative.
        """
        if not noise >= 0:
            raise ValueError(f"noise is a standard deviation and must be >= 0, got {noise}")
        y = self.forward(x)
        if noise == 0:
            return y
        seeds = range(seed, seed + y.shape[0])
        return y + noise * standard_normal(y.shape[1:], seeds, stream="measurement", device=y.device).to(y.dtype)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        """Shape of the picture behind a measurement; the measurement's own shape unless a subclass says otherwise."""
        return tuple(y.shape)

    def start(self, y: Tensor) -> Tensor:
        """A picture made from the measurement alone, [B, C, H, W]: the pseudo-inverse, or the nearest thing to it.

        Shown beside restorations and used as the zero-cost baseline; the solvers do not depend on it.
        """
        self._missing("start(y)")

    def image(self, x: Tensor) -> Tensor:
        """The picture that people are shown of an estimate x: (x + 1)/2, clipped to [0, 1], [B, C, H, W]."""
        return ((x + 1) / 2).clamp(0, 1)

    def config(self) -> dict[str, Any]:
        """What `operators.from_config` builds this operator from: its name as "operator", plain values, tensors."""
        self._missing("config(): it cannot be stored in a file")

    def describe(self) -> dict[str, Any]:
        """Name and parameters as plain values, for stats and for people. A tensor is named by its shape."""
        try:
            config = self.config()
        except NotImplementedError:
            config = {"operator": type(self).__name__}
        return {key: _plain(value) for key, value in config.items()}

    def _missing(self, what: str) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no {what}")


@dataclass(frozen=True)
class Spectrum:
    """A cheap basis in which H^T H is diagonal: H^T H = V diag(eigenvalues) V^-1.

    to_basis:    x [B, C, H, W] -> coefficients V^-1 x; an array that broadcasts against `eigenvalues`.
    from_basis:  coefficients -> V c, [B, C, H, W].
    eigenvalues: real, >= 0, float64, on the operator's device. The two maps, and the operator's adjoint, follow the dtype and
                 device of their input.
    norms:       weight of each coefficient's square in ||x||^2, or None where V is orthonormal. The half spectrum of a
                 real FFT needs it.
    """

    to_basis: Callable[[Tensor], Tensor]
    from_basis: Callable[[Tensor], Tensor]
    eigenvalues: Tensor
    norms: Tensor | None = None
    seen: Spectrum | None = None


class LinearOperator(Operator):
    """A linear H. A subclass gives `forward` and, where it can, `adjoint`, `pinv` and `spectrum`.

    What is said of H^T, H^T H, H^+ and of their spectrum holds for the linear part of an `AffineOperator` too. So code that
    means the linear part asks for `tangent`, `target` and `normal`, and never for `forward` of a difference or `adjoint(y)`.
    """

    linear: ClassVar[bool] = True

    def adjoint(self, u: Tensor) -> Tensor:
        """H^T u, measurement -> [B, C, H, W]. Autograd of <H(x), u> unless a subclass knows better."""
        return super().vjp(torch.zeros(self.picture_shape(u), dtype=_real(u.dtype), device=u.device), u)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        return self.adjoint(u)

    def tangent(self, d: Tensor) -> Tensor:
        """H(x + d) - H(x), the same for every x: H d where H is linear."""
        return self.forward(d)

    def target(self, y: Tensor) -> Tensor:
        """H^T (y - H(0)), the right-hand side of the normal equations: H^T y where H is linear."""
        return self.adjoint(y)

    def normal(self, x: Tensor) -> Tensor:
        """H^T H x."""
        return self.adjoint(self.tangent(x))

    def chebyshev(self, g: Tensor, coefficients: Sequence[float], bound: float) -> Tensor:
        """sum_j coefficients[j] V_j(2 H^T H / bound - 1) g for a picture g; see `chebyshev_sum`."""
        return chebyshev_sum(self.normal, g, coefficients, bound)

    def pinv(self, y: Tensor) -> Tensor:
        """H^+ y, the least-squares picture of smallest norm. Raises NotImplementedError where it is not cheap."""
        basis = self.spectrum(tuple(self.picture_shape(y)))
        if basis is None:
            self._missing("cheap pseudo-inverse")
        lam = basis.eigenvalues.to(device=y.device)
        keep = lam > 1e-6 * lam.amax()
        inverse = torch.where(keep, 1 / torch.where(keep, lam, torch.ones_like(lam)), torch.zeros_like(lam))
        return basis.from_basis(inverse.to(_real(y.dtype)) * basis.to_basis(self.target(y)))

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum | None:
        """The basis of H^T H for pictures of `shape` [B, C, H, W], or None where there is no cheap one."""
        return None

    def start(self, y: Tensor) -> Tensor:
        return self.pinv(y)


class AffineOperator(LinearOperator):
    """H(x) = A x + b with b = H(0). A subclass gives `tangent`, which is A x, and `constant`, which is b; and what a
    `LinearOperator` has for A, where it can.

    ||y - H(x)||^2 = ||(y - b) - A x||^2, so that whatever is done for linear operators is done with y - b here.
    """

    def tangent(self, d: Tensor) -> Tensor:
        """A d: [B, C, H, W] -> measurement [B, ...]."""
        raise NotImplementedError(f"{type(self).__name__} must define tangent(d)")

    def constant(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """b = H(0) for pictures of `shape` [B, C, H, W], in the precision and on the device of `like`."""
        raise NotImplementedError(f"{type(self).__name__} must define constant(shape, like)")

    def forward(self, x: Tensor) -> Tensor:
        return self.tangent(x) + self.constant(tuple(x.shape), x)

    def target(self, y: Tensor) -> Tensor:
        return self.adjoint(y - self.constant(self.picture_shape(y), y))


def chebyshev_sum(normal: Callable[[Tensor], Tensor], g: Tensor, coefficients: Sequence[float], bound: float) -> Tensor:
    """sum_j c_j V_j(Z) g,  Z = 2 normal / bound - 1,  V_0 = 1,  V_1 = 2 Z - 1,  V_(j+1) = 2 Z V_j - V_(j-1).

    The Chebyshev polynomials of the third kind: s V_j(2 s^2 - 1) = T_(2j+1)(s). One `normal` a degree.
    """
    out = coefficients[0] * g
    if len(coefficients) == 1:
        return out
    scale = 4.0 / bound
    before, now = g, scale * normal(g) - 3 * g
    out.add_(now, alpha=coefficients[1])
    for c in coefficients[2:]:
        before, now = now, torch.add(scale * normal(now), now, alpha=-2).sub_(before)
        out.add_(now, alpha=c)
    return out


def _plain(value: Any) -> Any:
    return "x".join(map(str, value.shape)) if isinstance(value, Tensor) else value


def _real(dtype: torch.dtype) -> torch.dtype:
    return dtype.to_real() if dtype.is_complex else dtype


def norm_squared(operator: LinearOperator, shape: tuple[int, ...], iterations: int = 60, seed: int = 0) -> float:
    """L = lmax(H^T H) by power iteration on one picture of `shape` [B, C, H, W] (B is taken as 1).

    An estimate from below; 60 iterations give about three digits on the operators here.
    """
    dtype, device = torch.float32, torch.device("cpu")
    for tensor in [*operator.parameters(), *operator.buffers()]:
        dtype, device = (_real(tensor.dtype) if tensor.is_floating_point() else dtype), tensor.device
        break
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn((1, *shape[1:]), generator=generator, dtype=torch.float64).to(dtype).to(device)
    lam = 0.0
    for _ in range(iterations):
        v = v / torch.linalg.vector_norm(v)
        w = operator.normal(v)
        lam = float(torch.linalg.vector_norm(w))
        if lam == 0.0:
            return 0.0
        v = w
    return lam
