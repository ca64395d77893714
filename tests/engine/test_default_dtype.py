"""A program whose default dtype is float64 gets the pictures that everyone gets, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine import tasks


@contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def restored(folder: Path, task: str, **options: Any) -> Tensor:
    """Everything anew, from the operator and the prior's network on; three pictures, so that a batch is filled up."""
    operator = tasks.build(task)
    y = operator(torch.linspace(-1, 1, 3 * 3 * 48 * 48, dtype=torch.float32).reshape(3, 3, 48, 48)).detach()
    given = {"backend": "torch", "steps": 2, "device": "cpu", "size": (48, 48), "batch": 2, **options}
    with lmaps.compile(operator, lmaps.load_prior(folder), task=task, **given) as restorer:
        return restorer(y).image


CASES: list[tuple[str, dict[str, Any]]] = [
    ("sr4", {}),
    ("sr4", {"tile": 32}),
    ("sr4", {"backend": "openvino", "precision": "float32"}),
    ("deblur-motion", {}),
    ("jpeg", {}),
    ("phase-retrieval", {}),
    *(("sr4", {"solver": solver}) for solver in ("daps", "dps", "diffpir", "pigdm", "mcg-diff")),
]


@pytest.mark.parametrize(("task", "options"), CASES)
def test_the_default_dtype_does_not_matter(task: str, options: dict[str, Any], tiny_prior_folder: Path) -> None:
    wanted = restored(tiny_prior_folder, task, **options)
    with float64_by_default():
        got = restored(tiny_prior_folder, task, **options)
    assert got.dtype == torch.float32
    assert torch.equal(got, wanted)
