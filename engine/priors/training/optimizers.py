"""Muon for the convolutions, AdamW for the rest; a step that is not finite is left out, on the device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .recipe import Recipe

# A gradient longer than this is shortened to it. Normal training stays far below: with two to four small crops a step,
# where the gradient is noisiest, from random weights and from the shipped ones, the longest of 115 steps measured 9.6.
GRADIENT_BOUND = 100.0
# What the two optimisers call their running mean of the gradient.
MOMENTUM = ("momentum_buffer", "exp_avg")


class Optimizers:
    """Both, stepped together.

    torch's Muon takes matrices. A convolution's weight [out, in, k, k] is handed over as the matrix [out, in k k] that
    shares its memory; its gradient is viewed the same way before each step.

    Nothing here waits for the device. A gradient that is not finite counts as none, the momentum that would have been
    added to it is forgotten, so that the weights stay where they are, and `take_skipped` tells of it later.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        convolutions = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
        chosen = {id(w) for w in convolutions}
        others = [p for p in model.parameters() if id(p) not in chosen]
        self._pairs = [(w, nn.Parameter(_matrix(w.detach()))) for w in convolutions]
        matrices = [matrix for _, matrix in self._pairs]
        self.muon = torch.optim.Muon(
            matrices,
            lr=recipe.muon_rate,
            weight_decay=recipe.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self.adamw = torch.optim.AdamW(others, lr=recipe.rate, weight_decay=0.0, betas=(0.9, 0.99))
        self._stepped = [*matrices, *others]
        self._rates = (recipe.muon_rate, recipe.rate)
        self._skipped = torch.zeros((), dtype=torch.int64, device=matrices[0].device)

    def step(self, factor: float) -> None:
        for optimizer, rate in zip((self.muon, self.adamw), self._rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        for weight, matrix in self._pairs:
            assert weight.grad is not None
            matrix.grad = _columns(weight.grad, weight)
            weight.grad = None
        self._guard()
        self.muon.step()
        self.adamw.step()
        self.adamw.zero_grad()

    @torch.no_grad()
    def _guard(self) -> None:
        gradients = [p.grad for p in self._stepped if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = norm.isfinite()
        self._skipped += ~finite
        for gradient in gradients:
            # Before the product: nothing times NaN is NaN.
            gradient.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        # Both factors are exactly 1 in normal training, which changes no bit.
        torch._foreach_mul_(gradients, torch.where(finite, (GRADIENT_BOUND / norm).clamp(max=1), 0))
        if momenta := self._momenta():
            torch._foreach_mul_(momenta, finite.to(norm.dtype))

    def _momenta(self) -> list[Tensor]:
        states = (*self.muon.state.values(), *self.adamw.state.values())
        return [state[name] for state in states for name in MOMENTUM if name in state]

    def take_skipped(self) -> int:
        """How many steps were left out since this was last asked; waits for the device."""
        count = int(self._skipped)
        self._skipped.zero_()
        return count

    def state_dict(self) -> dict[str, object]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, dict[str, object]]) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])


def _matrix(weight: Tensor) -> Tensor:
    """[out, in, k, k] as [out, in k k] in the same memory, the columns in the order that they lie in."""
    in_order = weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)
    return in_order.view(weight.shape[0], -1)


def _columns(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `weight` with the columns of `_matrix(weight)`, whatever its own layout."""
    in_order = gradient if weight.is_contiguous() else gradient.permute(0, 2, 3, 1)
    return in_order.reshape(weight.shape[0], -1)
