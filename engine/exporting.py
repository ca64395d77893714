"""A prior written out for other programs: an ONNX graph, OpenVINO's files, or a TensorRT engine, and what it is in JSON."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_args

from ..export import digest
from ..export.onnx import (
    DEFAULT_OPSET,
    INPUTS,
    OUTPUT,
    Precision,
    contain_graph,
    default_opset,
    export_onnx,
    fix_shapes,
    narrow_graph,
    stored_opset,
)
from ..export.profiles import Profile
from .denoisers import BackendUnavailable
from .priors import Prior

Target = Literal["onnx", "openvino", "tensorrt"]
ABOUT = "model.json"
_FILES: dict[Target, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "tensorrt": ("model.plan",),
}
_PACKAGES = ("lmaps-engine", "torch", "onnx", "onnxscript", "openvino", "tensorrt")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to write.

    precision: of the matrix products; see `lmaps.export.half`. For OpenVINO "float16" is how weights are stored, while the
               arithmetic is chosen when it runs.
    profile:   shapes: needed for TensorRT; for OpenVINO bounds; for ONNX one shape, fixed; None for any shape.
    opset:     of the ONNX graph; by default 20, or 22 with bfloat16.
    Raises ValueError for what does not go together.
    """

    target: Target
    precision: Precision = "float32"
    profile: Profile | None = None
    opset: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("target", self.target, get_args(Target)),
            ("precision", self.precision, get_args(Precision)),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known are {', '.join(known)}")
        if self.target == "openvino" and self.precision == "bfloat16":
            raise ValueError(
                "OpenVINO chooses bfloat16 when it runs (INFERENCE_PRECISION_HINT=bf16), not in its files: export float32, "
                "or float16 for weights of half the size"
            )
        if self.target == "openvino" and (self.opset or 0) > DEFAULT_OPSET:
            raise ValueError(
                f"OpenVINO 2026 crashes on float32 graphs with fixed shapes above opset {DEFAULT_OPSET}, got {self.opset}"
            )
        if self.target == "tensorrt" and self.profile is None:
            raise ValueError("a TensorRT engine is built for given shapes: give --size H W, or --opt, --min and --max")
        if self.target == "onnx" and self.profile and self.profile.min != self.profile.max:
            raise ValueError("an ONNX graph has free or fixed shapes, no ranges: give one shape, or none")


def export_prior(prior: Prior, wish: Wish, folder: Path, *, force: bool = False) -> list[Path]:
    """Write `prior` into `folder`, which is made if need be, and return the files: model.json comes last.

    Everything is made and checked aside, then moved in. Raises FileExistsError unless `force` where files of these names
    are there, BackendUnavailable where the target's library is missing, ValueError for shapes that the network does not
    take, ExportError where what was made does not compute what the prior computes.
    """
    names = (*_FILES[wish.target], ABOUT)
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise FileExistsError(f"{folder} already holds {', '.join(there)}; give --force to replace them")
    if reason := _missing(wish.target):
        raise BackendUnavailable(f"cannot export to {wish.target}: {reason}")
    if wish.profile:
        check_profile(prior, wish.profile)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".exporting-", dir=folder) as staging:
        aside = Path(staging)
        write_graph(prior, wish, aside / "model.onnx")
        opset = stored_opset(aside / "model.onnx")
        if wish.target in _WRITERS:
            _WRITERS[wish.target](wish, aside)
        about = describe(prior, wish, opset, {name: aside / name for name in _FILES[wish.target]})
        (aside / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for name in names:
            os.chmod(aside / name, 0o644)
            os.replace(aside / name, folder / name)
    return [folder / name for name in names]


def check_profile(prior: Prior, profile: Profile) -> None:
    """Raise ValueError unless the shapes name x [B, C, H, W] and sigma [B] as the prior's network takes them."""
    if set(profile.opt) != set(INPUTS):
        raise ValueError(f"shapes must name {' and '.join(INPUTS)}, got {', '.join(sorted(profile.opt))}")
    for shapes in (profile.min, profile.opt, profile.max):
        x, sigma = shapes["x"], shapes["sigma"]
        if len(x) != 4 or x[1] != prior.channels:
            raise ValueError(f"x must have shape Bx{prior.channels}xHxW for prior {prior.name!r}, got {_x(x)}")
        if bad := [side for side in x[2:] if side % prior.multiple]:
            raise ValueError(
                f"height and width must be multiples of {prior.multiple} for prior {prior.name!r}, got {_x(x)}: "
                f"instead of {bad[0]} take {-(-bad[0] // prior.multiple) * prior.multiple}"
            )
        if sigma != x[:1]:
            raise ValueError(
                f"sigma has one value a picture: its shape must be {x[0]} as the batch of x, got {_x(sigma)}"
            )
        prior.check(x[0], (x[2], x[3]))


def fixed_profile(prior: Prior, size: tuple[int, int], batch: int) -> Profile:
    """The shapes of `batch` pictures of `size` (H, W)."""
    return Profile.fixed({"x": (batch, prior.channels, *size), "sigma": (batch,)})


def write_graph(prior: Prior, wish: Wish, path: Path) -> None:
    """One self-contained ONNX file, checked. The network is traced anew only where another opset is asked for."""
    precision: Precision = "float32" if wish.target == "openvino" else wish.precision
    source = prior.onnx_path()
    stored = stored_opset(source)
    opset = wish.opset or max(stored, default_opset(precision))
    channels, multiple = prior.channels, prior.multiple
    if precision == "float32" and opset == stored:
        contain_graph(source, path)
    elif precision != "float32" and opset == max(stored, default_opset(precision)):
        narrow_graph(source, path, precision, channels=channels, multiple=multiple)
    else:
        module = prior.module("cpu")
        export_onnx(module, path, channels=channels, multiple=multiple, opset=opset, precision=precision)
    if wish.target == "onnx" and wish.profile:
        fix_shapes(path, wish.profile.opt)


def describe(prior: Prior, wish: Wish, opset: int, files: Mapping[str, Path]) -> dict[str, Any]:
    """What model.json says."""
    sides = prior.config.size or (f"{prior.multiple}*h", f"{prior.multiple}*w")
    shape = [prior.config.batch or "B", prior.channels, *sides]
    picture = {"shape": shape, "type": "float32"}
    return {
        "format": 1,
        "target": wish.target,
        "precision": wish.precision,
        "opset": opset,
        "prior": {"name": prior.name, "digest": prior.digest},
        "licence": prior.config.licence,
        "notes": dict(prior.config.notes),
        "inputs": {
            "x": {**picture, "meaning": "clean + sigma * noise, clean in [-1, 1]"},
            "sigma": {"shape": shape[:1], "type": "float32", "meaning": "noise level of each picture, above 0"},
        },
        "outputs": {OUTPUT: {**picture, "meaning": "estimate of the clean picture, in [-1, 1]"}},
        "shapes": wish.profile.facts() if wish.profile else None,
        "files": {name: {"sha256": digest.of_file(path), "size": path.stat().st_size} for name, path in files.items()},
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def _write_openvino(wish: Wish, aside: Path) -> None:
    from ..export.openvino_files import save_openvino

    save_openvino(aside / "model.onnx", aside / "model.xml", wish.profile, half=wish.precision == "float16")


def _write_tensorrt(wish: Wish, aside: Path) -> None:
    from ..export.tensorrt_build import BuildSettings, build

    assert wish.profile is not None
    plan = build(aside / "model.onnx", wish.profile, BuildSettings())
    (aside / "model.plan").write_bytes(plan.engine)


# What is made of the ONNX graph; for ONNX itself nothing.
_WRITERS: dict[Target, Callable[[Wish, Path], None]] = {"openvino": _write_openvino, "tensorrt": _write_tensorrt}


def _missing(target: Target) -> str | None:
    """Why nothing can be written for `target` here, or None."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        return f'{error.name} is not installed; pip install "lmaps-engine[onnx]"'
    if target == "openvino":
        try:
            import openvino  # noqa: F401
        except ImportError as error:
            return f"the package openvino cannot be imported ({error}); pip install openvino"
    if target == "tensorrt":
        import torch

        from ..export.tensorrt_library import missing

        if reason := missing():
            return reason
        if not torch.cuda.is_available():
            return "an engine is built on the GPU it will run on, and torch sees no CUDA device"
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _x(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
