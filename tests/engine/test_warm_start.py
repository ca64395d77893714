"""Fresh processes that restore a picture, with a cold and a warm cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# What a user's script does, and what it had to import for that.
SCRIPT = """
import hashlib, json, sys
import lmaps, torch

torch.set_num_threads(1)
restorer = lmaps.compile("sr4", sys.argv[1], size=(24, 40), steps=2, backend="openvino", precision="float32", device="cpu")
result = restorer(torch.linspace(-1, 1, 180).reshape(1, 3, 6, 10))
stats = {name: result.stats[name] for name in ("cache", "prepare", "compile_s")}
image = hashlib.sha256(result.image.numpy().tobytes()).hexdigest()
unwanted = {"onnx", "onnxruntime", "onnxscript", "triton", "statistics", "torch._dynamo", "torch._inductor", "rich", "typer",
            "PIL", "lmaps.engine.priors.networks.adm", "lmaps.engine.priors.networks.song"}
print(json.dumps({**stats, "image": image, "imported": sorted(unwanted & sys.modules.keys())}))
"""


def start(prior: Path, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "LMAPS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(prior)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def answer(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def test_cold_together_then_warm_then_with_an_edited_artefact(tiny_prior_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cold = [answer(process) for process in [start(tiny_prior_folder, cache) for _ in range(2)]]
    assert sorted(facts["cache"] for facts in cold) == ["built", "hit"]  # one compiled, the other waited for it
    (blob,) = cache.glob("artefacts/*/compiled.blob")

    warm = answer(start(tiny_prior_folder, cache))
    assert warm["cache"] == "hit"
    assert warm["prepare"]["build_s"] == 0
    assert warm["imported"] == []  # nothing but what it needs on the way of a process that finds its graph compiled

    data = bytearray(blob.read_bytes())
    data[len(data) // 3] ^= 1
    blob.write_bytes(data)
    edited = answer(start(tiny_prior_folder, cache))
    assert edited["cache"] == "built"
    assert len({facts["image"] for facts in (*cold, warm, edited)}) == 1
