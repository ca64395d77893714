"""What a method supplies to the loop: an estimate of the clean image, and seldom more."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from ..noise import standard_normal
from ..operators import checks
from ..transition import transition

Denoise = Callable[[Tensor, Tensor], Tensor]
# Draws of noise that one step can tell apart.
DRAWS = 2**16


class Undefined(ValueError):
    """A method has no meaning for this operator or measurement, whatever its options: what `lmaps bench` tells as "undefined".

    Options out of range are a plain ValueError.
    """


@dataclass(frozen=True, slots=True)
class Step:
    """Where the loop stands.

    index: 0 .. N-1; sigma, sigma_next: noise levels of this step and the next, in units of the [-1, 1] range.
    observed: what the solver's `observe(y)` returned.  denoise: the network, for methods that call it again.
    seeds: one an image.  memory: what a method carries from step to step, empty when a run begins.
    """

    index: int
    sigma: float
    sigma_next: float
    observed: Any
    denoise: Denoise
    seeds: tuple[int, ...]
    memory: dict[str, Any] = field(default_factory=dict)

    def levels(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """A noise level as the [B] tensor that a denoiser takes; this step's unless another is given."""
        return x.new_full((x.shape[0],), self.sigma if sigma is None else sigma)

    def normal(self, like: Tensor, draw: int = 0) -> Tensor:
        """Noise of the solver's own, N(0, I) shaped like `like`; `draw` tells several of one step apart."""
        step = self.index * DRAWS + draw
        return standard_normal(like.shape[1:], self.seeds, step=step, stream="solver", device=like.device).to(
            like.dtype
        )

    def transition(self, x0: Tensor, x: Tensor, rho: float) -> Tensor:
        """Eq. 2 from this step's noise level to the next, with the transition's own noise stream."""
        return transition(x0, x, self.sigma, self.sigma_next, rho=rho, seeds=self.seeds, step=self.index + 1)


class Solver:
    """A method of Figure 2. A subclass supplies `estimate`; the rest has a default and is replaced where its paper says so.

    needs_gradient: the loop records the network's graph, so that `estimate` can differentiate xhat with respect to x.
    few_passes:     on a CPU, what torch does between calls of the network is a few passes over the picture.
    rho:            share of fresh noise in Eq. 2.
    mend:           what to try when its state stops being finite: the options that its steps are as long as.
    Solvers hold nothing of a measurement: `observe(y)` returns it, and the loop hands it back in `Step.observed`.
    """

    name: ClassVar[str]
    needs_gradient: ClassVar[bool] = False
    few_passes: bool = False
    rho: float = 1.0
    mend: ClassVar[str] = "try other options, or a schedule that starts lower"

    @classmethod
    def schedule(cls, steps: int | None) -> Tensor | None:
        """The method's own noise levels, N = `steps` or its paper's number for None. None: it runs on the task's grid.

        A method whose authors set more of it by task takes that as further arguments, from `grid` of its rows.
        """
        return None

    @classmethod
    def defaults(cls, row: dict[str, Any], noise: float) -> dict[str, Any]:
        """Options for a task: its row of `solvers.toml`, and the measurement's noise where the method asks for it."""
        asks = "noise" in inspect.signature(cls).parameters
        return {**row, "noise": noise} if asks else dict(row)

    def begin(self, x: Tensor, at: Step) -> Tensor:
        """The first state, given x ~ N(0, sigma_max^2 I)."""
        return x

    def observe(self, y: Tensor) -> Any:
        """What can be computed from the measurement once."""
        return y

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        """The clean image given xhat = E[x0 | x], the state x and the measurement: [B, C, H, W]."""
        raise NotImplementedError

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        """The state at the next noise level (Eq. 2)."""
        return step_to(x0, x, at, self.rho)

    def obstacle(self) -> str | None:
        """Why its steps cannot be recorded in a CUDA graph, or None where they can.

        They can where `estimate` asks of its `Step` no more than `index` (a number, or an `OnDevice`) and `observed`, and
        nothing else is overridden.
        """
        return f"solver {self.name!r} works out its steps in Python"

    def kind(self, index: int) -> int:
        """Steps of one kind run the same launches, so that one recording serves them all."""
        return 0

    def describe(self) -> dict[str, object]:
        """What ran, for stats."""
        return {"solver": self.name}


def step_to(x0: Tensor, x: Tensor, at: Step, rho: float) -> Tensor:
    """Eq. 2 from this step's noise level to the next, with the transition's own noise stream."""
    return at.transition(x0, x, rho)


def ddim_rho(eta: float, at: Step) -> float:
    """The rho of Eq. 2 that makes it DDIM's step: rho = eta sqrt(1 - sigma_next^2 / sigma^2).

    DDIM draws c1 = eta sqrt((1 - abar_next)/(1 - abar)) sqrt(1 - abar/abar_next) of fresh noise; with
    sigma^2 = (1 - abar)/abar and the state divided by sqrt(abar_next) that is eta sigma_next sqrt(1 - sigma_next^2/sigma^2).
    eta = 1 is the ancestral step of DDPM. Source: Song, Meng, Ermon 2021, Eq. 12 and 16.
    """
    return eta * math.sqrt(1 - (at.sigma_next / at.sigma) ** 2)


def check_rho(rho: float) -> float:
    if not 0 <= rho <= 1:
        raise ValueError(f"rho must lie in [0, 1] (1 re-noises fully, 0 is deterministic), got {rho}")
    return rho


def check_noisy(noise: float, solver: str, instead: str) -> float:
    """sigma_y of a method that weighs by the likelihood. Raises `Undefined` for 0, ValueError for what is no deviation."""
    if checks.real(noise, "noise", 0) == 0:
        raise Undefined(
            f"solver {solver!r} weighs by p(y | x), which noise=0 leaves without a density: give the measurement's noise "
            f"(a small one, such as 0.001, if it has none), or use {instead}"
        )
    return float(noise)


SolverFactory = Callable[..., Solver]
Shape = Sequence[int]
