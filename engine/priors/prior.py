"""A prior: a denoiser with trained weights, by name, by folder, or made from a graph or a module at hand."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import inference
from .config import CONFIG, ONNX, UNKNOWN_LICENCE, PriorConfig, read_config
from .error import PriorError
from .from_diffusers import is_pipeline
from .from_module import describe, wrap
from .noise_schedule import NoiseSchedule
from .padding import pad_to_multiple, padded
from .sources import FolderSource, GraphSource, ModuleSource, Source
from .store import verify

_SHIPPED = Path(__file__).parent
Schedule = NoiseSchedule | Mapping[str, Any] | str | Sequence[float]


class Prior:
    """What `load_prior` returns. Safe to share between threads.

    config: everything config.json says (licence, notes, architecture).
    digest: SHA-256 of config.json, which itself holds the digests of the weights and the graph. A prior made by
            `from_module` has a random one: nothing that depends on a module's code may be kept under its name.
    """

    def __init__(self, config: PriorConfig, digest: str, source: Source) -> None:
        self.config, self.digest, self._source = config, digest, source
        self._modules: dict[torch.device, nn.Module] = {}
        self._lock = threading.Lock()
        self._keeper: object = None  # a temporary folder that lives as long as the prior

    @staticmethod
    def from_onnx(
        path: str | Path,
        *,
        prediction: str,
        schedule: Schedule | None = None,
        timestep: str | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        channels: int | None = None,
        multiple: int | None = None,
        name: str | None = None,
        licence: str = UNKNOWN_LICENCE,
    ) -> Prior:
        """A prior that is the ONNX graph at `path`: inputs a picture [B, C, H, W] and a timestep or sigma [B].

        prediction: "epsilon", "v", "sample" (at a timestep of `schedule`), or "denoised" (at sigma, alpha = 1).
        schedule:   "linear" (DDPM's, the default), "scaled-linear", "cosine", a `NoiseSchedule`, or alphas_cumprod.
        timestep:   "interpolated" or "nearest"; see `prediction`.   value_range: of the network's own pictures.
        channels, multiple: where the graph does not say: C, and what H and W must be divisible by (found by trying).

        Runs on OpenVINO and ONNX Runtime; there is no gradient. Channels of the answer beyond C are dropped.
        Raises PriorError saying what does not fit.
        """
        from .from_onnx import save_graph

        keeper = tempfile.TemporaryDirectory(prefix="lmaps-")
        folder = Path(keeper.name)
        save_graph(
            Path(path),
            folder,
            prediction=prediction,
            schedule=schedule,
            timestep=timestep,
            value_range=value_range,
            channels=channels,
            multiple=multiple,
            name=name,
            licence=licence,
        )
        prior = load_prior(folder)
        prior._keeper = keeper
        return prior

    @staticmethod
    def from_module(
        module: nn.Module,
        *,
        prediction: str,
        channels: int,
        multiple: int,
        schedule: Schedule | None = None,
        timestep: str = "interpolated",
        whole_steps: bool = False,
        value_range: tuple[float, float] = (-1.0, 1.0),
        name: str | None = None,
        licence: str = UNKNOWN_LICENCE,
    ) -> Prior:
        """A prior that is `module`, called as module(x, t): the picture [B, C, H, W] and a timestep or sigma [B].

        The arguments are those of `from_onnx`. multiple: what H and W must be divisible by (1 for any).
        whole_steps: t is int64, for networks that look it up; goes with timestep="nearest".
        An answer that is not a tensor is taken by its attribute `sample`.

        The module is used as it is, not copied: it is put in evaluation mode and its parameters are frozen. For the
        backends that run graphs it is exported to ONNX when first needed; where that fails they say why.
        Raises ValueError or TypeError for arguments that make no sense.
        """
        config = describe(
            name=name or type(module).__name__,
            licence=licence,
            prediction=prediction,
            schedule=schedule,
            timestep=timestep,
            value_range=value_range,
            channels=channels,
            multiple=multiple,
        )
        source = ModuleSource(wrap(module, config, whole_steps=whole_steps), config)
        return Prior(config, secrets.token_hex(32), source)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def channels(self) -> int:
        """C of the pictures."""
        return self.config.channels

    @property
    def multiple(self) -> int:
        """What the network's H and W are divisible by. `denoise` takes any size; `module` and the graph do not."""
        return self.config.multiple

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[clean | x] for x = clean + sigma * noise: x [B, C, H, W] float32 in units of [-1, 1], sigma [B] > 0.

        Any H and W. Plain torch in float32 on x's device, differentiable in x: the reference that the compiled
        denoisers of `lmaps.engine.denoisers` are tested against.
        """
        if x.ndim != 4 or x.shape[1] != self.channels or x.numel() == 0 or x.dtype != torch.float32:
            raise ValueError(
                f"x must be float32 [B, {self.channels}, H, W] and not empty, got {x.dtype} of shape {tuple(x.shape)}"
            )
        sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device)
        if sigma.shape != x.shape[:1] or not bool((sigma > 0).all()):
            raise ValueError(f"sigma must hold {x.shape[0]} positive noise levels, got {sigma.tolist()}")
        height, width = x.shape[-2:]
        self.check(x.shape[0], (height, width))
        whole = pad_to_multiple(x, self.multiple)
        clean = self._source.run(whole, sigma)
        if clean is None:
            clean = self.module(x.device)(whole, sigma)
        return clean[..., :height, :width]

    def check(self, batch: int, size: tuple[int, int]) -> None:
        """Raise PriorError where the network has fixed shapes that `batch` pictures of `size` (H, W) do not fit."""
        fixed, (height, width) = self.config.size, (padded(side, self.multiple) for side in size)
        if fixed is not None and fixed != (height, width):
            raise PriorError(
                f"prior {self.name!r} takes pictures of {fixed[0]}x{fixed[1]} only, got {size[0]}x{size[1]}: use "
                f"tile={min(fixed)} (--tile {min(fixed)}) for larger ones, or export the graph with free sides"
            )
        if self.config.batch not in (None, batch):
            raise PriorError(
                f"prior {self.name!r} takes {self.config.batch} picture(s) a call, got {batch}: use "
                f"batch={self.config.batch}, or export the graph with a free batch"
            )

    @inference.left()
    def module(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network (x, sigma) -> denoised on `device`: float32, frozen, shared. Copy it before changing it.

        Raises NoModule for a prior that is an ONNX graph.
        """
        device = torch.device(device)
        with self._lock:
            if device not in self._modules:
                self._modules[device] = self._source.module(device)
            return self._modules[device]

    def onnx_path(self, cache: Path | None = None) -> Path:
        """The same network as an ONNX graph, its weights in a file beside it; both are checked again here.

        Where the prior has none, it is exported, which takes seconds to a minute, and kept in the artefact cache
        (`cache`, or the one that LMAPS_CACHE or the platform names).
        Raises NoGraph, with the reason, where it cannot be exported here.
        """
        return self._source.graph(cache)

    def __repr__(self) -> str:
        return f"Prior({self.name!r}, {self.config.architecture}, {self.channels} channels, {self.digest[:12]})"


def load_prior(name_or_path: str | Path) -> Prior:
    """A shipped prior by its name ("photo"), or any folder that `save_prior` or `lmaps convert` wrote.

    Files are checked against their digests, tensors for names, shapes and finite values; the network itself is built
    when it is first used. Raises PriorError, a ValueError, with the file and the mend.
    """
    folder = Path(name_or_path)
    shipped = {path.parent.name: path.parent for path in sorted(_SHIPPED.glob(f"*/{CONFIG}"))}
    if isinstance(name_or_path, str) and name_or_path in shipped:
        folder = shipped[name_or_path]
    elif folder.is_file() or (is_pipeline(folder) and not (folder / CONFIG).is_file()):
        raise PriorError(f"{folder} is not a prior yet: make one of it with `lmaps convert {folder} -o DIR`")
    elif not folder.is_dir():
        names = ", ".join(sorted(shipped)) or "none"
        raise PriorError(f"no prior {str(name_or_path)!r}: neither a shipped one ({names}) nor a folder")
    config = read_config(folder / CONFIG)
    verify(folder, config)
    digest = hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
    if config.architecture == ONNX:
        return Prior(config, digest, GraphSource(folder, config))
    return Prior(config, digest, FolderSource(folder, config, digest))
