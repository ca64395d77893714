"""What a method supplies to the loop: an estimate of the clean image, and seldom more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..noise import standard_normal
from ..transition import transition

Denoise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """Where the loop stands.

    index: 0 .. N-1; sigma, sigma_next: noise levels of this step and the next, in units of the [-1, 1] range.
    observed: what the solver's `observe(y)` returned.  denoise: the network, for methods that call it again.
    seeds: one an image.
    """

    index: int
    sigma: float
    sigma_next: float
    observed: Any
    denoise: Denoise
    seeds: tuple[int, ...]

    def levels(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """A noise level as the [B] tensor that a denoiser takes; this step's unless another is given."""
        return x.new_full((x.shape[0],), self.sigma if sigma is None else sigma)

    def normal(self, like: Tensor, draw: int = 0) -> Tensor:
        """Noise of the solver's own, N(0, I) shaped like `like`; `draw` tells several of one step apart."""
        step = self.index * 2**16 + draw
        return standard_normal(like.shape[1:], self.seeds, step=step, stream="solver", device=like.device).to(
            like.dtype
        )


class Solver:
    """A method of Figure 2. A subclass supplies `estimate`; the transition is Eq. 2 unless its paper says otherwise.

    Solvers hold nothing of a measurement: `observe(y)` returns it, and the loop hands it back in `Step.observed`.
    """

    name: ClassVar[str]
    needs_gradient: ClassVar[bool] = False
    rho: float = 1.0

    def observe(self, y: Tensor) -> Any:
        """What can be computed from the measurement once."""
        return y

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        """The clean image given xhat = E[x0 | x], the state x and the measurement: [B, C, H, W]."""
        raise NotImplementedError

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        """The state at the next noise level (Eq. 2)."""
        return transition(x0, x, at.sigma, at.sigma_next, rho=self.rho, seeds=at.seeds, step=at.index + 1)

    def describe(self) -> dict[str, object]:
        """What ran, for stats."""
        return {"solver": self.name}


def check_rho(rho: float) -> float:
    if not 0 <= rho <= 1:
        raise ValueError(f"rho must lie in [0, 1] (1 re-noises fully, 0 is deterministic), got {rho}")
    return rho


SolverFactory = Callable[..., Solver]
Shape = Sequence[int]
