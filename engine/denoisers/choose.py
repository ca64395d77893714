"""Which backend runs a prior: the one asked for, or the best that works here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from ...export.external_data import GraphError
from ..priors import Prior
from . import onnxruntime_backend, openvino_backend, torch_backend
from .base import BackendUnavailable, Denoiser, Frame
from .cpu import usable_cores


class _Backend(NamedTuple):
    """What `open_denoiser` needs of a backend.

    open(prior, frame, precision=, device=, threads=) -> Denoiser;  missing(device) -> why it cannot run, or None;
    best(device) -> the precision for "auto";  precisions: the ones that can be asked for.
    """

    open: Callable[..., Denoiser]
    missing: Callable[[torch.device], str | None]
    best: Callable[[torch.device], str]
    precisions: tuple[str, ...]


_compile_missing = partial(torch_backend.missing, compiled=True)
_BACKENDS = {
    "openvino": _Backend(
        openvino_backend.OpenVINODenoiser,
        openvino_backend.missing,
        openvino_backend.best_precision,
        openvino_backend.PRECISIONS,
    ),
    "onnxruntime": _Backend(
        onnxruntime_backend.OnnxRuntimeDenoiser,
        onnxruntime_backend.missing,
        onnxruntime_backend.best_precision,
        onnxruntime_backend.PRECISIONS,
    ),
    "torch": _Backend(
        torch_backend.TorchDenoiser, torch_backend.missing, torch_backend.best_precision, torch_backend.PRECISIONS
    ),
    "torch-compile": _Backend(
        partial(torch_backend.TorchDenoiser, compiled=True),
        _compile_missing,
        torch_backend.best_precision,
        torch_backend.PRECISIONS,
    ),
}
# What "auto" tries, best first.
_ORDER = {"cpu": ("openvino", "onnxruntime", "torch"), "cuda": ("torch",)}


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

    backend:   "auto", "openvino", "onnxruntime", "torch" or "torch-compile". A backend asked for by name runs or
               raises BackendUnavailable. "auto" takes the fastest that works and warns once for each better one that
               does not.
    precision: "auto" (bfloat16 where the hardware multiplies it, else float32), "float32", "bfloat16".
    device:    "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1" ...
    threads:   of the CPU run times; the physical cores this process may use unless given. torch keeps its own setting.
    """
    frame = Frame(batch, prior.channels, size[0], size[1], prior.multiple)
    prior.check(batch, size)
    where = _device(device)
    threads = usable_cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    if precision not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"unknown precision {precision!r}; known are auto, float32, bfloat16")
    if backend == "auto":
        return _first_that_works(prior, frame, precision, where, threads)
    if backend not in _BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; known are auto, {', '.join(_BACKENDS)}")
    if reason := _obstacle(backend, precision, where):
        raise BackendUnavailable(f"backend {backend!r} cannot run: {reason}")
    return _open(backend, prior, frame, precision, where, threads)


def available(device: str | torch.device = "auto") -> list[tuple[str, bool, str]]:
    """(backend, can run, reason it cannot or the precision "auto" would take), best first."""
    where = _device(device)
    rows = []
    for name, entry in _BACKENDS.items():
        reason = entry.missing(where)
        rows.append((name, reason is None, reason or entry.best(where)))
    return rows


def _first_that_works(prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    tried: list[str] = []
    for name in _ORDER[device.type]:
        if precision not in ("auto", *_BACKENDS[name].precisions):
            continue
        reason = _obstacle(name, precision, device)
        if reason is None:
            try:
                denoiser = _open(name, prior, frame, precision, device, threads)
            except GraphError as error:
                reason = str(error)
            else:
                if tried:
                    _warn_once(f"running on {name} ({denoiser.precision}), because {'; '.join(tried)}")
                return denoiser
        tried.append(f"{name} cannot: {reason}")
    raise BackendUnavailable(f"no backend can run {prior.name!r} on {device}: {'; '.join(tried)}")


def _obstacle(name: str, precision: str, device: torch.device) -> str | None:
    entry = _BACKENDS[name]
    if precision not in ("auto", *entry.precisions):
        return f"it has no {precision}; it runs {' or '.join(entry.precisions)}"
    return entry.missing(device)


def _open(name: str, prior: Prior, frame: Frame, precision: str, device: torch.device, threads: int) -> Denoiser:
    entry = _BACKENDS[name]
    kind = entry.best(device) if precision == "auto" else precision
    return entry.open(prior, frame, precision=kind, device=device, threads=threads)


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ValueError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N") from None
    if where.type not in _ORDER:
        raise ValueError(f"device {str(where)!r} is not supported; use auto, cpu, cuda or cuda:N")
    return where


_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=4)
