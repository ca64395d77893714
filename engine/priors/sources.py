"""Where a prior's network comes from: a folder of weights, a graph, or a module at hand. `Prior` speaks for all three."""

from __future__ import annotations

import copy
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ...export.cache import ArtefactCache, CacheUnusable
from ...export.onnx import DEFAULT_OPSET, export_onnx
from ...export.onnxruntime import OnnxRuntimeGraph
from .config import GRAPH, WEIGHTS, PriorConfig
from .error import NoGraph, NoModule, PriorError
from .saving import export_graph
from .store import build_module, check_digests


class Source(Protocol):
    """module(device): the denoiser in torch, float32, frozen.  graph(cache): its ONNX file.  run: one call, padded x."""

    def module(self, device: torch.device) -> nn.Module: ...

    def graph(self, cache: Path | None) -> Path: ...

    def run(self, x: Tensor, sigma: Tensor) -> Tensor | None:
        """None: `module` is to be called."""
        ...


class FolderSource:
    """A folder with weights.safetensors. A graph that is not among its files is made when asked for, and cached."""

    def __init__(self, folder: Path, config: PriorConfig, digest: str) -> None:
        self._folder, self._config, self._digest = folder, config, digest
        self._own = _OwnFolder()

    def module(self, device: torch.device) -> nn.Module:
        return build_module(self._folder, self._config).to(device)

    def graph(self, cache: Path | None) -> Path:
        check_digests(self._folder, self._config)
        if GRAPH in self._config.files:
            return self._folder / GRAPH
        facts = {"kind": "onnx", "prior": self._digest, "opset": DEFAULT_OPSET, "torch": torch.__version__}
        try:
            return ArtefactCache(cache).get_or_build(facts, self._build).path(GRAPH)
        except CacheUnusable:
            return self._own.once(self._build) / GRAPH

    def run(self, x: Tensor, sigma: Tensor) -> None:
        return None

    def _build(self, folder: Path) -> None:
        # A copy: readers of graphs take a link for an attack.
        shutil.copyfile(self._folder / WEIGHTS, folder / WEIGHTS)
        with _explained(self._config.name):
            export_graph(folder, self._config)


class GraphSource:
    """A folder with model.onnx and no torch network."""

    def __init__(self, folder: Path, config: PriorConfig) -> None:
        self._folder, self._config = folder, config
        self._runner: OnnxRuntimeGraph | None = None

    def module(self, device: torch.device) -> nn.Module:
        raise NoModule(
            f"prior {self._config.name!r} is an ONNX graph and has no torch network: backends that run graphs can use it "
            "(openvino, onnxruntime), torch cannot, nor can solvers that need the network's gradient (dps, sitcom, ...)"
        )

    def graph(self, cache: Path | None) -> Path:
        check_digests(self._folder, self._config)
        return self._folder / GRAPH

    def run(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            self.module(x.device)
        if self._runner is None:
            self._runner = OnnxRuntimeGraph(self.graph(None), threads=torch.get_num_threads())
        out = torch.empty(x.shape, dtype=torch.float32)
        inputs = {"x": x.detach().cpu().contiguous().numpy(), "sigma": sigma.detach().cpu().contiguous().numpy()}
        self._runner.run(inputs, out.numpy())
        return out.to(x.device)


class ModuleSource:
    """A module of the user's own. Its graph, where it can be exported, lives as long as the prior."""

    def __init__(self, module: nn.Module, config: PriorConfig) -> None:
        self._module, self._config = module, config
        self._own = _OwnFolder()

    def module(self, device: torch.device) -> nn.Module:
        here = next((p.device for p in (*self._module.parameters(), *self._module.buffers())), device)
        return self._module if here == device else copy.deepcopy(self._module).to(device)

    def graph(self, cache: Path | None) -> Path:
        return self._own.once(self._build) / GRAPH

    def run(self, x: Tensor, sigma: Tensor) -> None:
        return None

    def _build(self, folder: Path) -> None:
        with _explained(self._config.name):
            module = self.module(torch.device("cpu"))
            export_onnx(module, folder / GRAPH, channels=self._config.channels, multiple=self._config.multiple)


class _OwnFolder:
    """A temporary folder that is filled once and goes with its owner."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def once(self, build: Callable[[Path], None]) -> Path:
        with self._lock:
            if self._folder is None:
                folder = tempfile.TemporaryDirectory(prefix="lmaps-")
                build(Path(folder.name))
                self._folder = folder
            return Path(self._folder.name)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Whatever stops an export becomes NoGraph, with the reason."""
    try:
        yield
    except (PriorError, OSError, MemoryError):
        raise
    except ImportError as error:
        raise NoGraph(
            f"prior {name!r} has no ONNX graph, and {error.name or 'a package'} that would make it is not installed; "
            'pip install "lmaps-engine[onnx]", or use backend "torch"'
        ) from error
    except Exception as error:  # the exporter has many kinds of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NoGraph(
            f"prior {name!r} cannot be made an ONNX graph, so only backend 'torch' can run it: {reason}"
        ) from error
