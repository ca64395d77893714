"""An ONNX graph compiled by OpenVINO for the CPU and one fixed shape, run into memory the caller gives.

The settings are the ones that measured best for one request at a time: shapes made static, one stream, the latency
hint, a thread a physical core.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import digest
from .arrays import Array, require_plain
from .cache import Artefact, ArtefactCache, CacheUnusable
from .external_data import GraphError, check_external_data
from .machine import cpu_facts

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_BLOB = "compiled.blob"
_log = logging.getLogger("lmaps.openvino")


class OpenVINOGraph:
    """One compiled graph. `run` may be called from several threads at once; each thread has its own request.

    shapes:    shape of every input, by name.
    precision: of the convolutions and matrix products. With "bfloat16" everything after the last of them (the output
               scaling of a denoiser) still runs in float32.
    cache:     where compiled graphs are kept; None for nowhere.  name: shown in listings of it.
    outcome:   "hit" (read from the cache), "built" (compiled, and kept), "off" (compiled, not kept); `reason` says why.
    prepare:   build_s, to compile and keep it, and load_s, to read it from the cache.
    Raises ImportError where openvino is missing, GraphError for a damaged graph or shapes it does not accept.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        precision: Literal["float32", "bfloat16"],
        threads: int,
        cache: ArtefactCache | None = None,
        name: str = "",
    ) -> None:
        import openvino

        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._tensor = openvino.Tensor
        self._local = threading.local()
        self.version: str = openvino.__version__.split("-")[0]
        self.reason = "" if cache else "no cache was given"
        self.outcome: Literal["hit", "built", "off"] = "off"
        self._core, self._path = openvino.Core(), path
        self._settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        started = time.perf_counter()
        facts = {**self._facts(openvino.__version__), "name": name, "precision": precision} if cache else {}
        self._compiled = self._cached(cache, facts) if cache else self._compile()
        self.prepare = self._spent(time.perf_counter() - started)

    def run(self, inputs: Mapping[str, Array], out: Array) -> None:
        """Run on `inputs` (C-contiguous float32 arrays by name) and write the first output into `out`.

        Nothing is copied on the way in or out, and `out` is not touched again after the call.
        """
        request = self._request()
        for name, array in inputs.items():
            require_plain(name, array)
            if array.shape != self._shapes[name]:
                raise ValueError(f"{name} has shape {array.shape}; the graph was compiled for {self._shapes[name]}")
            request.set_tensor(name, self._tensor(array, shared_memory=True))
        require_plain("out", out)
        request.set_output_tensor(self._tensor(out, shared_memory=True))
        request.infer(share_outputs=True)

    def _facts(self, version: str) -> dict[str, Any]:
        return {
            "kind": "openvino",
            "graph": digest.of_graph(self._path),
            "shapes": self._shapes,
            "settings": self._settings,
            "openvino": version,
            "device": cpu_facts(),
        }

    def _compile(self) -> Any:
        check_external_data(self._path)
        try:
            model = self._core.read_model(self._path)
            model.reshape({name: list(shape) for name, shape in self._shapes.items()})
            return self._core.compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise GraphError(f"OpenVINO cannot compile {self._path} for {self._shapes}: {error}") from error

    def _cached(self, cache: ArtefactCache, facts: Mapping[str, Any]) -> Any:
        made: list[Any] = []

        def build(folder: Path) -> None:
            made[:] = [self._compile()]
            (folder / _BLOB).write_bytes(made[0].export_model().getbuffer())

        try:
            artefact = cache.get_or_build(facts, build)
            self.outcome = artefact.outcome
            if artefact.outcome == "built":
                return made[0]
            try:
                return self._import(artefact)
            except RuntimeError as error:
                _log.warning("OpenVINO cannot read its own graph from the cache, it is compiled anew: %s", error)
                self.outcome = cache.replace(facts, build).outcome
                return made[0]
        except CacheUnusable as reason:
            self.outcome, self.reason = "off", str(reason)
            return made[0] if made else self._compile()

    def _import(self, artefact: Artefact) -> Any:
        # The graph's weights stay where they are, in pages of the file that all processes share.
        self._blob = np.frombuffer(artefact.views[_BLOB], np.uint8)
        return self._core.import_model(self._tensor(self._blob, shared_memory=True), "CPU", self._settings)

    def _spent(self, seconds: float) -> dict[str, float]:
        hit = self.outcome == "hit"
        return {"build_s": 0.0 if hit else seconds, "load_s": seconds if hit else 0.0}

    def _request(self) -> Any:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        return self._local.request
