"""The 2-D mixture of Appendix A as `bench.mixture` draws it: its closed forms on a grid, and what Figure 3 claims."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import mixture

SIDE = 161


def grid() -> torch.Tensor:
    line = torch.linspace(-3, 3, SIDE, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


def test_posterior_is_prior_times_likelihood() -> None:
    points = grid()
    target = mixture.posterior(mixture.PRIOR, mixture.Y, mixture.SIGMA_Y)
    log_product = mixture.PRIOR.log_density(points) - (points[:, 0] - mixture.Y) ** 2 / (2 * mixture.SIGMA_Y**2)
    expected = log_product.softmax(0)
    got = target.log_density(points).softmax(0)
    assert (got - expected).abs().sum() < 1e-6
    assert (mixture.PRIOR.log_density(points).softmax(0) - expected).abs().sum() > 0.5


def test_global_map_is_the_highest_point_of_the_grid() -> None:
    target = mixture.posterior(mixture.PRIOR, mixture.Y, mixture.SIGMA_Y)
    points = grid()
    highest = points[target.log_density(points).argmax()]
    assert torch.allclose(mixture.global_map(target), highest, atol=6 / (SIDE - 1))


def test_true_samples_have_the_share_that_defines_low_density() -> None:
    target = mixture.posterior(mixture.PRIOR, mixture.Y, mixture.SIGMA_Y)
    x = mixture.draw(target, 20_000, seed=1)
    level = float(target.log_density(x).quantile(mixture.LOW))
    part = mixture.shares(mixture.draw(target, 20_000, seed=2), target, level)
    assert part.low_density == pytest.approx(mixture.LOW, abs=0.003)
    half_way = target.means[target.weights > 0.01].mean(0, keepdim=True)
    assert mixture.shares(half_way, target, level).between_modes == 1
    assert mixture.shares(half_way + torch.tensor([[-9.0, 0.0]]).double(), target, level).between_modes == 0


def test_figure_3s_claim() -> None:
    """No sample of LMAPS falls between modes or in low density, many of DPS and DAPS do; and it scores the higher density."""
    target = mixture.posterior(mixture.PRIOR, mixture.Y, mixture.SIGMA_Y)
    level = float(target.log_density(mixture.draw(target, 20_000, seed=0)).quantile(mixture.LOW))
    found, height = {}, {}
    for name in mixture.LABELS:
        for exact in (True, False):
            x = mixture.sample(name, exact, target, count=300, steps=20, seed=0)
            found[name, exact] = mixture.shares(x, target, level)
            height[name, exact] = float(target.log_density(x).mean())
    for exact in (True, False):
        assert found["lmaps", exact] == mixture.Shares(low_density=0.0, between_modes=0.0)
        for other in ("dps", "daps"):
            assert height["lmaps", exact] > height[other, exact] + 0.2
    for other in ("dps", "daps"):
        assert found[other, False].low_density > 0.05
    assert found["daps", False].between_modes > 0.02
    # Draws of the true p(x0 | x, y) are as often there as the posterior itself.
    assert found["daps", True].low_density == pytest.approx(mixture.LOW, abs=0.015)


def test_the_table_tells_every_setting() -> None:
    assert mixture.set_to("dps") == "zeta 0.3, clip False"
    assert "lr 0.003, tau 0.3, langevin_steps 100" in mixture.set_to("daps")


def test_exact_draws_sample_the_posterior() -> None:
    """Eq. 31 with the true p(x0 | x, y) is exact whatever the grid: component shares and means of p(x0 | y)."""
    target = mixture.posterior(mixture.PRIOR, mixture.Y, mixture.SIGMA_Y)
    x = mixture.sample("daps", True, target, count=1500, steps=6, seed=0)
    upper = x[:, 1] > -0.3
    weight = float(target.weights[1] / (target.weights[1] + target.weights[2]))
    assert float(upper.double().mean()) == pytest.approx(weight, abs=0.05)
    assert torch.allclose(x[upper].mean(0), target.means[1], atol=0.05)


def test_command_writes_a_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mixture.main(["--samples", "20", "--steps", "4", "-o", str(tmp_path)]) == 0
    table = (tmp_path / "mixture.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert table.count("%") == 16
    with Image.open(tmp_path / "mixture.png") as picture:
        assert picture.size == (4 * mixture.PANEL, 2 * (mixture.PANEL + 20))
        assert len(picture.convert("RGB").getcolors(10_000) or []) > 50
    with pytest.raises(SystemExit):
        mixture.main(["--steps", "0"])
