"""A prior: a denoiser with trained weights, by name or by folder."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import torch
from torch import Tensor, nn

from .config import CONFIG, GRAPH, PriorConfig, PriorError, read_config
from .padding import pad_to_multiple
from .store import build_module, check_digests, verify

_SHIPPED = Path(__file__).parent


class Prior:
    """What `load_prior` returns. Safe to share between threads.

    config: everything config.json says (licence, notes, architecture).
    digest: SHA-256 of config.json, which itself holds the digests of the weights and the graph.
    """

    def __init__(self, folder: Path, config: PriorConfig) -> None:
        self.folder = folder
        self.config = config
        self.digest = hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
        self._modules: dict[torch.device, nn.Module] = {}
        self._lock = threading.Lock()

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
        clean: Tensor = self.module(x.device)(pad_to_multiple(x, self.multiple), sigma)
        return clean[..., :height, :width]

    def module(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network (x, sigma) -> denoised on `device`: float32, frozen, shared. Copy it before changing it."""
        device = torch.device(device)
        with self._lock:
            if device not in self._modules:
                self._modules[device] = build_module(self.folder, self.config).to(device)
            return self._modules[device]

    def onnx_path(self) -> Path:
        """The same network as an ONNX graph; its weights are in the file beside it. Both are checked again here."""
        check_digests(self.folder, self.config)
        return self.folder / GRAPH

    def __repr__(self) -> str:
        return f"Prior({self.name!r}, {self.config.architecture}, {self.channels} channels, {self.digest[:12]})"


def load_prior(name_or_path: str | Path) -> Prior:
    """A shipped prior by its name ("photo"), or any folder that `save_prior` wrote.

    Files are checked against their digests, tensors for names, shapes and finite values; the network itself is built
    when it is first used. Raises PriorError, a ValueError, with the file and the mend.
    """
    folder = Path(name_or_path)
    shipped = {path.parent.name: path.parent for path in sorted(_SHIPPED.glob(f"*/{CONFIG}"))}
    if isinstance(name_or_path, str) and name_or_path in shipped:
        folder = shipped[name_or_path]
    elif not folder.is_dir():
        names = ", ".join(sorted(shipped)) or "none"
        raise PriorError(f"no prior {str(name_or_path)!r}: neither a shipped one ({names}) nor a folder")
    config = read_config(folder / CONFIG)
    verify(folder, config)
    return Prior(folder, config)
