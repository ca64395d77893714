"""TensorRT engines and timing caches, kept in the artefact cache and nowhere else."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import digest
from .cache import ArtefactCache, CacheUnusable
from .external_data import check_external_data
from .profiles import Profile
from .tensorrt import TensorRTEngine
from .tensorrt_build import BuildSettings, Plan, build
from .tensorrt_library import TensorRTError, version

_ENGINE, _TIMING = "engine.plan", "timing.cache"
_log = logging.getLogger("lmaps.tensorrt")


@dataclass(frozen=True, slots=True)
class Request:
    """Everything an engine follows from.

    gpu: what tells this GPU and its software from others: name, compute capability, CUDA version. JSON values.
    precision: of the graph, for listings, as is the name; the graph itself decides.
    """

    graph: Path
    profile: Profile
    precision: str
    gpu: Mapping[str, Any]
    name: str = ""
    settings: BuildSettings = field(default_factory=BuildSettings)

    def facts(self) -> dict[str, Any]:
        return {
            "kind": "tensorrt",
            "name": self.name,
            "graph": digest.of_graph(self.graph),
            "profile": self.profile.facts(),
            "precision": self.precision,
            "settings": asdict(self.settings),
            **self._machine(),
        }

    def timing_facts(self) -> dict[str, Any]:
        return {"kind": "tensorrt-timing", **self._machine()}

    def _machine(self) -> dict[str, Any]:
        return {"tensorrt": version(), "gpu": dict(self.gpu)}


@dataclass(frozen=True, slots=True)
class Opened:
    """engine: loaded.  outcome: from the cache ("hit") or built now ("built").  seconds: how long its build took."""

    engine: TensorRTEngine
    outcome: Literal["hit", "built"]
    seconds: float


def open_engine(request: Request, cache: ArtefactCache | None) -> Opened:
    """The engine, from the cache where it is there, else built (minutes) and kept. Without a cache: built and not kept.

    An engine that is in the cache but cannot be loaded, which should not happen, is built anew once.
    Raises GraphError for a graph TensorRT cannot take, TensorRTError where it cannot build or load.
    """
    check_external_data(request.graph)
    if cache is None:
        return _unkept(request)
    made: list[Plan] = []

    def make(folder: Path) -> None:
        made.append(_build(request, cache))
        (folder / _ENGINE).write_bytes(made[0].engine)

    try:
        artefact = cache.get_or_build(request.facts(), make)
        if artefact.outcome == "hit":
            try:
                return Opened(TensorRTEngine(artefact.views[_ENGINE]), "hit", artefact.seconds)
            except TensorRTError as error:
                _log.warning("the cached engine cannot be loaded and is built anew: %s", error)
                artefact = cache.replace(request.facts(), make)
        _keep_timing(request, cache, made[0])
        return Opened(TensorRTEngine(artefact.views[_ENGINE]), "built", artefact.seconds)
    except CacheUnusable as reason:
        _log.warning("the engine is not kept: %s", reason)
        return Opened(TensorRTEngine(made[0].engine), "built", 0.0) if made else _unkept(request)


def _unkept(request: Request) -> Opened:
    started = time.perf_counter()
    plan = _build(request, None)
    return Opened(TensorRTEngine(plan.engine), "built", time.perf_counter() - started)


def _build(request: Request, cache: ArtefactCache | None) -> Plan:
    kept = cache.find(request.timing_facts()) if cache else None
    timing = kept.views[_TIMING] if kept else b""
    return build(request.graph, request.profile, request.settings, timing)


def _keep_timing(request: Request, cache: ArtefactCache, plan: Plan) -> None:
    """What was measured makes the next build on this GPU much faster. Of two builds at once the later one stays."""

    def make(folder: Path) -> None:
        (folder / _TIMING).write_bytes(plan.timing)

    cache.replace(request.timing_facts(), make)
