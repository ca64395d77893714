"""A prior is tried on a photograph: right and wrong facts about one and the same network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.demo import photographs
from lmaps.engine.priors import NoiseSchedule, Prior, PriorError, load_prior
from lmaps.engine.priors.trial import Gain, try_out


class NoiseOfPhoto(nn.Module):
    """The shipped prior, asked as a DDPM network is: the noise in u = (clean + sigma noise) / sqrt(1 + sigma^2)."""

    def __init__(self) -> None:
        super().__init__()
        self.photo = load_prior("photo").module()
        self.register_buffer("sigmas", torch.from_numpy(NoiseSchedule().log_sigmas()).exp().float(), persistent=False)

    def forward(self, u: Tensor, t: Tensor) -> Tensor:
        sigma = self.sigmas[t]
        s = sigma.reshape(-1, 1, 1, 1)
        x = u * (1 + s**2).sqrt()
        noise: Tensor = (x - self.photo(x, sigma)) / s
        return noise


def gains(**facts: object) -> list[Gain]:
    options = {"prediction": "epsilon", "timestep": "nearest", "whole_steps": True, "channels": 3, "multiple": 8}
    prior = Prior.from_module(NoiseOfPhoto(), **{**options, **facts})  # type: ignore[arg-type]
    return try_out(prior, photographs()["coffee"])


def test_right_facts_remove_noise() -> None:
    found = gains()
    assert [gain.sigma for gain in found] == [0.05, 0.3, 1.0]
    assert all(gain.after > gain.before + 5 for gain in found)
    assert not any(gain.wrong for gain in found)


def test_smaller_errors_show_in_the_figures() -> None:
    assert gains(prediction="v")[-1].after < gains()[-1].after - 5


@pytest.mark.parametrize("facts", [{"prediction": "sample"}, {"value_range": (0.0, 255.0)}])
def test_wrong_facts_are_found_out(facts: dict[str, object]) -> None:
    assert any(gain.wrong for gain in gains(**facts))


def test_a_photograph_is_fitted_to_the_network() -> None:
    seen = []

    class Spy(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            seen.append(x.shape)
            return x

    photo = torch.rand(3, 60, 90)
    (one,) = try_out(Prior.from_module(Spy(), prediction="denoised", channels=1, multiple=1), photo, (0.1,))
    assert seen == [(1, 1, 128, 128)]
    assert one.wrong
    assert one.before == pytest.approx(26, abs=0.2)
    assert one.faded > one.before
    with pytest.raises(PriorError, match="network of 4 channels"):
        try_out(Prior.from_module(Spy(), prediction="denoised", channels=4, multiple=1), photo)
