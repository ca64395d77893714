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
from .openvino_cut import cut, joint

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_BLOBS = ("compiled.blob", "sigma.blob")
_log = logging.getLogger("lmaps.openvino")


class OpenVINOGraph:
    """One compiled graph. `run` may be called from several threads at once; each thread has its own request.

    shapes:    shape of every input, by name.
    precision: of the convolutions and matrix products. With "bfloat16" everything after the last of them (the output
               scaling of a denoiser) still runs in float32, and so does all that follows from the input "sigma" alone.
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
        request, *sigma_alone = self._requests()
        for name, array in inputs.items():
            require_plain(name, array)
            if array.shape != self._shapes[name]:
                raise ValueError(f"{name} has shape {array.shape}; the graph was compiled for {self._shapes[name]}")
            request.set_tensor(name, self._tensor(array, shared_memory=True))
        require_plain("out", out)
        for first in sigma_alone:
            first.set_tensor("sigma", self._tensor(inputs["sigma"], shared_memory=True))
            first.infer(share_outputs=True)
        request.set_output_tensor(self._tensor(out, shared_memory=True))
        request.infer(share_outputs=True)

    def _facts(self, version: str) -> dict[str, Any]:
        return {
            "kind": "openvino",
            "graph": digest.of_graph(self._path),
            "shapes": self._shapes,
            "settings": self._settings,
            "float32": "what follows from sigma alone",
            "openvino": version,
            "device": cpu_facts(),
        }

    def _compile(self) -> list[Any]:
        """The graph; with bfloat16 without the part that follows from sigma alone, which comes second, in float32."""
        check_external_data(self._path)
        try:
            model = self._core.read_model(self._path)
            model.reshape({name: list(shape) for name, shape in self._shapes.items()})
            halves = self._settings["INFERENCE_PRECISION_HINT"] == "bf16" and "sigma" in self._shapes
            *first, rest = cut(model, "sigma") if halves else [model]
            parts = zip((rest, *first), (self._settings, self._exactly()), strict=False)
            return [self._core.compile_model(part, "CPU", settings) for part, settings in parts]
        except RuntimeError as error:
            raise GraphError(f"OpenVINO cannot compile {self._path} for {self._shapes}: {error}") from error

    def _cached(self, cache: ArtefactCache, facts: Mapping[str, Any]) -> list[Any]:
        made: list[Any] = []

        def build(folder: Path) -> None:
            made[:] = self._compile()
            for file, compiled in zip(_BLOBS, made, strict=False):
                (folder / file).write_bytes(compiled.export_model().getbuffer())

        try:
            artefact = cache.get_or_build(facts, build)
            self.outcome = artefact.outcome
            if artefact.outcome == "built":
                return made
            try:
                return self._import(artefact)
            except RuntimeError as error:
                _log.warning("OpenVINO cannot read its own graph from the cache, it is compiled anew: %s", error)
                self.outcome = cache.replace(facts, build).outcome
                return made
        except CacheUnusable as reason:
            self.outcome, self.reason = "off", str(reason)
            return made or self._compile()

    def _import(self, artefact: Artefact) -> list[Any]:
        # The graph's weights stay where they are, in pages of the file that all processes share.
        self._blobs = [np.frombuffer(artefact.views[file], np.uint8) for file in _BLOBS if file in artefact.views]
        parts = zip(self._blobs, (self._settings, self._exactly()), strict=False)
        return [
            self._core.import_model(self._tensor(blob, shared_memory=True), "CPU", settings) for blob, settings in parts
        ]

    def _exactly(self) -> dict[str, Any]:
        return {**self._settings, "INFERENCE_PRECISION_HINT": "f32"}

    def _spent(self, seconds: float) -> dict[str, float]:
        hit = self.outcome == "hit"
        return {"build_s": 0.0 if hit else seconds, "load_s": seconds if hit else 0.0}

    def _requests(self) -> list[Any]:
        """This thread's; what the second one computes from sigma lies where the first one reads it."""
        if not hasattr(self._local, "requests"):
            request, *sigma_alone = (compiled.create_infer_request() for compiled in self._compiled)
            for first in sigma_alone:
                for index, tensor in enumerate(first.output_tensors):
                    request.set_tensor(joint(index), tensor)
            self._local.requests = [request, *sigma_alone]
        return self._local.requests
