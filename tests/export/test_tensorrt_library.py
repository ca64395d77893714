"""Building with the real TensorRT, where there is one. It needs no GPU to read a graph; to build, as a rule, it does.

Has run, with TensorRT-RTX 1.7.1 behind the Python bindings 11.4.0.106 on a machine without a GPU (see the README).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lmaps.export.external_data import GraphError
from lmaps.export.onnx import narrow_graph
from lmaps.export.profiles import Profile
from lmaps.export.tensorrt_build import BuildSettings, build
from lmaps.export.tensorrt_library import TensorRTError, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

FIXED = Profile.parse("x:1x3x16x24,sigma:1")
RANGE = Profile.parse("x:2x3x16x24,sigma:2", min="x:1x3x8x8,sigma:1", max="x:4x3x64x64,sigma:4")


@pytest.mark.parametrize("profile", [FIXED, RANGE])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_priors_graph_builds(tiny_prior_folder: Path, tmp_path: Path, profile: Profile, precision: str) -> None:
    graph = tiny_prior_folder / "model.onnx"
    if precision == "bfloat16":
        narrow_graph(graph, tmp_path / "narrow.onnx", "bfloat16", channels=3, multiple=8)
        graph = tmp_path / "narrow.onnx"
    plan = build(graph, profile, BuildSettings(level=0))
    assert len(plan.engine) > 10_000
    again = build(graph, profile, BuildSettings(level=0), plan.timing)
    assert len(again.engine) > 10_000


def test_what_cannot_be_built_is_explained(tiny_prior_folder: Path, tmp_path: Path) -> None:
    graph = tiny_prior_folder / "model.onnx"
    for wrong in ("x:1x3x12x24,sigma:1", "x:1x4x16x24,sigma:1"):
        with pytest.raises(TensorRTError, match=r"cannot build model\.onnx for .*: .+"):
            build(graph, Profile.parse(wrong), BuildSettings(level=0))
    (tmp_path / "weights.safetensors").write_bytes((tiny_prior_folder / "weights.safetensors").read_bytes())
    strange = tmp_path / "strange.onnx"
    strange.write_bytes(graph.read_bytes().replace(b"DepthToSpace", b"DepthToSpice"))
    with pytest.raises(GraphError, match=r"cannot read .*strange\.onnx: DepthToSpice: "):
        build(strange, FIXED, BuildSettings())
