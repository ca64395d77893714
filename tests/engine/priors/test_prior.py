from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lmaps.engine.priors import PriorError, load_prior

from ...tiny import random_denoiser


def test_denoise_is_the_network_on_the_mirrored_picture(tiny_prior_folder: Path) -> None:
    network = random_denoiser()
    network.load_state_dict({key: v.half().float() if v.ndim > 1 else v for key, v in network.state_dict().items()})
    x, sigma = torch.randn(2, 3, 37, 51), torch.tensor([0.3, 2.0])
    with torch.no_grad():
        want = network(functional.pad(x, (0, 5, 0, 3), mode="reflect"), sigma)[..., :37, :51]
    assert torch.allclose(load_prior(tiny_prior_folder).denoise(x, sigma), want, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (3, 65), (41, 16)])
def test_any_size(size: tuple[int, int], tiny_prior_folder: Path) -> None:
    y = load_prior(tiny_prior_folder).denoise(torch.randn(1, 3, *size), torch.tensor([0.5]))
    assert y.shape == (1, 3, *size)
    assert torch.isfinite(y).all()


def test_denoise_can_be_differentiated(tiny_prior_folder: Path) -> None:
    prior = load_prior(tiny_prior_folder)
    module = prior.module()
    x, sigma, direction = torch.randn(1, 3, 13, 16), torch.tensor([0.7]), torch.randn(1, 3, 13, 16)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(prior.denoise(x, sigma).square().sum(), x)
    module.double()  # finite differences need the digits
    try:
        pad = (0, 0, 0, 3)

        def loss(t: float) -> torch.Tensor:
            moved = functional.pad(x.detach().double() + t * direction.double(), pad, mode="reflect")
            return module(moved, sigma)[..., :13, :].double().square().sum()

        slope = (loss(1e-4) - loss(-1e-4)) / 2e-4
    finally:
        module.float()
    assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "sigma", "message"),
    [
        ((3, 16, 16), [0.1], r"x must be float32 \[B, 3, H, W\].*\(3, 16, 16\)"),
        ((1, 1, 16, 16), [0.1], r"x must be float32 \[B, 3, H, W\]"),
        ((0, 3, 16, 16), [], "not empty"),
        ((2, 3, 16, 16), [0.1], "sigma must hold 2 positive noise levels"),
        ((1, 3, 16, 16), [0.0], "sigma must hold 1 positive noise levels"),
        ((1, 3, 16, 16), [float("nan")], "sigma must hold 1 positive noise levels"),
    ],
)
def test_bad_arguments(shape: tuple[int, ...], sigma: list[float], message: str, tiny_prior_folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_prior(tiny_prior_folder).denoise(torch.zeros(shape), torch.tensor(sigma))


def test_the_network_is_built_once_whoever_asks(tiny_prior_folder: Path) -> None:
    prior = load_prior(tiny_prior_folder)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(id(prior.module()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_loading_is_quick_and_needs_no_run_time(tiny_prior_folder: Path) -> None:
    code = (
        "import sys, time, torch; start = time.perf_counter()\n"
        "from lmaps.engine.priors import load_prior\n"
        f"load_prior({str(tiny_prior_folder)!r}).module()\n"
        "assert time.perf_counter() - start < 2\n"
        "heavy = {'onnx', 'onnxruntime', 'openvino', 'onnxscript', 'triton'} & {m.split('.')[0] for m in sys.modules}\n"
        "assert not heavy, heavy\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_that_change_after_loading_are_not_used(tiny_prior_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_prior_folder, tmp_path / "tiny"))
    prior = load_prior(folder)
    data = bytearray((folder / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(data)
    for use in (prior.module, prior.onnx_path):
        with pytest.raises(PriorError, match=r"weights\.safetensors is not the file"):
            use()
