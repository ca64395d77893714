"""The classical methods on cases with a known answer: a baseline with a bug in it would flatter the prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from bench.classical import deblurring, denoising, inpainting, pointwise, upscaling, variational
from bench.classical.cases import CASES, SIGMA_Y, get
from bench.classical.measurement import Measurement, Method, Pixels
from bench.classical.tuning import at_an_end, best_settings, measurements, psnr, runnable, settings, to_toml, tune
from lmaps.engine import operators
from lmaps.engine.operators import Operator

H, W = 48, 56


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """[1, 3, 48, 56] in [-1, 1], with edges and texture."""
    pixels = data.astronaut()[100 : 100 + 4 * H : 4, 180 : 180 + 4 * W : 4]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def unit(x: Tensor) -> Pixels:
    return (x[0].permute(1, 2, 0).double().numpy() + 1) / 2


def measured(x: Tensor, operator: Operator, sigma_y: float = 0.0) -> Measurement:
    return Measurement.of(operator.degrade(x, sigma_y, seed=5), operator, sigma_y)


def test_a_measurement_is_in_units_of_0_to_1(photo: Tensor) -> None:
    m = measured(photo, operators.SuperResolution(4), 0.1)
    assert m.size == (H, W)
    assert m.noise == pytest.approx(0.05)
    assert m.y.shape == (H // 4, W // 4, 3)
    clean = measured(photo, operators.SuperResolution(4)).y
    assert (m.y - clean).std() == pytest.approx(m.noise, rel=0.1)


def test_wiener_inverts_a_symmetric_blur_with_reflected_border(photo: Tensor) -> None:
    m = measured(photo.double(), operators.GaussianBlur(9, 0.5))
    assert np.abs(deblurring.wiener(m, 1e-12) - unit(photo)).max() < 1e-4


def test_wiener_inverts_a_lopsided_blur_away_from_the_border(photo: Tensor) -> None:
    kernel = torch.zeros(5, 5, dtype=torch.float64)
    kernel[2, 2], kernel[1, 3], kernel[4, 0] = 0.7, 0.2, 0.1
    m = measured(photo.double(), operators.Blur(kernel))
    inside = (slice(12, -12), slice(12, -12))
    assert np.abs(deblurring.wiener(m, 1e-10) - unit(photo))[inside].max() < 5e-3
    turned = measured(photo.double(), operators.Blur(kernel.flip(0, 1)))
    assert np.abs(deblurring.wiener(turned, 1e-10) - unit(photo))[inside].max() < 5e-3


@pytest.mark.parametrize(
    ("method", "chosen"),
    [
        (deblurring.wiener, {"balance": 0.005}),
        (deblurring.unsupervised_wiener, {}),
        (deblurring.richardson_lucy, {"iterations": 30}),
        (variational.tv_inverse, {"weight": 1e-4, "iterations": 200}),
    ],
)
def test_deconvolution_sharpens(photo: Tensor, method: object, chosen: dict[str, float]) -> None:
    m = measured(photo, operators.GaussianBlur(21, 1.5), 0.002)
    assert psnr(method(m, **chosen), photo) > psnr(m.y, photo) + 2  # type: ignore[operator]


def test_tv_of_a_step_is_the_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """min ||u - f||^2 / 2 + w TV(u) for a step between two halves of n columns: both move by w / n towards each other."""
    f = np.concatenate([np.full((6, 4, 3), 0.2), np.full((6, 4, 3), 0.8)], 1)
    want = np.concatenate([np.full((6, 4, 3), 0.21), np.full((6, 4, 3), 0.79)], 1)
    assert np.abs(denoising.tv(f, 0.04) - want).max() < 1e-3
    x = torch.from_numpy(2 * f.transpose(2, 0, 1) - 1)[None].float()
    identity = measured(x, operators.Inpainting(torch.ones(6, 8)))
    monkeypatch.setattr(variational, "INNER", 200)
    assert np.abs(variational.tv_inverse(identity, 0.04) - want).max() < 1e-3


def test_tv_fills_a_hole_in_a_flat_picture() -> None:
    flat = torch.tensor([0.3, -0.4, 0.9]).reshape(1, 3, 1, 1).expand(1, 3, H, W)
    m = measured(flat, operators.Inpainting.random(0.3, seed=1))
    assert np.abs(variational.tv_inverse(m, 0.002, iterations=200) - unit(flat)).max() < 0.02


def test_fills_keep_what_is_known_and_continue_it() -> None:
    ramp = np.linspace(0.2, 0.8, W)[None, :, None].repeat(H, 0).repeat(3, 2)
    x = torch.from_numpy(2 * ramp.transpose(2, 0, 1) - 1)[None]
    m = measured(x, operators.Inpainting.box(size=12, seed=3))
    hole = inpainting.missing(m)
    assert hole.sum() == 144
    assert np.abs(inpainting.filled(m, fill=inpainting.biharmonic) - ramp).max() < 1e-6
    for fill in (inpainting.telea, inpainting.navier_stokes):
        found = inpainting.filled(m, fill=fill)
        assert np.abs(found - ramp)[~hole].max() <= 0.5 / 255 + 1e-9
        assert np.abs(found - ramp)[hole].max() < 0.1


def test_clipped_values_are_undone_below_the_clip() -> None:
    levels = torch.linspace(-0.44, 0.44, H * W).reshape(1, 1, H, W).expand(1, 3, H, W).double()
    m = measured(levels, operators.HDR(2.0))
    assert np.abs(pointwise.unclipped(m, m.y, 0.7) - unit(levels)).max() < 1e-9
    white = measured(torch.ones(1, 3, H, W), operators.HDR(2.0))
    assert np.allclose(pointwise.unclipped(white, white.y, 0.7), 0.85)


def test_levels_come_out_of_the_noise(photo: Tensor) -> None:
    operator = operators.Quantize(2)
    assert np.allclose(pointwise.snapped(measured(photo, operator, SIGMA_Y)), unit(operator(photo)), atol=1e-6)


def test_enlarging_keeps_a_ramp_in_place() -> None:
    small = np.arange(12.0)[None, :, None].repeat(10, 0).repeat(3, 2) / 12
    from PIL import Image

    large = upscaling.enlarged(small, (40, 48), Image.Resampling.BICUBIC)
    want = ((np.arange(48) + 0.5) / 4 - 0.5) / 12
    assert np.abs(large[:, 12:-12] - want[None, 12:-12, None]).max() < 1e-6


def test_bm3d_takes_noise_away_and_is_not_run_twice(photo: Tensor) -> None:
    pytest.importorskip("bm3d")
    m = measured(photo, operators.Denoise(), 0.2)
    first = denoising.bm3d(m.y, m.noise)
    assert psnr(first, photo) > psnr(m.y, photo) + 4
    first[:] = 0
    assert denoising.bm3d(m.y, m.noise).mean() > 0.1, "what is kept must not be the caller's to change"


@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith("box")])
def test_every_method_gives_a_picture(case: str, photo: Tensor) -> None:
    (m,) = measurements(get(case), [photo])
    for method in get(case).methods:
        if "bm3d" in method.needs or not runnable(method):
            continue
        chosen = {name: ladder[0] for name, ladder in method.grid.items()}
        x = method.run(m, **chosen)
        assert x.shape == (H, W, 3), method.name
        assert np.isfinite(x).all(), method.name


def test_the_search_finds_the_top_of_a_hill_and_asks_nothing_twice() -> None:
    asked = []

    def score(chosen: dict[str, float]) -> float:
        asked.append(tuple(chosen.values()))
        return -((chosen["a"] - 5) ** 2) - (chosen["b"] - chosen["a"] / 2 - 0.5) ** 2

    method = Method("hill", denoising.tv, {"a": tuple(range(8)), "b": tuple(range(6))})
    assert best_settings(method, score) == ({"a": 5, "b": 3}, 0.0)  # type: ignore[arg-type]
    assert len(asked) == len(set(asked))
    assert at_an_end(method, {"a": 5, "b": 3}) == []
    assert at_an_end(method, {"a": 7, "b": 0}) == ["a", "b"]


def test_tuning_picks_what_is_best_on_the_photographs(photo: Tensor) -> None:
    case = get("jpeg-5")
    method = next(m for m in case.methods if m.name == "TV")
    chosen, best = tune(case, method, [photo])
    (m,) = measurements(case, [photo])
    assert best == pytest.approx(psnr(method.run(m, **chosen), photo))
    assert all(best >= psnr(method.run(m, weight=w), photo) - 1e-9 for w in (0.01, 0.05, 0.3))


def test_every_method_has_its_settings_in_the_grid() -> None:
    for case in CASES.values():
        for method in case.methods:
            found = settings(case.name, method)
            assert all(found[name] in ladder for name, ladder in method.grid.items()), (case.name, method.name)


def test_a_method_that_was_never_tuned_is_refused() -> None:
    with pytest.raises(KeyError, match=r"'new' was never tuned for 'sr4': run python -m bench\.classical"):
        settings("sr4", Method("new", denoising.tv, {"weight": (1, 2)}))


def test_settings_survive_the_file() -> None:
    import tomllib

    table = {"box-64": {"BM3D, Telea": {"sigma": 0.025, "psnr": 26.91}, "Telea": {"psnr": 25.8}}}
    assert tomllib.loads(to_toml(table)) == table
