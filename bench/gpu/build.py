"""The package put together without pip or a network: CMake builds `lmaps._native`, links stand for an installation.

Where this checkout is installed already, that is used. Where the compiled steps cannot be built, a stand-in takes their
place that raises when it is called: on a GPU nothing calls it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROBE = "import lmaps, lmaps._native, lmaps.engine; print(lmaps.__file__)"
STAND_IN = '''"""Stands in for the compiled steps, which could not be built here."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*arguments, **options):
        raise RuntimeError("lmaps._native could not be built here, and " + name + " was called")

    return missing
'''


@dataclass(frozen=True, slots=True)
class Built:
    """paths: for PYTHONPATH. problem: what went wrong while building, or ""."""

    paths: tuple[str, ...]
    how: str
    seconds: float
    problem: str = ""


def provide(root: Path, work: Path, *, fresh: bool = False) -> Built:
    """Make `import lmaps` give the package of the checkout `root`. fresh: build, even where it is installed."""
    started = time.monotonic()
    if not fresh and _installed(root):
        return Built((str(root),), "installed already", time.monotonic() - started)
    tree = work / "tree"
    _links(root, tree / "lmaps")
    try:
        made = _native(root, work / "native")
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        (tree / "lmaps" / "_native.py").write_text(STAND_IN, encoding="utf-8")
        return Built((str(tree), str(root)), "links, without _native", time.monotonic() - started, str(error))
    shutil.copy2(made, tree / "lmaps" / made.name)
    return Built((str(tree), str(root)), f"links and {made.name}", time.monotonic() - started)


def _installed(root: Path) -> bool:
    answer = subprocess.run([sys.executable, "-P", "-c", PROBE], capture_output=True, text=True, cwd="/", check=False)
    file = answer.stdout.strip()
    return answer.returncode == 0 and Path(file).resolve().is_relative_to(root.resolve())


def _links(root: Path, package: Path) -> None:
    """A folder `package` that holds what an installation would: the front door, and the three rooms under it."""
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for source in [*(root / "lmaps").iterdir(), *(root / name for name in ("engine", "kernels", "export"))]:
        if source.name != "__pycache__":
            (package / source.name).symlink_to(source)


def _native(root: Path, folder: Path) -> Path:
    """Configure and build; returns the compiled module. Raises RuntimeError with the end of the tool's output."""
    cmake = ["cmake"] if shutil.which("cmake") else [sys.executable, "-m", "cmake"]
    pybind = _run([sys.executable, "-m", "pybind11", "--cmakedir"]).strip()
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DLMAPS_BUILD_PYTHON=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    configure = [*cmake, "-S", str(root), "-B", str(folder), *generator, *options, f"-Dpybind11_DIR={pybind}"]
    try:
        _run(configure)
    except RuntimeError:
        # What an earlier build left may belong to another place or compiler.
        shutil.rmtree(folder, ignore_errors=True)
        _run(configure)
    _run([*cmake, "--build", str(folder), "--parallel", str(os.cpu_count() or 1), "--target", "_native"])
    made = sorted(folder.rglob("_native*.so"))
    if not made:
        raise RuntimeError(f"the build left no _native*.so in {folder}")
    return made[0]


def _run(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if answer.returncode:
        end = (answer.stdout + answer.stderr).strip().splitlines()[-15:]
        raise RuntimeError(f"{' '.join(command[:3])} ... answers {answer.returncode}: " + "\n".join(end))
    return answer.stdout
