"""Pipelines that the diffusers library wrote itself, tiny and random, against its own schedulers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmaps.engine.denoisers import open_denoiser
from lmaps.engine.priors import PriorError, load_prior
from lmaps.engine.priors.convert import Facts, convert

diffusers = pytest.importorskip("diffusers")


def unet(out_channels: int = 3) -> Any:
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=16,
        out_channels=out_channels,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    )
    return network.eval()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("hub") / "ddpm-tiny"
    diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(pipeline: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pipeline, tmp_path / "ddpm-tiny"))


def edit(path: Path, **changes: Any) -> None:
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, **changes}))


def clean_by_scheduler(network: Any, scheduler: Any, x: Tensor, step: int) -> Tensor:
    """diffusers' own estimate of the clean picture, for x = clean + sigma_step noise."""
    u = x * scheduler.alphas_cumprod[step].sqrt()
    with torch.no_grad():
        found: Tensor = scheduler.step(network(u, step).sample, step, u).pred_original_sample
    return found


SCHEDULERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "epsilon, linear": (diffusers.DDPMScheduler, {}),
    "epsilon, scaled linear, DDIM": (
        diffusers.DDIMScheduler,
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    ),
    "v, cosine": (diffusers.DDPMScheduler, {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"}),
    "sample, 100 steps": (diffusers.DDPMScheduler, {"prediction_type": "sample", "num_train_timesteps": 100}),
    "sigmoid": (diffusers.DDPMScheduler, {"beta_schedule": "sigmoid"}),
    "given betas": (diffusers.DDPMScheduler, {"trained_betas": torch.linspace(0.001, 0.03, 200).tolist()}),
    "v, zero terminal SNR": (
        diffusers.DDIMScheduler,
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    ),
}


@pytest.mark.parametrize("case", SCHEDULERS)
def test_the_prior_answers_as_the_scheduler_does(case: str, folder: Path, tmp_path: Path) -> None:
    kind, options = SCHEDULERS[case]
    scheduler = kind(clip_sample=False, **options)
    scheduler.set_timesteps(scheduler.config.num_train_timesteps)
    scheduler.save_pretrained(folder / "scheduler")
    convert(folder, tmp_path / "prior", Facts(licence="MIT"))
    prior = load_prior(tmp_path / "prior")
    assert (prior.name, prior.channels, prior.multiple, prior.config.licence) == ("ddpm-tiny", 3, 2, "MIT")
    network, abar = unet(), scheduler.alphas_cumprod
    for step in (1, len(abar) // 3, len(abar) - 10):
        sigma = ((1 - abar[step]) / abar[step]).sqrt()
        x = torch.randn(1, 3, 10, 14) * (1 + sigma)
        want = clean_by_scheduler(network, scheduler, x, step)
        got = prior.denoise(x, sigma[None])
        assert float((got - want).norm() / want.norm()) < 2e-4


def test_channels_of_a_learnt_variance_are_dropped(tmp_path: Path) -> None:
    network, scheduler = unet(6), diffusers.DDPMScheduler(variance_type="learned_range", clip_sample=False)
    diffusers.DDPMPipeline(network, scheduler).save_pretrained(tmp_path / "six")
    convert(tmp_path / "six", tmp_path / "prior")
    x, sigma = torch.randn(1, 3, 8, 8), ((1 - scheduler.alphas_cumprod[300]) / scheduler.alphas_cumprod[300]).sqrt()
    got = load_prior(tmp_path / "prior").denoise(x, sigma[None])
    want = clean_by_scheduler(network, scheduler, x, 300)
    assert got.shape == x.shape
    assert float((got - want).norm() / want.norm()) < 2e-4


def test_early_pipelines_old_names_and_pickles(folder: Path, tmp_path: Path) -> None:
    """One folder for everything, a .bin file, and attention weights under the names they had."""
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copy(folder / "model_index.json", flat)
    shutil.copy(folder / "unet" / "config.json", flat)
    shutil.copy(folder / "scheduler" / "scheduler_config.json", flat)
    weights = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    old = {}
    for key, value in weights.items():
        for new, name in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            key = key.replace(f".{new}.", f".{name}.")
        old[key] = value
    assert old.keys() != weights.keys()
    torch.save(old, flat / "diffusion_pytorch_model.bin")
    convert(flat, tmp_path / "prior")
    stored = load_file(tmp_path / "prior" / "weights.safetensors")
    assert stored.keys() == weights.keys()
    assert all(torch.equal(stored[key], weights[key]) for key in weights)


@pytest.mark.slow
def test_its_graph_runs_without_diffusers(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "prior", graph=True)
    prior = load_prior(tmp_path / "prior")
    x, sigma = torch.randn(2, 3, 12, 20), torch.tensor([0.3, 2.0])
    want = prior.denoise(x, sigma)
    for backend in ("onnxruntime", "openvino"):
        denoiser = open_denoiser(prior, backend=backend, precision="float32", size=(12, 20), batch=2, device="cpu")
        assert float((denoiser(x, sigma) - want).norm() / want.norm()) < 1e-4


BREAKS: dict[str, tuple[Any, str]] = {
    "latent": (lambda f: edit(f / "model_index.json", vqvae=["diffusers", "VQModel"]), "works on the output of vqvae"),
    "conditional": (lambda f: edit(f / "unet/config.json", num_class_embeds=10), "wants a class with each picture"),
    "another network": (
        lambda f: edit(f / "unet/config.json", _class_name="UNet2DConditionModel"),
        "describes a UNet2DConditionModel; only the unconditional UNet2DModel",
    ),
    "another embedding": (
        lambda f: edit(f / "unet/config.json", time_embedding_type="fourier"),
        "'fourier' is not that",
    ),
    "another scheduler": (
        lambda f: edit(f / "scheduler/scheduler_config.json", _class_name="ScoreSdeVeScheduler"),
        "describes a ScoreSdeVeScheduler",
    ),
    "another prediction": (
        lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type="flow"),
        "prediction_type 'flow'; known are epsilon, v_prediction, sample",
    ),
    "another schedule": (
        lambda f: edit(f / "scheduler/scheduler_config.json", beta_schedule="exp"),
        "beta_schedule 'exp'",
    ),
    "bad betas": (lambda f: edit(f / "scheduler/scheduler_config.json", beta_end=7.0), "beta_start <= beta_end"),
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), "scheduler_config.json does not exist"),
    "no weights": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").unlink(),
        "unet has no weights: diffusion_pytorch_model.safetensors or .bin",
    ),
    "odd channels": (lambda f: edit(f / "unet/config.json", out_channels=5), "out_channels 5 must be in_channels 3"),
    "unknown setting": (
        lambda f: edit(f / "unet/config.json", heads=4),
        "settings do not fit 'diffusers-unet2d'.*heads",
    ),
    "other widths": (lambda f: edit(f / "unet/config.json", block_out_channels=[8, 32]), "has shape.*expected"),
    "config not JSON": (lambda f: (f / "unet/config.json").write_text("{"), "cannot be read as JSON"),
    "NaN": (lambda f: spoil(f / "unet/diffusion_pytorch_model.safetensors"), "not finite"),
}


def spoil(path: Path) -> None:
    weights = load_file(path)
    weights["conv_out.bias"][0] = float("nan")
    save_file(weights, path)


@pytest.mark.parametrize("case", BREAKS)
def test_what_cannot_be_used_is_named(case: str, folder: Path, tmp_path: Path) -> None:
    damage, message = BREAKS[case]
    damage(folder)
    with pytest.raises(PriorError, match=message):
        convert(folder, tmp_path / "prior")
    assert not (tmp_path / "prior").exists()


def test_a_name_on_the_hub_is_fetched(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    convert("someone/ddpm-tiny", tmp_path / "prior")
    assert load_prior(tmp_path / "prior").name == "ddpm-tiny"
    assert [name for name, _ in asked] == ["someone/ddpm-tiny"]
    assert not any(pattern.endswith((".py", ".bin", ".pkl")) for pattern in asked[0][1])


@pytest.mark.parametrize("name", ["models/net.pt", "models/net.safetensors", "a/b/c", "name", "/owner/name", "../up"])
def test_a_path_is_not_looked_up_on_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(PriorError, match="does not exist"):
        convert(name, tmp_path / "prior")


def test_a_name_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fail(name: str, **_: Any) -> str:
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(PriorError, match=r"'someone/nothing' is no file or folder here.*no route to host$"):
        convert("someone/nothing", tmp_path / "prior")


def test_without_diffusers_the_mend_is_named(pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("diffusers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    for source in (pipeline, "someone/ddpm-tiny"):
        with pytest.raises(PriorError, match=r"lmaps-engine\[diffusers\]"):
            convert(source, tmp_path / "prior")
