"""Every code block of the documents runs as it is printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ..engine.priors.checkpoints import SHALLOW, save, weights
from ..engine.priors.graphs import Network, write_graph

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md"]
COMPARING = ROOT / "docs" / "bench.md"
# The commands of docs/bench.md at their smallest: the last of two equal options counts.
SMALL = {
    "quality": "--size 32 --budget 2 --count 1",
    "frontier": "--size 32 --steps 1,2 --count 1",
    "speed": "--size 32 --rounds 1 --cold 1 --batches 1",
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[object]:
    found = []
    for document in DOCUMENTS:
        for number, (kind, body) in enumerate(BLOCK.findall(document.read_text(encoding="utf-8"))):
            if kind == language:
                found.append(pytest.param(body, id=f"{document.name}-{number}"))
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the examples name."""
    photo = Image.open(ROOT / "engine" / "demo_photos" / "chelsea.png").resize((96, 64))
    photo.save(tmp_path / "photo.png")
    photo.save(tmp_path / "blurred.png")
    photo.save(tmp_path / "holed.png")
    mask = Image.new("L", photo.size, 255)
    mask.paste(0, (20, 20, 40, 40))
    mask.save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def networks(folder: Path) -> None:
    """Small networks under the names of large ones."""
    save(folder / "ffhq_10m.pt", weights(config=SHALLOW))
    write_graph(folder / "net.onnx", Network())


def test_the_documents_have_only_blocks_that_are_run() -> None:
    for document in DOCUMENTS:
        assert {kind for kind, _ in BLOCK.findall(document.read_text(encoding="utf-8"))} <= {"python", "console"}


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block(code: str, folder: Path) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("body", blocks("console"))
def test_console_block(body: str, folder: Path, networks: None) -> None:
    for line in body.splitlines():
        if not line.startswith("$ "):
            continue
        words = shlex.split(line[2:])
        assert words[0] == "lmaps"
        if Path("blurred.png").exists() and "-o blurred.png" in line:
            Path("blurred.png").unlink()
        if "--prior" in words:
            # Compiled, a strange network would first be traced, which takes half a minute.
            words += ["--backend", "torch", "--steps", "2"]
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.slow
def test_the_commands_of_the_bench_page(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photo.png").rename(folder / "photos" / "photo.png")
    lines = [line[2:] for line in COMPARING.read_text(encoding="utf-8").splitlines() if line.startswith("$ ")]
    assert {shlex.split(line)[2] for line in lines} == set(SMALL)
    for line in lines:
        words = [*shlex.split(line), *SMALL[shlex.split(line)[2]].split(), "-o", "out"]
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
