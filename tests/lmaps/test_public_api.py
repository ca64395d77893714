"""The names others call: changing one of these lists is changing the interface."""

from __future__ import annotations

import inspect
import subprocess
import sys

import lmaps


def test_public_names() -> None:
    assert lmaps.__all__ == [
        "BackendUnavailable",
        "Diverged",
        "Prior",
        "Progress",
        "Restorer",
        "Result",
        "__version__",
        "compile",
        "load_prior",
        "operators",
        "restore",
        "sample",
        "schedules",
        "solvers",
    ]
    for name in lmaps.__all__:
        assert getattr(lmaps, name) is not None


def test_fixed_signatures() -> None:
    """DESIGN's interface: names and defaults that other programs rely on."""
    compile_parameters = inspect.signature(lmaps.compile).parameters
    fixed = {
        "prior": "photo",
        "batch": 1,
        "solver": "lmaps",
        "steps": None,
        "device": "auto",
        "backend": "auto",
        "precision": "auto",
        "preset": "auto",
        "noise": None,
    }
    assert {name: compile_parameters[name].default for name in fixed} == fixed
    assert list(inspect.signature(lmaps.sample).parameters)[:3] == ["denoise", "operator", "y"]
    assert {"schedule", "solver", "seed", "callback"} <= set(inspect.signature(lmaps.sample).parameters)
    assert {"seed", "callback"} <= set(inspect.signature(lmaps.Restorer.__call__).parameters)


def test_operators_have_their_names() -> None:
    for name in (
        "SuperResolution",
        "Inpainting",
        "GaussianBlur",
        "Blur",
        "MotionBlur",
        "PhaseRetrieval",
        "HDR",
        "NonlinearBlur",
        "JPEG",
        "Quantize",
        "Denoise",
        "InverseScattering",
        "MRI",
        "BlackHole",
        "from_deepinv",
        "Operator",
    ):
        assert hasattr(lmaps.operators, name)
    assert "lmaps" in lmaps.solvers.available()


def test_import_is_quick_and_lean() -> None:
    """Importing lmaps loads neither torch nor any optional package; using it loads none that is not needed."""
    program = (
        "import sys, time; t = time.perf_counter(); import lmaps; s = time.perf_counter() - t\n"
        "heavy = {'torch', 'triton', 'tensorrt', 'openvino', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert s < 1, s\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_everything_works_without_optional_packages() -> None:
    """triton, tensorrt, openvino, onnx and onnxruntime made unimportable: torch restores all the same."""
    program = (
        "import sys\n"
        "for name in ('triton', 'tensorrt', 'openvino', 'onnx', 'onnxscript', 'onnxruntime'): sys.modules[name] = None\n"
        "import torch, lmaps\n"
        "restorer = lmaps.compile('sr4', size=(32, 32), steps=2, backend='torch')\n"
        "result = restorer(torch.zeros(1, 3, 8, 8))\n"
        "assert result.status == 'ok' and result.stats['backend'] == 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
