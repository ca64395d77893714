from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmaps.engine.priors.training import carry
from lmaps.engine.priors.training.recipe import RECIPES, Recipe
from lmaps.engine.priors.training.run import Run
from lmaps.engine.priors.unet import UNet

from .conftest import same

CPU = torch.device("cpu")


@pytest.fixture
def run(recipe: Recipe) -> Run:
    run = Run.start(recipe, CPU)
    for parameter in (*run.model.parameters(), *run.average.parameters()):
        parameter.data.normal_()
    return run


def test_parts_are_small_and_no_old_one_stays(run: Run, tmp_path: Path) -> None:
    carry.write(tmp_path, run, part=4_000)
    many = sorted(tmp_path.glob("part-*.bin"))
    assert len(many) > 4
    assert all(part.stat().st_size <= 4_000 for part in many)
    assert torch.equal(carry.read(tmp_path)["model"]["network.stem.weight"], run.model.network.stem.weight)
    carry.write(tmp_path, run)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_does_not_fit_is_rounded_the_model_first(run: Run, tmp_path: Path) -> None:
    carry.write(tmp_path, run)
    whole = sum(part.stat().st_size for part in tmp_path.glob("part-*.bin"))
    parameters = sum(p.numel() for p in run.model.parameters())
    carry.write(tmp_path, run, total=whole - 1)
    state = carry.read(tmp_path)
    weight = run.model.network.stem.weight
    assert torch.equal(state["average"]["network.stem.weight"], run.average.network.stem.weight)
    assert torch.equal(state["model"]["network.stem.weight"], weight.half())
    carry.write(tmp_path, run, total=whole - 2 * parameters - 2000)
    assert carry.read(tmp_path)["average"]["network.stem.weight"].dtype == torch.float16
    with pytest.raises(ValueError, match=r"average takes [\d,]+ bytes in float16, more than the 5,000"):
        carry.write(tmp_path, run, total=5_000)


def test_where_little_fits_the_average_travels_alone(run: Run, tmp_path: Path) -> None:
    carry.write(tmp_path, run)
    whole = sum(part.stat().st_size for part in tmp_path.glob("part-*.bin"))
    carry.write(tmp_path, run, total=whole // 2)
    assert "model" not in carry.read(tmp_path)
    back = Run.from_carried(tmp_path, CPU, {})
    assert same(back.model.state_dict(), back.average.state_dict())
    for key, value in run.average.state_dict().items():
        carried = value.half().float() if value.ndim > 1 else value
        assert torch.equal(back.average.state_dict()[key], carried), key


def test_a_cut_while_writing_leaves_the_earlier_weights(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.seen = 8
    carry.write(tmp_path, run, part=4_000)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    run.seen = 16
    with monkeypatch.context() as patched:
        patched.setattr(carry, "_take_over", cut)
        with pytest.raises(KeyboardInterrupt):
            carry.write(tmp_path, run, part=4_000)
    assert carry.read(tmp_path)["seen"] == 8
    carry.write(tmp_path, run)
    assert carry.read(tmp_path)["seen"] == 16
    assert sorted(file.name for file in tmp_path.iterdir()) == ["carried.json", "part-00.bin"]


def test_both_recipes_fit_a_fresh_machine() -> None:
    """The average in 16 bits, a pack of --pack-megabytes 25 and this repository stay under 64 MB together."""
    with torch.device("meta"):
        parameters = max(sum(p.numel() for p in UNet(recipe.network).parameters()) for recipe in RECIPES.values())
    assert 2.1 * parameters < 24e6


def test_damage_and_absence_are_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no carried\.json"):
        carry.read(tmp_path)
    carry.write(tmp_path, run, part=8_000)
    part = tmp_path / "part-01.bin"
    data = bytearray(part.read_bytes())
    data[7] ^= 1
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"part-01\.bin is missing or damaged"):
        carry.read(tmp_path)
    part.unlink()
    with pytest.raises(ValueError, match=r"part-01\.bin is missing or damaged"):
        carry.read(tmp_path)
