"""Which backend runs a prior: the one asked for, or the best that works here."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ...export.external_data import GraphError
from ...kernels.timing import RECORDING
from ..priors import Prior
from ..priors.error import NoModule
from . import measure
from .backends import BACKENDS
from .base import BackendUnavailable, Denoiser, Frame
from .cpu import usable_cores

# What "auto" looks at. On a CPU: the first that works, best first. On a GPU: the fastest, by measurement.
_ORDER = {"cpu": ("openvino", "onnxruntime", "torch"), "cuda": ("torch", "torch-compile", "tensorrt")}


def open_denoiser(
    prior: Prior,
    *,
    backend: str = "auto",
    precision: str = "auto",
    size: tuple[int, int],
    batch: int,
    device: str | torch.device = "auto",
    threads: int | None = None,
) -> Denoiser:
    """Open `prior` for pictures of `size` (H, W), any, and `batch`.

    backend:   "auto", or a name of `available()`. A backend asked for by name runs or raises BackendUnavailable.
               "auto" on a CPU takes the first of OpenVINO, ONNX Runtime and torch that works, and warns once for each
               better one that does not. On a GPU it times torch, torch-compile and TensorRT where they are installed,
               once for this prior, batch and size, which takes a minute or more; `describe` shows the times
               ("chosen_by", "milliseconds"), and the artefact cache remembers who won and who failed: not for a prior
               made of a module (see `measure`).
               "quick" is "auto" without the timing, for a picture or two: on a GPU the backend that won before, where that
               is remembered for this very case, else torch.
    precision: "auto" (bfloat16 where the hardware multiplies it, else float32), "float32", "bfloat16".
    device:    "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1" ...
    threads:   of the CPU run times; the physical cores this process may use unless given. torch keeps its own setting.

    On a GPU one denoiser is opened at a time in a process, and not while a CUDA graph is recorded.
    """
    frame = Frame(batch, prior.channels, size[0], size[1], prior.multiple)
    prior.check(batch, size)
    where = _device(device)
    threads = usable_cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"unknown precision {precision!r}; known are auto, float32, bfloat16")
    if backend not in ("auto", "quick", *BACKENDS):
        raise ValueError(f"unknown backend {backend!r}; known are auto, {', '.join(BACKENDS)}")
    with RECORDING if where.type == "cuda" else nullcontext():
        return _opened(prior, frame, backend, precision, where, threads)


def _opened(prior: Prior, frame: Frame, backend: str, precision: str, where: torch.device, threads: int) -> Denoiser:
    if backend in ("auto", "quick"):
        choose = _first_that_works if where.type == "cpu" else _fastest if backend == "auto" else _quick
        return choose(prior, frame, precision, where, threads)
    if reason := _obstacle(backend, precision, where):
        raise BackendUnavailable(f"backend {backend!r} cannot run: {reason}")
    return _open(backend, prior, frame, precision, where, threads)


def available(device: str | torch.device = "auto") -> list[tuple[str, bool, str]]:
    """(backend, can run, reason it cannot or the precision "auto" would take), best first."""
    where = _device(device)
    rows = []
    for name, entry in BACKENDS.items():
        reason = entry.missing(where)
        rows.append((name, reason is None, reason or entry.best(where)))
    return rows


def _first_that_works(prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    tried: list[str] = []
    for name in _ORDER[device.type]:
        if precision not in ("auto", *BACKENDS[name].precisions):
            continue
        reason = _obstacle(name, precision, device)
        if reason is None:
            try:
                denoiser = _open(name, prior, frame, precision, device, threads)
            except (GraphError, NoModule) as error:
                reason = str(error)
            else:
                if tried:
                    _warn_once(f"running on {name} ({denoiser.precision}), because {'; '.join(tried)}")
                return denoiser
        tried.append(f"{name} cannot: {reason}")
    raise BackendUnavailable(f"no backend can run {prior.name!r} on {device}: {'; '.join(tried)}")


def _fastest(prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    """By measurement, among those that are installed; what is passed over is in `describe`, what fails is warned of."""
    candidates, passed_over = _candidates(precision, device)

    def open_one(name: str) -> Denoiser:
        return _open(name, prior, frame, precision, device, threads)

    if not candidates:
        tried = "; ".join(f"{name} cannot: {reason}" for name, reason in passed_over.items())
        raise BackendUnavailable(f"no backend can run {prior.name!r} on {device}: {tried}")
    choice, denoiser = measure.fastest(prior, frame, device, candidates, open_one)
    for name, reason in choice.failed.items():
        _warn_once(f"running on {choice.backend}; {name} was to be timed and failed: {reason}")
    facts = {**choice.describe(), "passed_over": passed_over}
    return _Chosen(denoiser or open_one(choice.backend), facts)


def _quick(prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    """The backend that won an earlier measurement, or torch."""
    candidates, passed_over = _candidates(precision, device)
    choice = measure.remembered(prior, frame, device, candidates) if candidates else None
    if choice is not None:
        facts = {**choice.describe(), "passed_over": passed_over}
        return _Chosen(_open(choice.backend, prior, frame, precision, device, threads), facts)
    if reason := _obstacle("torch", precision, device):
        raise BackendUnavailable(f"backend 'torch' cannot run: {reason}")
    return _Chosen(_open("torch", prior, frame, precision, device, threads), {"chosen_by": "default, not timed"})


def _candidates(precision: str, device: torch.device) -> tuple[dict[str, str], dict[str, str]]:
    """(precision by backend of those that can be timed here, why not by backend of the others)"""
    reasons = {name: _obstacle(name, precision, device) for name in _ORDER[device.type]}
    passed_over = {name: reason for name, reason in reasons.items() if reason}
    return {name: _precision(name, precision, device) for name in reasons if name not in passed_over}, passed_over


class _Chosen:
    """A denoiser that also says how it was chosen."""

    def __init__(self, denoiser: Denoiser, facts: dict[str, Any]) -> None:
        self._denoiser, self._facts = denoiser, facts
        self.backend, self.precision, self.device = denoiser.backend, denoiser.precision, denoiser.device
        self.supports_gradient, self.capturable = denoiser.supports_gradient, denoiser.capturable

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._denoiser(x, sigma)

    def into(self, x: Tensor, sigma: Tensor, out: Tensor) -> None:
        self._denoiser.into(x, sigma, out)

    def describe(self) -> dict[str, Any]:
        return {**self._denoiser.describe(), **self._facts}


def _obstacle(name: str, precision: str, device: torch.device) -> str | None:
    entry = BACKENDS[name]
    if precision not in ("auto", *entry.precisions):
        return f"it has no {precision}; it runs {' or '.join(entry.precisions)}"
    return entry.missing(device)


def _open(name: str, prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    kind = _precision(name, precision, device)
    return BACKENDS[name].open(prior, frame, precision=kind, device=device, threads=threads)


def _precision(name: str, precision: str, device: torch.device) -> str:
    return BACKENDS[name].best(device) if precision == "auto" else precision


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N") from None
    if where.type not in _ORDER:
        raise ValueError(f"device {str(where)!r} is not supported; use auto, cpu, cuda or cuda:N")
    if where.type == "cuda" and where.index is None and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())  # as tensors on it call it
    return where


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)
