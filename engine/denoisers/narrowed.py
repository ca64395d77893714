"""A prior's graph in the precision a backend asks for: as it is, or rewritten to 16 bits once and kept."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...export import digest
from ...export.cache import ArtefactCache, CacheUnusable
from ...export.external_data import check_external_data
from ..priors import Prior
from .artefacts import tell_uncached

_GRAPH = "model.onnx"


class PriorGraph:
    """path: of the graph, as long as this object lives. "bfloat16": matrix products and their weights, nothing else.

    Raises GraphError or ExportError for a graph that cannot be rewritten, ImportError where onnx is missing.
    """

    def __init__(self, prior: Prior, precision: str, cache: ArtefactCache | None) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._prior = prior
        self.path = self._source = prior.onnx_path()
        if precision != "float32":
            self.path = self._narrowed(cache)

    def _narrowed(self, cache: ArtefactCache | None) -> Path:
        check_external_data(self._source)
        if cache:
            try:
                return cache.get_or_build(self._facts(), self._build).path(_GRAPH)
            except CacheUnusable as reason:
                tell_uncached(str(reason))
        self._folder = tempfile.TemporaryDirectory(prefix="lmaps-")
        self._build(Path(self._folder.name))
        return Path(self._folder.name) / _GRAPH

    def _facts(self) -> dict[str, str]:
        import onnx

        source = digest.of_graph(self._source)
        return {
            "kind": "onnx",
            "name": self._prior.name,
            "source": source,
            "precision": "bfloat16",
            "onnx": onnx.__version__,
        }

    def _build(self, folder: Path) -> None:
        from ...export.onnx import narrow_graph

        prior = self._prior
        narrow_graph(self._source, folder / _GRAPH, "bfloat16", channels=prior.channels, multiple=prior.multiple)
