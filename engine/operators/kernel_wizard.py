"""The blur network of BKSE: a sharp picture and a code of the blur in, the blurred picture out.

Source: Tran, Tran, Phung, Hoai, "Explore image deblurring via encoded blur kernel space", CVPR 2021. Its checkpoints (for
instance GOPRO_wVAE.pth) load here; the part of them that reads codes off pairs of pictures is not needed and left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64
CODE = 512
FRONT, BACK = 10, 20
# Channels after each of the five reductions of the U-Net that the code is put into.
LEVELS = (64, 128, 256, 512, 512)
# A picture is reduced 4 times before the U-Net and 32 times inside.
MULTIPLE = 128
# The encoder of codes, which checkpoints also hold.
UNUSED = "kernel_extractor."


class KernelWizard(nn.Module):
    """blurred = sharp + tail(back(adapt(front(head(sharp)), code))).

    sharp [B, 3, H, W] in [0, 1] with H, W multiples of 128; code [B, 512, H/128, W/128].
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.ModuleList(nn.Conv2d(i, WIDTH, 3, s, 1) for i, s in ((3, 1), (WIDTH, 2), (WIDTH, 2)))
        self.front = nn.ModuleList(Residual() for _ in range(FRONT))
        inner = [WIDTH, *LEVELS]
        self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1, bias=False) for i, o in zip(inner, LEVELS, strict=False))
        # Only the last enlargement has a bias.
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * i, o, 4, 2, 1, bias=level == 0)
            for level, (i, o) in enumerate(zip(LEVELS, inner, strict=False))
        )
        self.back = nn.ModuleList(Residual() for _ in range(BACK))
        self.tail = nn.ModuleList(nn.Conv2d(WIDTH, o, 3, 1, 1) for o in (4 * WIDTH, 4 * WIDTH, WIDTH, 3))

    def forward(self, sharp: Tensor, code: Tensor) -> Tensor:
        x = sharp
        for conv in self.head:
            x = F.leaky_relu(conv(x), 0.1)
        for block in self.front:
            x = block(x)
        x = self._adapt(x, code)
        for block in self.back:
            x = block(x)
        first, second, third, last = self.tail
        for conv in (first, second):
            x = F.leaky_relu(F.pixel_shuffle(conv(x), 2), 0.1)
        blurred: Tensor = sharp + last(F.leaky_relu(third(x), 0.1))
        return blurred

    def _adapt(self, x: Tensor, code: Tensor) -> Tensor:
        """The U-Net; the code joins at its bottom."""
        passed = []
        for level, conv in enumerate(self.down):
            x = conv(x if level == 0 else F.leaky_relu(x, 0.2))
            passed.append(x)
        x = code
        # The code takes the place of what would come from one level deeper.
        for level in reversed(range(len(LEVELS))):
            join = (passed[level], x) if level == len(LEVELS) - 1 else (x, passed[level])
            x = self.up[level](F.relu(torch.cat(join, 1)))
        return torch.tanh(x)


class Residual(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.relu(self.conv1(x)))
        return out


def load(path: str | PathLike[str]) -> KernelWizard:
    """The network with the weights of a BKSE checkpoint, in evaluation mode and frozen.

    The file is read with weights_only=True. Raises FileNotFoundError, and ValueError naming the file and the tensors that
    are missing, unknown or of another shape.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}: give the path of a BKSE checkpoint such as GOPRO_wVAE.pth")
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a file of weights alone: {reason}") from None
    with torch.device("meta"):
        network = KernelWizard()
    network.load_state_dict(_renamed(stored, network, path), assign=True)
    return network.float().eval().requires_grad_(False)


def _renamed(stored: Any, network: KernelWizard, path: str | PathLike[str]) -> dict[str, Tensor]:
    if not isinstance(stored, Mapping):
        raise ValueError(f"{path} holds a {type(stored).__name__}, not a dictionary of tensors")
    names, wanted = dict(checkpoint_names()), network.state_dict()
    missing = [names[key] for key in wanted if names[key] not in stored]
    unknown = [key for key in stored if key not in names.values() and not str(key).startswith(UNUSED)]
    if missing or unknown:
        raise ValueError(f"{path} is not a BKSE checkpoint: missing {_few(missing)}; unknown {_few(unknown)}")
    values = {key: stored[names[key]] for key in wanted}
    bad = [
        names[key]
        for key, value in values.items()
        if not isinstance(value, Tensor) or value.shape != wanted[key].shape or not torch.isfinite(value).all()
    ]
    if bad:
        raise ValueError(f"{path} holds tensors of another shape, or not finite: {_few(bad)}")
    return values


def _few(names: list[str]) -> str:
    return (
        ", ".join(map(str, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"
    )


def checkpoint_names() -> Iterator[tuple[str, str]]:
    """(name here, name in a checkpoint) of every tensor: there, layers are counted together with their activations."""
    places: list[tuple[str, str]] = [(f"head.{i}", f"feature_extractor.{2 * i}") for i in range(3)]
    for i in range(FRONT):
        places += _residual(f"front.{i}", f"feature_extractor.{6 + i}")
    for i in range(BACK):
        places += _residual(f"back.{i}", f"recon_trunk.{i}")
    places += [(f"tail.{i}", f"recon_trunk.{BACK + j}") for i, j in enumerate((0, 3, 6, 8))]
    for level in range(len(LEVELS)):
        there = "adapter.model" + ".submodule" * level
        # The first reduction has no activation before it.
        yield f"down.{level}.weight", f"{there}.down.{min(level, 1)}.weight"
        yield f"up.{level}.weight", f"{there}.up.1.weight"
    yield "up.0.bias", "adapter.model.up.1.bias"
    for here, there in places:
        for kind in ("weight", "bias"):
            yield f"{here}.{kind}", f"{there}.{kind}"


def _residual(here: str, there: str) -> list[tuple[str, str]]:
    return [(f"{here}.{conv}", f"{there}.{conv}") for conv in ("conv1", "conv2")]
