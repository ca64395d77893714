"""The streaming writer of safetensors files, read back by the safetensors package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lmaps.engine.priors import PriorError
from lmaps.engine.priors.weights_file import load_weights, slices, write_weights

MIXED = {
    "b.half": torch.randn(3, 5).half(),
    "a.full": torch.randn(7),
    "odd half": torch.randn(3).half(),
    "scalar": torch.tensor(2.5),
    "nothing": torch.zeros(0, 4),
    "a view": torch.randn(4, 6).t()[1:, ::2],
    'quote " and ä': torch.randn(2, 1, 3),
}


def test_the_package_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    digest = write_weights(path, MIXED, metadata={"name": "x"})
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    found = load_file(path)
    assert found.keys() == MIXED.keys()
    for key, value in MIXED.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"name": "x"}
    assert all(place.offset % (2 if place.element_type == 10 else 4) == 0 for place in slices(path).values())


def test_loading_gives_float32_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_weights(path, MIXED, metadata={})
    found = load_weights(path)
    path.write_bytes(bytes(path.stat().st_size))
    for key, value in MIXED.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], value.float())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("half", [False, True])
def test_values_that_are_not_finite_are_refused(value: float, half: bool, tmp_path: Path) -> None:
    with pytest.raises(PriorError, match=r"^b has values that are not finite"):
        write_weights(tmp_path / "w", {"a": torch.ones(2), "b": torch.tensor([1.0, value])}, metadata={}, half=half)


def test_values_too_large_for_half_are_told_apart(tmp_path: Path) -> None:
    write_weights(tmp_path / "w", {"a": torch.tensor([[65504.0]])}, metadata={}, half=True)
    with pytest.raises(PriorError, match=r"^a has values that float16 cannot hold"):
        write_weights(tmp_path / "w", {"a": torch.tensor([[65530.0]])}, metadata={}, half=True)
