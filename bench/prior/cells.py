"""The single measurements of the report: one method on one photograph. A cell knows its key before it is run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lmaps
from bench.classical import denoising, tuning
from bench.classical.cases import SIGMA_Y, Case
from bench.classical.measurement import Measurement, Method, Pixels
from lmaps.engine import metrics, presets
from lmaps.engine.bench.machine import code
from lmaps.engine.denoisers import Denoiser, open_denoiser
from lmaps.engine.noise import standard_normal
from lmaps.engine.plan import Restorer
from lmaps.engine.priors import Prior

from .journal import Values
from .pictures import Picture

SIGMAS = (0.05, 0.1, 0.2, 0.4, 1.0)
STEPS = (10, 20, 50, 100, 200)
Restored = tuple[Tensor, float]


@dataclass(frozen=True)
class Cell:
    """group: the row of the report; key: what the values depend on; run: restore, and the seconds it took."""

    group: tuple[Any, ...]
    key: dict[str, Any]
    truth: Tensor
    run: Callable[[], Restored]

    def measure(self, scores: Scores) -> Values:
        restored, seconds = self.run()
        return {**scores(restored, (self.truth + 1) / 2), "seconds": seconds}


class Scores:
    """PSNR, SSIM, and the perceptual metric that can run here, of pictures [1, 3, H, W] in [0, 1]."""

    def __init__(self) -> None:
        try:
            self.perceptual: metrics.Perceptual | None = metrics.perceptual()
        except RuntimeError:
            self.perceptual = None

    @property
    def label(self) -> str:
        """Name of the perceptual metric, "" where there is none."""
        return self.perceptual.label if self.perceptual else ""

    def __call__(self, x: Tensor, truth: Tensor) -> Values:
        x, truth = x.float().clamp(0, 1), truth.float()
        values = {"psnr": float(metrics.psnr(x, truth)), "ssim": float(metrics.ssim(x, truth))}
        if self.perceptual is not None:
            values["perceptual"] = float(self.perceptual(x, truth))
        return values


@dataclass
class Bench:
    """What the cells share: the prior, opened once a size, and the last restorer, which several pictures may use."""

    prior: Prior
    label: str
    backend: str = "openvino"
    _denoisers: dict[tuple[int, int], Denoiser] = field(default_factory=dict)
    _restorer: tuple[dict[str, Any], Restorer] | None = None

    def denoising(self, picture: Picture) -> Iterator[Cell]:
        """The picture with noise of each level of SIGMAS: as it is, by BM3D, by the prior."""
        for sigma in SIGMAS:
            noise = standard_normal(picture.x.shape[1:], (picture.seed,), step=1, stream="measurement")
            noisy = picture.x + sigma * noise
            base = {**self._base(picture), "sigma": sigma}
            ways: dict[str, tuple[dict[str, Any], Callable[[], Tensor]]] = {
                "noisy": ({}, partial(_unit, noisy)),
                "prior": (self._which_prior(), partial(self._denoise, noisy, sigma)),
            }
            if tuning.runnable(Method("BM3D", denoising.bm3d, needs=("bm3d",))):
                ways["BM3D"] = ({}, partial(_bm3d, noisy, sigma))
            for way, (depends, run) in ways.items():
                key = {**base, "kind": "denoising", "method": way, **depends}
                yield Cell((sigma, way), key, picture.x, partial(_timed, run))

    def classical(self, case: Case, picture: Picture) -> Iterator[Cell]:
        """Every classical method on the picture as the case measures it."""
        for method in filter(tuning.runnable, case.methods):
            chosen = tuning.settings(case.name, method)
            key = {**self._base(picture), "kind": "classical", "case": case.name, "method": method.name, **chosen}
            key["code"] = _methods_code()
            run = partial(_classical, method, case, picture, chosen)
            yield Cell((case.name, method.name), key, picture.x, partial(_timed, run))

    def lmaps(self, case: Case, picture: Picture, steps: int | None = None) -> Iterator[Cell]:
        """The picture restored by LMAPS with the prior's preset, in `steps` steps or the preset's own number."""
        preset = presets.resolve("auto", self.prior.config.preset)
        row = presets.load(preset, case.task)
        if row is None:
            raise ValueError(f"preset {preset!r} of the prior {self.prior.name!r} has no settings for {case.task!r}")
        depends = {**self._which_prior(), "code": code(), **asdict(row), "steps": steps or row.steps}
        key = {**self._base(picture), "kind": "lmaps", "case": case.name, **depends}
        yield Cell((case.name, depends["steps"]), key, picture.x, partial(self._restore, case, picture, steps))

    def _base(self, picture: Picture) -> dict[str, Any]:
        return {"picture": picture.name, "seed": picture.seed, "size": picture.x.shape[-1], "perceptual": self.label}

    def _which_prior(self) -> dict[str, Any]:
        return {"prior": self.prior.digest[:16], "backend": self.backend}

    def _denoise(self, noisy: Tensor, sigma: float) -> Tensor:
        size = (noisy.shape[-2], noisy.shape[-1])
        if size not in self._denoisers:
            self._denoisers[size] = open_denoiser(self.prior, backend=self.backend, size=size, batch=1, device="cpu")
        return _unit(self._denoisers[size](noisy, torch.tensor([sigma])))

    def _restore(self, case: Case, picture: Picture, steps: int | None) -> Restored:
        operator = case.build(picture.seed)
        wanted = {"case": case.name, "steps": steps, "size": picture.x.shape[-2:]}
        if case.drawn:
            wanted["seed"] = picture.seed
        if self._restorer is None or self._restorer[0] != wanted:
            size = (picture.x.shape[-2], picture.x.shape[-1])
            restorer = lmaps.compile(
                operator,
                self.prior,
                task=case.task,
                size=size,
                steps=steps,
                noise=SIGMA_Y,
                backend=self.backend,
                device="cpu",
            )
            self._restorer = wanted, restorer
        y = operator.degrade(picture.x, SIGMA_Y, seed=picture.seed)
        result = self._restorer[1](y, seed=picture.seed)
        if result.status != "ok":
            raise RuntimeError(f"{case.name} on {picture.name}: {result.status}, {result.message}")
        return result.image, result.stats["total_s"]


@cache
def _methods_code() -> str:
    """A digest of the classical methods' own files."""
    files = sorted(Path(tuning.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _classical(method: Method, case: Case, picture: Picture, chosen: dict[str, Any]) -> Tensor:
    operator = case.build(picture.seed)
    y = operator.degrade(picture.x, SIGMA_Y, seed=picture.seed)
    return _batch(method.run(Measurement.of(y, operator, SIGMA_Y), **chosen))


def _bm3d(noisy: Tensor, sigma: float) -> Tensor:
    return _batch(denoising.bm3d(_unit(noisy)[0].permute(1, 2, 0).double().numpy(), sigma / 2))


def _batch(x: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None].float()


def _unit(x: Tensor) -> Tensor:
    return (x + 1) / 2


def _timed(run: Callable[[], Tensor]) -> Restored:
    start = time.perf_counter()
    restored = run()
    return restored, time.perf_counter() - start
