"""Which backend is fastest on this GPU for this prior, batch and size: measured once, remembered in the artefact cache.

Candidates that failed are remembered too, for these versions of torch, Triton and TensorRT and as long as there is a C
compiler or none; `lmaps info --clear-cache` forgets. One that ran out of memory is not: there may be more next time.
A prior that was made of a module at hand has a digest of its own in every process, so nothing is remembered for it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ...export.cache import ArtefactCache, CacheUnusable
from ...kernels import timing
from ..priors import Prior
from . import cuda
from .artefacts import open_cache
from .base import BackendUnavailable, Denoiser, Frame

# A backend later in the list must be faster by this factor than an earlier one, which builds quicker and differentiates.
MARGIN = 1.03
_CHOICE = "choice.json"
# What a candidate that fails may owe it to; Triton compiles its launchers with a C compiler.
_PACKAGES = ("triton", "tensorrt", "cuda-bindings")
_COMPILERS = ("gcc", "clang", "cc")
_log = logging.getLogger("lmaps.denoisers")


@dataclass(frozen=True, slots=True)
class Choice:
    """backend: the one to open.  milliseconds: of one call, by backend.  failed: why others have no time.

    lasting: measured again it would come out the same, so that it can be remembered.
    """

    backend: str
    milliseconds: Mapping[str, float]
    failed: Mapping[str, str] = field(default_factory=dict)
    lasting: bool = True

    def describe(self) -> dict[str, Any]:
        rounded = {name: round(ms, 4) for name, ms in self.milliseconds.items()}
        facts = {"chosen_by": "measurement", "milliseconds": rounded}
        return {**facts, "failed": dict(self.failed)} if self.failed else facts


def fastest(
    prior: Prior,
    frame: Frame,
    device: torch.device,
    candidates: Mapping[str, str],
    open_one: Callable[[str], Denoiser],
) -> tuple[Choice, Denoiser | None]:
    """The choice among `candidates` (backend: precision), and its denoiser where it was opened to be measured.

    open_one: opens a candidate by name.  Each is opened and timed, one after another, unless the cache knows the answer.
    Raises BackendUnavailable where no candidate could be opened.
    """
    if choice := remembered(prior, frame, device, candidates):
        return choice, None
    _log.info("timing %s for batch %d, %dx%d", ", ".join(candidates), frame.batch, frame.height, frame.width)
    choice, denoiser = _measured(frame, device, list(candidates), open_one)
    cache = _cache(prior)
    if cache and choice.lasting:
        _remember(cache, _facts(prior, frame, device, candidates), choice)
    return choice, denoiser


def remembered(prior: Prior, frame: Frame, device: torch.device, candidates: Mapping[str, str]) -> Choice | None:
    """What was measured before for these very candidates, or None. Opens nothing."""
    cache = _cache(prior)
    if cache is None or not (known := cache.find(_facts(prior, frame, device, candidates))):
        return None
    facts = json.loads(bytes(known.views[_CHOICE]))
    return Choice(facts["backend"], facts["milliseconds"], facts["failed"])


def milliseconds(denoiser: Denoiser, frame: Frame) -> float:
    """Of one call: inside a CUDA graph where it can be captured, which is how restorations run, else launched."""
    device = denoiser.device
    x, sigma = frame.example(device)
    out = torch.empty_like(x)
    clock = timing.captured_time if denoiser.capturable else timing.eager_time
    with torch.cuda.device(device), torch.no_grad():
        return clock(lambda: denoiser.into(x, sigma, out)).median_us / 1e3


def _measured(
    frame: Frame, device: torch.device, names: Sequence[str], open_one: Callable[[str], Denoiser]
) -> tuple[Choice, Denoiser]:
    times: dict[str, float] = {}
    failed: dict[str, str] = {}
    lasting = True
    best: tuple[str, Denoiser] | None = None
    for name in names:
        try:
            denoiser = open_one(name)
            times[name] = milliseconds(denoiser, frame)
        except Exception as error:  # one candidate that cannot be prepared must not take the others with it
            failed[name] = f"{type(error).__name__}: {error}"
            lasting = lasting and not isinstance(error, torch.OutOfMemoryError)
            continue
        if best is None or times[name] * MARGIN < times[best[0]]:
            best = name, denoiser
    if best is None:
        raise BackendUnavailable(
            f"no backend could be opened on {device}: " + "; ".join(map(": ".join, failed.items()))
        )
    return Choice(best[0], times, failed, lasting), best[1]


def _cache(prior: Prior) -> ArtefactCache | None:
    """Where choices for this prior are kept; None for one without files, whose digest is new in every process."""
    return open_cache()[0] if prior.config.files else None


def _facts(prior: Prior, frame: Frame, device: torch.device, candidates: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": "choice",
        "prior": prior.digest,
        "name": prior.name,
        "shapes": {"x": list(frame.shape)},
        "candidates": dict(candidates),
        "precision": " or ".join(sorted(set(candidates.values()))),
        "versions": _versions(),
        "gpu": cuda.identity(device),
    }


def _versions() -> dict[str, str]:
    found = {"torch": str(torch.__version__)}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    compiler = any(map(shutil.which, (os.environ.get("CC", "cc"), *_COMPILERS)))
    return {**found, "compiler": "there" if compiler else "none"}


def _remember(cache: ArtefactCache, facts: Mapping[str, Any], choice: Choice) -> None:
    def write(folder: Path) -> None:
        facts = {
            "backend": choice.backend,
            "milliseconds": dict(choice.milliseconds),
            "failed": dict(choice.failed),
        }
        (folder / _CHOICE).write_text(json.dumps(facts), encoding="utf-8")

    try:
        cache.replace(facts, write)
    except CacheUnusable as reason:
        _log.warning("the measured choice is not remembered: %s", reason)
