"""The non-linear blur: its physics, and the BKSE network against the layout of the published checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmaps.engine.operators import MotionBlur, NonlinearBlur, Operator
from lmaps.engine.operators.kernel_wizard import KernelWizard, checkpoint_names
from lmaps.engine.operators.nonlinear_blur import from_light, to_light

from .cases import pictures, relative


class TwoConvolutions(nn.Module):
    """A residual block of the published network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 64, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu())


class Level(nn.Module):
    """A level of the published U-Net, nested in the one above; its first activation works in place on what it passes on."""

    def __init__(self, outer: int, inner: int, place: str, submodule: nn.Module | None = None) -> None:
        super().__init__()
        self.place = place
        reduce = nn.Conv2d(outer, inner, 4, 2, 1, bias=False)
        enlarge = nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1, bias=place == "outermost")
        last = nn.Tanh() if place == "outermost" else nn.Identity()
        middle = place != "outermost"
        self.down = nn.Sequential(*([nn.LeakyReLU(0.2, inplace=True)] if middle else []), reduce)
        if submodule is not None:
            self.submodule = submodule
        self.up = nn.Sequential(nn.ReLU(inplace=True), enlarge, last)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        if self.place == "innermost":
            return torch.cat((self.up(torch.cat((self.down(x), code), 1)), x), 1)
        inside = self.up(self.submodule(self.down(x), code))
        return inside if self.place == "outermost" else torch.cat((inside, x), 1)


class Published(nn.Module):
    """KernelWizard as its authors nest it, without the encoder of codes."""

    def __init__(self) -> None:
        super().__init__()
        leaky = nn.LeakyReLU(0.1)
        head = [nn.Conv2d(3, 64, 3, 1, 1), leaky, nn.Conv2d(64, 64, 3, 2, 1), leaky, nn.Conv2d(64, 64, 3, 2, 1), leaky]
        self.feature_extractor = nn.Sequential(*head, *[TwoConvolutions() for _ in range(10)])
        level: nn.Module = Level(512, 512, "innermost")
        for outer, inner in ((256, 512), (128, 256), (64, 128)):
            level = Level(outer, inner, "middle", level)
        self.adapter = nn.Module()
        self.adapter.model = Level(64, 64, "outermost", level)
        tail = [nn.Conv2d(64, 256, 3, 1, 1), nn.PixelShuffle(2), leaky, nn.Conv2d(64, 256, 3, 1, 1), nn.PixelShuffle(2)]
        tail += [leaky, nn.Conv2d(64, 64, 3, 1, 1), leaky, nn.Conv2d(64, 3, 3, 1, 1)]
        self.recon_trunk = nn.Sequential(*[TwoConvolutions() for _ in range(20)], *tail)

    def forward(self, sharp: Tensor, code: Tensor) -> Tensor:
        return sharp + self.recon_trunk(self.adapter.model(self.feature_extractor(sharp), code))


def encoder_shapes() -> Iterator[tuple[int, ...]]:
    """Weights of the published encoder of codes: 7x7, five reductions up to 1024 channels, four residual blocks; no bias."""
    yield (64, 128, 7, 7)
    for inputs, outputs in ((64, 128), (128, 256), (256, 512), (512, 1024), (1024, 1024)):
        yield (outputs, inputs, 3, 3)
    yield from [(1024, 1024, 3, 3)] * 8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Published]:
    torch.manual_seed(3)
    published = Published().eval()
    state = dict(published.state_dict())
    state["kernel_extractor.model.1.weight"] = torch.zeros(64, 128, 7, 7)
    path = tmp_path_factory.mktemp("bkse") / "weights.pth"
    torch.save(state, path)
    return path, published


def test_layout_has_the_size_of_the_published_checkpoint() -> None:
    """115.3 million parameters in 159 tensors, counting the encoder that is left out here."""
    with torch.device("meta"):
        network = KernelWizard()
    encoder = list(encoder_shapes())
    assert len(network.state_dict()) + len(encoder) == 159
    count = sum(p.numel() for p in network.parameters()) + sum(int(np.prod(s)) for s in encoder)
    assert round(count / 1e6, 1) == 115.3


def test_names_are_those_of_the_published_layout() -> None:
    with torch.device("meta"):
        published, network = Published().state_dict(), KernelWizard().state_dict()
    names = dict(checkpoint_names())
    assert set(names) == set(network)
    assert set(names.values()) == set(published)
    assert all(network[here].shape == published[there].shape for here, there in names.items())


def test_network_is_the_published_one(checkpoint: tuple[Path, Published]) -> None:
    path, published = checkpoint
    operator = NonlinearBlur(path)
    x = pictures((256, 128), torch.float32, batch=1)
    code = torch.from_numpy(np.random.RandomState(0).randn(1, 512, 2, 2) * 1.2).float()
    with torch.no_grad():
        expected = (published(0.5 * x + 0.5, code[..., :1]) * 2 - 1).clamp(-1, 1)
        assert relative(operator(x), expected) <= 1e-5
    assert not any(p.requires_grad for p in operator.parameters())


def test_network_takes_any_size_and_has_a_gradient(checkpoint: tuple[Path, Published]) -> None:
    operator = NonlinearBlur(checkpoint[0], seed=1)
    x = 0.5 * pictures((40, 70), torch.float32, batch=1)
    y = operator(x)
    assert y.shape == x.shape
    assert torch.isfinite(operator.vjp(x, y)).all()
    assert float((NonlinearBlur(checkpoint[0])(x) - y).abs().max()) > 0
    assert operator.describe() == {"operator": "NonlinearBlur", "weights": str(checkpoint[0]), "seed": 1}


def test_files_that_are_no_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.pth"):
        NonlinearBlur(tmp_path / "none.pth")
    other = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(3)}, other)
    with pytest.raises(ValueError, match=r"missing .*feature_extractor.* and \d+ more; unknown layer\.weight"):
        NonlinearBlur(other)
    torch.save([1, 2], other)
    with pytest.raises(ValueError, match="holds a list"):
        NonlinearBlur(other)
    torch.save(nn.Linear(2, 2), other)
    with pytest.raises(ValueError, match="cannot be read as a file of weights alone"):
        NonlinearBlur(other)
    other.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="cannot be read"):
        NonlinearBlur(other)


def test_response_curve_and_its_inverse() -> None:
    u = torch.linspace(-0.5, 1.5, 401, dtype=torch.float64).requires_grad_()
    light = to_light(u)
    assert float((from_light(light) - u).detach().abs().max()) <= 2e-5
    assert float(to_light(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)
    (slope,) = torch.autograd.grad(light.sum(), u)
    assert float(slope.min()) > 0


def test_light_of_a_constant_stays_and_edges_blur_in_light() -> None:
    operator = NonlinearBlur()
    flat = torch.full((1, 3, 40, 50), 0.37, dtype=torch.float64)
    assert float((operator(flat) - flat).abs().max()) <= 1e-4
    step = torch.full((1, 3, 64, 64), -0.9, dtype=torch.float64)
    step[..., 32:] = 0.9
    y = operator(step)
    assert float(y.diff(dim=-1).abs().max()) < 0.9
    # Half of the light is much brighter than half of the value.
    assert float(y.mean()) > float(step.mean()) + 0.02
    assert relative(operator(torch.cat([step, flat.new_zeros(1, 3, 64, 64)]))[:1], y) <= 1e-14


def test_each_corner_has_its_own_shake() -> None:
    operator = NonlinearBlur(seed=5)
    assert len({operator.model.shakes[i].seed for i in range(4)}) == 4
    impulse = torch.full((1, 3, 400, 400), -1.0, dtype=torch.float64)
    impulse[..., 2, 2] = 1.0
    light = to_light(0.5 * operator(impulse) + 0.5)[0, 0]
    point = torch.zeros((1, 1, 400, 400), dtype=torch.float64)
    point[..., 2, 2] = 1
    shaken = MotionBlur(31, 0.5, seed=5)(point)[0, 0]
    assert relative(light[:30, :30], shaken[:30, :30]) <= 0.1


def test_gradient_of_the_physics_is_right() -> None:
    operator, x = NonlinearBlur(seed=2), 0.7 * pictures((12, 15), batch=1)
    u, step = torch.randn(x.shape, dtype=torch.float64), torch.randn(x.shape, dtype=torch.float64)
    slope = float(((operator(x + 1e-6 * step) - operator(x - 1e-6 * step)) * u).sum() / 2e-6)
    assert float((operator.vjp(x, u) * step).sum()) == pytest.approx(slope, rel=1e-6)
    assert isinstance(operator, Operator)
    assert operator.differentiable
    assert not operator.linear


def test_gradient_is_finite_in_the_dark_and_beyond_white() -> None:
    x = torch.tensor([-3.0, -1.0, 0.999, 1.0, 4.0]).repeat(3, 4).reshape(1, 3, 4, 5)
    assert torch.isfinite(NonlinearBlur().vjp(x, torch.ones_like(x))).all()
