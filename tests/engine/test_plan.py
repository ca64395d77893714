"""compile, Restorer and restore: promises to callers."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import lmaps
from lmaps.engine.demo import photographs
from lmaps.engine.operators import Operator


@pytest.fixture(scope="module")
def restorer(tiny_prior_folder: Path) -> lmaps.Restorer:
    return lmaps.compile(
        "sr4", str(tiny_prior_folder), size=(40, 32), batch=2, steps=3, precision="float32", preset="paper"
    )


def measurements(count: int) -> Tensor:
    return torch.rand(count, 3, 10, 8) * 2 - 1


def test_result_has_what_it_promises(restorer: lmaps.Restorer) -> None:
    result = restorer(measurements(1))
    assert result.image.shape == (1, 3, 40, 32)
    assert result.image.dtype == torch.float32
    assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1
    assert result.status == "ok"
    for key in (
        "steps",
        "strategy",
        "backend",
        "precision",
        "total_s",
        "denoise_s",
        "local_map_s",
        "solver",
        "compile_s",
    ):
        assert key in result.stats
    assert result.stats["steps"] == result.stats["denoiser_calls"] == 3
    parts = sum(result.stats[key] for key in ("denoise_s", "local_map_s", "transition_s"))
    assert 0 < parts <= result.stats["total_s"]


def test_any_number_of_images_each_as_if_alone(restorer: lmaps.Restorer) -> None:
    y = measurements(5)
    together = restorer(y, seed=3).image
    for index in range(5):
        assert torch.allclose(restorer(y[index : index + 1], seed=3 + index).image[0], together[index], atol=1e-5)


def test_arrays_are_taken_too(restorer: lmaps.Restorer) -> None:
    y = measurements(1)
    assert torch.equal(restorer(y.numpy().astype(np.float64)).image, restorer(y).image)
    mirrored = y.numpy()[..., ::-1]
    assert torch.equal(restorer(mirrored).image, restorer(y.flip(-1)).image)


@pytest.mark.parametrize("task", ["hdr", "jpeg", "quantize", "phase-retrieval"])
def test_a_measurement_may_be_part_of_a_gradient(tiny_prior_folder: Path, task: str) -> None:
    plan = lmaps.compile(task, str(tiny_prior_folder), size=(16, 16), steps=2, preset="paper", backend="torch")
    y = plan.operator(torch.rand(1, 3, 16, 16) - 0.5)
    traced = y.clone().requires_grad_(True)
    assert torch.equal(plan(traced).image, plan(y).image)


def test_seeds_of_numpy_are_whole_numbers(restorer: lmaps.Restorer) -> None:
    y = measurements(2)
    assert torch.equal(restorer(y, seed=np.int64(3)).image, restorer(y, seed=3).image)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="seed must be a whole number, got True"):
        restorer(y, seed=True)


def test_a_prior_is_a_name_a_folder_or_a_prior(tiny_prior_folder: Path) -> None:
    plan = lmaps.compile("sr4", tiny_prior_folder, size=(16, 16), steps=2, preset="paper", backend="torch")
    assert plan.compiled["prior"] == "tiny"
    with pytest.raises(TypeError, match="a name, a folder or a Prior, got 3"):
        lmaps.compile("sr4", 3, size=(16, 16))  # type: ignore[arg-type]


def test_threads_share_one_restorer(restorer: lmaps.Restorer) -> None:
    ys = [measurements(2) for _ in range(6)]
    expected = [restorer(y, seed=i).image for i, y in enumerate(ys)]
    got: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda i=i, y=y: got.update({i: restorer(y, seed=i).image})) for i, y in enumerate(ys)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, image in enumerate(expected):
        assert torch.allclose(got[i], image, atol=1e-5)


def test_cancelling_returns_the_latest_estimate(restorer: lmaps.Restorer) -> None:
    result = restorer(measurements(3), callback=lambda p: p.step < 2)
    assert result.status == "cancelled"
    assert result.stats["steps"] == 2
    assert result.image.shape[0] == 3
    assert "callback" in result.message


def test_divergence_is_a_status_and_the_image_is_finite(tiny_prior_folder: Path) -> None:
    wild = lmaps.compile(
        "hdr", str(tiny_prior_folder), size=(16, 16), steps=3, eta=1e30, strategy="reference", preset="paper"
    )
    result = wild(torch.rand(1, 3, 16, 16))
    assert result.status == "diverged"
    assert torch.isfinite(result.image).all()


@pytest.mark.parametrize(
    ("y", "error", "named"),
    [
        (torch.zeros(1, 3, 11, 8), ValueError, r"\[B, 3, 10, 8\].*11"),
        (torch.zeros(1, 1, 10, 8), ValueError, r"\[B, 3, 10, 8\]"),
        (torch.full((1, 3, 10, 8), float("inf")), ValueError, "not finite"),
        (torch.zeros(1, 3, 10, 8, dtype=torch.uint8), TypeError, "uint8"),
        (torch.zeros(0, 3, 10, 8), ValueError, "at least one"),
    ],
)
def test_bad_measurements_are_named(restorer: lmaps.Restorer, y: Tensor, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        restorer(y)


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"size": (0, 8)}, ValueError, "0x8"),
        ({"size": 8}, ValueError, "size"),
        ({"size": (10, 10)}, ValueError, "4"),
        ({"batch": 0}, ValueError, "batch"),
        ({"steps": 0}, ValueError, "steps"),
        ({"noise": -1.0}, ValueError, "-1"),
        ({"preset": "nope"}, ValueError, "nope"),
        ({"solver": "dap"}, ValueError, "daps"),
        ({"device": "abacus"}, ValueError, "abacus"),
        ({"k9": 1}, TypeError, "k9"),
        ({"backend": "abacus"}, ValueError, "abacus"),
    ],
)
def test_bad_plans_are_named(
    tiny_prior_folder: Path, changes: dict[str, object], error: type[Exception], named: str
) -> None:
    arguments: dict[str, object] = {"size": (16, 16), "preset": "paper", **changes}
    with pytest.raises(error, match=named):
        lmaps.compile("sr4", str(tiny_prior_folder), **arguments)  # type: ignore[arg-type]


def test_an_operator_with_only_forward_is_restored(tiny_prior_folder: Path) -> None:
    class Fade(Operator):
        def forward(self, x: Tensor) -> Tensor:
            return 0.5 * x

    own = lmaps.compile(Fade(), str(tiny_prior_folder), size=(17, 23), steps=2, preset="paper")
    assert own(torch.zeros(1, 3, 17, 23)).stats["strategy"] == "autograd"


@pytest.mark.parametrize("kind", ["path", "pil", "uint8", "uint16", "float", "tensor"])
def test_restore_takes_a_picture_in_any_form(kind: str, tmp_path: Path, tiny_prior_folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "in.png")
    scaled = pixels.astype(np.float32) / 255
    forms = {
        "path": tmp_path / "in.png",
        "pil": picture,
        "uint8": pixels,
        "uint16": pixels.astype(np.uint16) * 257,
        "float": scaled,
        "tensor": torch.from_numpy(scaled).permute(2, 0, 1),
    }
    options = {"prior": str(tiny_prior_folder), "steps": 2, "preset": "paper", "precision": "float32"}
    got = lmaps.restore(forms[kind], "denoise", **options)
    assert torch.allclose(got.image, lmaps.restore(pixels, "denoise", **options).image, atol=1e-6)


def test_restore_reads_the_tables_of_a_jpeg_file(tmp_path: Path, tiny_prior_folder: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))
    picture.save(tmp_path / "in.jpg", quality=30)
    result = lmaps.restore(tmp_path / "in.jpg", "jpeg", prior=str(tiny_prior_folder), steps=2, preset="paper")
    assert result.stats["strategy"] == "onchip"
    assert result.image.shape == (1, 3, 16, 24)


@pytest.mark.parametrize(
    ("image", "error", "named"),
    [
        (np.zeros((4, 4, 2), np.float32), ValueError, r"\[4, 4, 2\]"),
        (np.zeros((4, 4), np.int64), TypeError, "int64"),
        (torch.full((3, 4, 4), 200.0), ValueError, "200"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), TypeError, "int32"),
        ("missing.png", ValueError, "missing.png"),
    ],
)
def test_restore_names_what_is_no_picture(image: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        lmaps.restore(image, "denoise")


def test_restore_sends_phase_retrieval_elsewhere() -> None:
    with pytest.raises(ValueError, match="npz"):
        lmaps.restore(np.zeros((8, 8, 3), np.uint8), "phase-retrieval")


# Mean PSNR in dB over the four bundled photographs that the demo's restorations must keep (0.3 dB below what was measured).
FLOORS = {
    "denoise": 38.8,
    "sr4": 26.2,
    "inpaint-box": 20.0,
    "inpaint-random": 28.8,
    "deblur-gaussian": 26.3,
    "deblur-motion": 26.4,
    "deblur-nonlinear": 27.7,
    "hdr": 25.4,
    "jpeg": 24.7,
    "quantize": 23.7,
}
QUICK = ("sr4", "inpaint-random", "deblur-gaussian", "deblur-motion", "jpeg")


@pytest.mark.parametrize("task", [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in FLOORS])
def test_bundled_photographs_stay_above_their_floors(task: str) -> None:
    truth = torch.stack(list(photographs().values()))
    plan = lmaps.compile(task, size=(256, 256))
    y = plan.operator.degrade(2 * truth - 1, 0.05)
    error = (plan(y).image - truth).square().mean(dim=(1, 2, 3))
    assert float((-10 * error.log10()).mean()) >= FLOORS[task]
