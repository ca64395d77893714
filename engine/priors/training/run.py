"""A training run: everything that changes while a network trains, and the four ways one begins."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..edm import EDMDenoiser
from ..unet import UNet, UNetConfig
from . import carry, checkpoint, history
from .data import PhotoBank
from .optimizers import Optimizers
from .recipe import Recipe, denoising_loss, draw_sigma


@dataclass
class Run:
    """Model, weight average, optimisers and random state, after `seen` crops and `seconds` of all chunks together.

    stretches: the settings so far, the recipe's last. A run that an old checkpoint began is known from there on alone.
    """

    recipe: Recipe
    device: torch.device
    model: EDMDenoiser
    average: EDMDenoiser
    optimizers: Optimizers
    generator: torch.Generator
    stretches: history.History
    seen: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, recipe: Recipe, device: torch.device) -> Run:
        """From random weights, drawn from the recipe's seed."""
        torch.manual_seed(recipe.seed)
        model = EDMDenoiser(UNet(recipe.network), recipe.sigma_data)
        # The annotations of Module.to leave out memory_format, which its documentation has.
        model.to(device, memory_format=weight_layout(device))  # type: ignore[call-overload]
        generator = torch.Generator(device).manual_seed(recipe.seed)
        average, optimizers = copy.deepcopy(model), Optimizers(model, recipe)
        return cls(recipe, device, model, average, optimizers, generator, history.begun(recipe))

    @classmethod
    def resume(cls, path: Path, device: torch.device, changes: dict[str, Any]) -> Run:
        """Go on from a checkpoint, exactly; `changes` replaces settings of its recipe (the length of the run, say)."""
        state = checkpoint.load(path, device)
        run = cls.start(replace(saved_recipe(state["recipe"]), **changes), device)
        run.model.load_state_dict(state["model"])
        run.average.load_state_dict(state["average"])
        run.optimizers.load_state_dict(state["optimizers"])
        run.generator.set_state(state["generator"].cpu())
        run._go_on(state)
        return run

    @classmethod
    def from_prior(cls, name_or_path: str, device: torch.device, recipe: Recipe) -> Run:
        """From the weights of an edm-unet prior, for the model and its average. The optimisers are fresh, so the rate warms
        up; the crops that the prior has seen before are not counted. The recipe's network is the prior's.

        Raises PriorError for a prior that cannot be read, ValueError for one with another kind of network.
        """
        from ..prior import load_prior

        prior = load_prior(name_or_path)
        module = copy.deepcopy(prior.module("cpu"))
        if not (isinstance(module, EDMDenoiser) and isinstance(module.network, UNet)):
            raise ValueError(
                f"training starts from priors with lmaps' own U-Net; {prior.name!r} is {prior.config.architecture}"
            )
        seen = prior.config.notes.get("images_seen", "an unknown number of")
        source = f"{prior.name} {prior.digest[:12]}, {seen} crops"
        shape = {"network": module.network.config, "sigma_data": module.sigma_data}
        run = cls.start(replace(recipe, started_from=source, **shape), device)  # type: ignore[arg-type]
        run._take(module.state_dict(), module.state_dict())
        return run

    @classmethod
    def from_carried(cls, folder: Path, device: torch.device, changes: dict[str, Any]) -> Run:
        """Go on from what `carry.write` carried away: all but the optimisers, whose rate warms up again.

        Where only the average was carried, the model begins as the average.
        """
        state = carry.read(folder)
        recipe = saved_recipe(state["recipe"])
        run = cls.start(replace(recipe, warmup_from=state["seen"], **changes), device)
        run._take(state.get("model", state["average"]), state["average"])
        # A generator's state fits only the kind of device that it came from; elsewhere the crops are drawn anew.
        if state["device"] == device.type:
            run.generator.set_state(state["generator"].cpu())
        else:
            run.generator.manual_seed(recipe.seed + state["seen"])
        run._go_on(state)
        return run

    def _go_on(self, state: dict[str, Any]) -> None:
        self.seen, self.seconds = state["seen"], state.get("seconds", 0.0)
        self.stretches = history.continued(history.saved(state), self.recipe, self.seen)

    def _take(self, model: dict[str, Tensor], average: dict[str, Tensor]) -> None:
        for module, weights in ((self.model, model), (self.average, average)):
            module.load_state_dict({key: value.float() for key, value in weights.items()})

    def save(self, path: Path) -> None:
        """The whole state, to resume from exactly."""
        checkpoint.save(
            path,
            recipe=self.recipe,
            stretches=self.stretches,
            seen=self.seen,
            seconds=self.seconds,
            model=self.model,
            average=self.average,
            optimizers=self.optimizers,
            generator=self.generator,
        )

    def step(self, bank: PhotoBank) -> Tensor:
        """One batch; returns its loss as a tensor, so that nothing waits for the device."""
        recipe = self.recipe
        clean = bank.crops(recipe.batch, recipe.crop, self.generator)
        sigma = draw_sigma(recipe.batch, self.generator, self.device)
        noise = torch.randn(clean.shape, generator=self.generator, device=self.device)
        clean = clean.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = denoising_loss(self.model, clean, sigma, noise, recipe.sigma_data)
        loss.backward()
        self.optimizers.step(recipe.rate_factor(self.seen, self.seconds))
        self._update_average()
        self.seen += recipe.batch
        return loss.detach()

    @property
    def finished(self) -> bool:
        return self.recipe.finished(self.seen, self.seconds)

    def is_finite(self) -> bool:
        """Whether every weight is, of the model and of the average; waits for the device."""
        weights = [p.detach() for p in (*self.model.parameters(), *self.average.parameters())]
        return bool(torch.nn.utils.get_total_norm(weights).isfinite())

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = self.recipe.ema_decay(self.seen)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)


def weight_layout(device: torch.device) -> torch.memory_format:
    """Of the convolutions: cuDNN's fast ones want the channels last. On a CPU the order stays what checkpoints have."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format


def saved_recipe(saved: dict[str, Any]) -> Recipe:
    """The recipe of a checkpoint; settings that it does not have yet take their defaults."""
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in saved["network"].items()}
    return Recipe(network=UNetConfig(**shape), **{k: v for k, v in saved.items() if k != "network"})
