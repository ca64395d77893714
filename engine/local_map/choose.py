"""Which strategy solves the local MAP step of an operator: chosen by itself, visible in stats, forced by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from ..operators.base import LinearOperator, Operator
from .autograd import Autograd
from .device import Index
from .onchip import OnChip
from .polynomial import Polynomial
from .reference import Observed, Reference
from .settings import LocalMAP
from .spectral import Spectral
from .stepped import Stepped


class Strategy(Protocol):
    """One way to solve the local MAP step. Built once for an operator, a shape and a schedule; then

    observe(y):  what can be computed from a measurement once and shared by all steps.
    solve(xhat, observed, index):  the local MAP estimate at step `index` of the schedule, [B, C, H, W]; a number, or an
        index on the device that is not read back, so that a CUDA graph can record the step once and replay it for all.
    kind(index):  which launches step `index` takes; steps of one kind share a recording.
    capturable:  on a GPU, `solve` only enqueues work, the same for all steps of a kind.
    few_passes:  on a CPU, what torch does in `solve` is a few passes over the picture.
    Nothing of a measurement is kept inside, so one strategy serves several requests at a time.
    """

    name: str
    capturable: bool
    few_passes: bool

    def observe(self, y: Tensor) -> Observed: ...

    def solve(self, xhat: Tensor, observed: Observed, index: Index) -> Tensor: ...

    def kind(self, index: int) -> int: ...

    def describe(self) -> dict[str, object]: ...


def choose(operator: Operator, shape: Sequence[int]) -> str:
    """Name of the fastest strategy that is exact for this operator and pictures of `shape` [B, C, H, W]."""
    if Spectral.serves(operator, shape):
        return Spectral.name
    if Polynomial.serves(operator, shape):
        return Polynomial.name
    if OnChip.serves(operator, shape):
        return OnChip.name
    if Stepped.serves(operator, shape):
        return Stepped.name
    return Autograd.name


def build(
    operator: Operator,
    settings: LocalMAP,
    sigmas: Sequence[float],
    shape: Sequence[int],
    largest: float | None = None,
) -> Strategy:
    """The strategy that `settings.strategy` names, or the one `choose` picks for "auto".

    largest: lmax(H^T H) where it is known already; the polynomial works it out otherwise.

    Raises ValueError naming the operator and the mend when a forced strategy cannot serve it.
    """
    name = choose(operator, shape) if settings.strategy == "auto" else settings.strategy
    if name == Reference.name:
        return Reference(operator, settings, sigmas)
    if name == Autograd.name:
        return Autograd(operator, settings, sigmas)
    if name == OnChip.name:
        return OnChip(operator, settings, sigmas, shape)
    if name == Stepped.name and Stepped.serves(operator, shape):
        return Stepped(operator, settings, sigmas, shape)
    if not isinstance(operator, LinearOperator):
        raise ValueError(
            f"strategy {name!r} does not serve {type(operator).__name__}: use auto, which picks {choose(operator, shape)!r}"
        )
    if name == Spectral.name:
        return Spectral(operator, settings, sigmas, shape)
    if name == Polynomial.name:
        return Polynomial(operator, settings, sigmas, shape, largest=largest)
    raise ValueError(f"strategy {name!r} does not serve {type(operator).__name__}: use auto")
