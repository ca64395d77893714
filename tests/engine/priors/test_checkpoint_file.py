"""Files from strangers: what they are is said, nothing in them is run, and damage gives one kind of error."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lmaps.engine.priors import PriorError
from lmaps.engine.priors.checkpoint_file import read_checkpoint
from lmaps.engine.priors.file_kind import code_in, kind_of

from .checkpoints import save

SMALL = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.zeros(3)}


class Bomb:
    """A pickle that makes a file when it is read by Python's own reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Rebuilt:
    """As NVIDIA's persistence module pickles networks: a function of its own and the source code as text."""

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, ({"module_src": "import os"},)


def _reconstruct_persistent_obj(meta: dict[str, str]) -> None:
    raise AssertionError(f"this code must never run: {meta}")


def torch_file(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


WAYS_TO_RUN: dict[str, Callable[[Any], bytes]] = {
    "torch, zip": lambda bomb: torch_file({"a": bomb}),
    "torch, zip, beside weights": lambda bomb: torch_file({"state_dict": SMALL, "extra": bomb}),
    "torch, before zip": lambda bomb: torch_file({"a": bomb}, _use_new_zipfile_serialization=False),
    "torch, newest protocol": lambda bomb: torch_file({"a": bomb}, pickle_protocol=5),
    "a plain pickle": lambda bomb: pickle.dumps({"ema": bomb}),
    "a plain pickle of protocol 2": lambda bomb: pickle.dumps({"ema": bomb}, protocol=2),
}


@pytest.mark.parametrize("name", ["net.pt", "net.pkl", "net.ckpt"])
@pytest.mark.parametrize("way", WAYS_TO_RUN)
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(way: str, name: str, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    (tmp_path / name).write_bytes(WAYS_TO_RUN[way](Bomb(mark)))
    with pytest.raises(PriorError, match=r"runs code when it is read: it asks for \w+\.system"):
        read_checkpoint(tmp_path / name)
    assert not mark.exists()
    if way == "a plain pickle":  # the bomb is live: this is what other readers would have done
        pickle.loads((tmp_path / name).read_bytes())
        assert mark.exists()


@pytest.mark.parametrize("way", WAYS_TO_RUN)
def test_networks_pickled_with_their_code_are_explained(way: str, tmp_path: Path) -> None:
    (tmp_path / "edm.pkl").write_bytes(WAYS_TO_RUN[way](Rebuilt()))
    with pytest.raises(PriorError, match=r"_reconstruct_persistent_obj.*write the weights alone: torch\.save"):
        read_checkpoint(tmp_path / "edm.pkl")


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(save(tmp_path / "net.pt", nn.Linear(2, 2)))


def test_code_is_listed_without_running(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(pickle.dumps([Bomb(tmp_path / "it-ran")]))
    assert code_in(tmp_path / "bomb") == ["posix.system"]
    assert code_in(save(tmp_path / "weights.pt", SMALL)) == []
    assert not (tmp_path / "it-ran").exists()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


NOT_WEIGHTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", r"is empty \(0 bytes\)"),
    "LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS pointer"),
    "web page": (lambda: b"\n <!DOCTYPE html><html><title>Sign in</title>", "is a web page"),
    "bare html": (lambda: b"<HTML><BODY>404", "is a web page"),
    "JSON": (lambda: b'{"error": "quota exceeded"}', "text file"),
    "zeros": (lambda: bytes(5000), "begins with zeros"),
    "text": (lambda: b"Access denied", "unknown kind"),
    "PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG picture"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(99), "gzip archive"),
    "npz": (lambda: zipped({"a.npy": b"x"}), r"NumPy archive"),
    "another zip": (lambda: zipped({"readme.txt": b"x"}), "zip archive without weights"),
    "TorchScript": (script, "TorchScript program, which is code"),
    "a list": (lambda: torch_file([torch.zeros(2)]), "holds a list, not weights by name"),
    "a number": (lambda: torch_file(3), "holds a int"),
    "no weights": (lambda: torch_file({"epoch": 3, "lr": 0.1}), r"no weights under any of ema.*'epoch'; 'lr'"),
    "empty dict": (lambda: torch_file({}), "it has nothing"),
    "empty state": (lambda: torch_file({"state_dict": {}}), "does not hold weights by name"),
    "weights and others": (lambda: torch_file({"net": {**SMALL, "step": 3}}), "not weights: 'step'"),
    "names that are numbers": (lambda: torch_file({"net": {1: torch.zeros(2)}}), "not weights: 1"),
    "weights in a list": (lambda: torch_file({"net": [torch.zeros(2)]}), "no weights under any"),
    "more than the file": (
        lambda: torch_file({"a": torch.zeros(1).expand(1 << 40)}),
        r"claims 4398046511104 bytes of weights and has \d+",
    ),
    "safetensors, header too long": (lambda: struct.pack("<Q", 5000) + b"{" + bytes(99), "header alone is 5000 bytes"),
    "safetensors, bad header": (
        lambda: struct.pack("<Q", 20) + b"{" + bytes(99),
        "not a safetensors file, or it is damaged",
    ),
}


@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_what_is_no_checkpoint_is_named_for_what_it_is(case: str, tmp_path: Path) -> None:
    make, message = NOT_WEIGHTS[case]
    (tmp_path / "net.pt").write_bytes(make())
    with pytest.raises(PriorError, match=message):
        read_checkpoint(tmp_path / "net.pt")


def test_what_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none.pt", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(PriorError, match=message):
            read_checkpoint(path)


FILES: dict[str, Callable[[], bytes]] = {
    "torch, zip": lambda: torch_file({"ema": SMALL, "step": 3}),
    "torch, before zip": lambda: torch_file(SMALL, _use_new_zipfile_serialization=False),
    "safetensors": lambda: safetensors_file(),
}


def safetensors_file() -> bytes:
    from safetensors.torch import save as to_bytes

    data: bytes = to_bytes(SMALL)
    return data


@pytest.mark.parametrize("kind", FILES)
def test_cut_off_anywhere_it_is_refused(kind: str, tmp_path: Path) -> None:
    data, path = FILES[kind](), tmp_path / "net.pt"
    path.write_bytes(data)
    read_checkpoint(path)
    for length in sorted({*range(1, 60), *range(60, len(data), 37), *range(len(data) - 40, len(data))}):
        path.write_bytes(data[:length])
        with pytest.raises(PriorError, match=r"net\.pt"):
            read_checkpoint(path)


@pytest.mark.parametrize("kind", FILES)
def test_changed_bytes_give_weights_or_one_kind_of_error(kind: str, tmp_path: Path) -> None:
    data, path, draw, refused = FILES[kind](), tmp_path / "net.pt", random.Random(0), 0
    for _ in range(150):
        bad = bytearray(data)
        for _ in range(draw.choice([1, 4])):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        path.write_bytes(bad)
        try:
            found = read_checkpoint(path)
            sum(float(np.nan_to_num(value.double().numpy()).sum()) for value in found.weights.values())
        except PriorError:
            refused += 1
    assert refused > 10


def test_kinds(tmp_path: Path) -> None:
    save_file(SMALL, tmp_path / "a.bin")
    assert kind_of(tmp_path / "a.bin") == "safetensors"
    assert kind_of(save(tmp_path / "a.safetensors", SMALL)) == "torch"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory of a process there")
def test_reading_maps_the_file_and_copies_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", {"a": torch.zeros(5_000_000)})
    before = resident()
    weights = read_checkpoint(path).weights
    assert resident() - before < 10e6
    assert weights["a"].sum() == 0


def resident() -> float:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
