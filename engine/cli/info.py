"""`lmaps info`: what is installed, which backends and kernels would run here, and why not."""

from __future__ import annotations

import json
import platform
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer

from . import options as o
from .errors import Stop, for_people
from .kept import clear, kept, print_kept

PACKAGES = (
    "torch",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx",
    "triton",
    "tensorrt",
    "numpy",
    "pillow",
    "tifffile",
    "imagecodecs",
    "torchmetrics",
)
# Each of them installs the folder `onnxruntime`.
ONNX_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


def info(
    device: o.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for bug reports and scripts.")] = False,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Remove kept graphs and engines; no more.")
    ] = False,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", min=0, help="Only what was not used for DAYS days.")
    ] = None,
) -> None:
    """Say what is installed, which backends and kernels would run, why others would not, and what is kept on disk."""
    if older_than is not None and not clear_cache:
        raise Stop("--older-than goes with --clear-cache")
    if clear_cache:
        clear(older_than or 0)
        return
    with for_people():
        facts = gather(device)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)


def gather(device: str = "auto") -> dict[str, Any]:
    """Facts about this machine and installation, plain values only."""
    import torch

    from lmaps import __version__

    from ...export.machine import cpu_name
    from .. import tasks
    from ..denoisers import available
    from ..denoisers.cpu import usable_cores

    return {
        "lmaps": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": {
            "name": cpu_name(),
            "cores": usable_cores(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
        },
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "packages": {name: _version(name) for name in PACKAGES},
        "backends": [{"name": name, "runs": runs, "why": why} for name, runs, why in available(device)],
        "problems": _problems(),
        "kernels": [_native(), _triton()],
        "tasks": tasks.names(),
        "priors": _priors(),
        "metrics": {"perceptual": _perceptual()},
        "cache": kept(),
    }


def _perceptual() -> str:
    from .. import metrics

    try:
        return metrics.perceptual().label
    except RuntimeError as reason:
        return str(reason)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _problems() -> list[str]:
    """What is installed in a way that cannot be right."""
    both = [name for name in ONNX_RUNTIMES if _version(name)]
    if len(both) < 2:
        return []
    return [
        f"{' and '.join(both)} are both installed, and own one folder: what was installed last runs, and removing either "
        f"breaks both. pip uninstall -y {' '.join(both)}, then install the one you need ({both[-1]} runs on CPUs too)"
    ]


def _native() -> dict[str, Any]:
    try:
        import_module("lmaps._native")
    except ImportError as error:
        return {"name": "native (C++)", "runs": False, "why": f"lmaps._native cannot be imported ({error})"}
    return {"name": "native (C++)", "runs": True, "why": "lmaps._native is built"}


def _triton() -> dict[str, Any]:
    from ...kernels import available

    runs, why = available()
    return {"name": "triton (GPU)", "runs": runs, "why": why}


def _priors() -> list[str]:
    from importlib import resources

    folder = resources.files("lmaps.engine.priors")
    return sorted(entry.name for entry in folder.iterdir() if (entry / "config.json").is_file())


def _print(facts: dict[str, Any]) -> None:
    cpu = facts["cpu"]
    print(f"lmaps {facts['lmaps']}, Python {facts['python']}, {facts['platform']}")
    print(f"CPU: {cpu['name']}, {cpu['cores']} usable cores, {cpu['instructions']}")
    print(f"GPU: {', '.join(facts['gpus']) or 'none that torch sees'}")
    print("packages:")
    for name, version in facts["packages"].items():
        print(f"  {name:17}{version or 'not installed'}")
    for problem in facts["problems"]:
        print(f"  PROBLEM: {problem}")
    for title, rows in (("backends, best first:", facts["backends"]), ("kernels:", facts["kernels"])):
        print(title)
        for row in rows:
            print(f"  {row['name']:21}{'runs' if row['runs'] else 'does not run'}: {row['why']}")
    print(f"tasks: {', '.join(facts['tasks'])}")
    print(f"priors: {', '.join(facts['priors']) or 'none shipped'}")
    print(f"perceptual metric: {facts['metrics']['perceptual']}")
    print_kept(facts["cache"])
