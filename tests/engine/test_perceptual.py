"""ST-LPIPS against numbers of the authors' own package (stlpips-pytorch 0.0.2, computed once in an environment of its own)."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lmaps.engine import metrics, perceptual
from lmaps.engine.demo import photographs

# (photograph, height, width): distance of its coarse version, and of a paler one.
EXPECTED = {
    "alex": {
        ("astronaut", 128, 128): (0.184934, 0.142520),
        ("coffee", 65, 77): (0.182584, 0.195638),
        ("rocket", 96, 64): (0.017834, 0.091785),
    },
    "vgg": {
        ("astronaut", 128, 128): (0.314662, 0.140668),
        ("coffee", 65, 77): (0.234943, 0.235961),
        ("rocket", 96, 64): (0.051902, 0.069719),
    },
}
needs_weights = pytest.mark.skipif(perceptual.missing("alex") is not None, reason="stlpips-pytorch is not installed")


def cut(name: str, height: int, width: int) -> torch.Tensor:
    return photographs()[name][None, :, 40 : 40 + height, 60 : 60 + width]


def coarse(x: torch.Tensor) -> torch.Tensor:
    small = F.avg_pool2d(x, 4, ceil_mode=True)
    return F.interpolate(small, scale_factor=4, mode="nearest")[:, :, : x.shape[2], : x.shape[3]]


@needs_weights
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_the_distances_are_those_of_the_authors(net: str) -> None:
    distance = metrics.perceptual(f"st-lpips-{net}")
    for (name, height, width), expected in EXPECTED[net].items():
        x = cut(name, height, width)
        for changed, value in zip((coarse(x), 0.6 * x + 0.1, x), (*expected, 0.0), strict=True):
            assert float(distance(changed, x)) == pytest.approx(value, abs=2e-5)


@needs_weights
def test_a_batch_equals_its_images_alone() -> None:
    x = torch.cat([cut("astronaut", 48, 40), cut("coffee", 48, 40)])
    distance = metrics.perceptual("st-lpips-alex")
    got = distance(coarse(x), x)
    assert got.shape == (2,)
    alone = torch.cat([distance(coarse(a), a) for a in x.split(1)])
    torch.testing.assert_close(got, alone, rtol=0, atol=0)


@needs_weights
def test_auto_takes_what_can_run_and_labels_name_the_network() -> None:
    chosen = metrics.perceptual()
    assert chosen.label in ("LPIPS (AlexNet)", "ST-LPIPS (AlexNet)")
    assert metrics.perceptual("st-lpips-vgg").label == "ST-LPIPS (VGG)"


@needs_weights
def test_pictures_too_small_for_the_network() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        metrics.perceptual("st-lpips-alex")(torch.zeros(1, 3, 31, 40), torch.zeros(1, 3, 31, 40))


def test_names_that_do_not_exist_and_weights_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="st-lpips-vgg"):
        metrics.perceptual("lpips-resnet")
    monkeypatch.setattr(perceptual, "PACKAGE", "no-such-package")
    with pytest.raises(RuntimeError, match="no-such-package, which is not installed"):
        metrics.perceptual("st-lpips-vgg")
    monkeypatch.setattr(metrics, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="lpips-alex: it needs torchvision"):
        metrics.perceptual()
