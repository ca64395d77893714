"""Operators: H(x), and the gradient J^T (H(x) - y) that every inner step takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lmaps.engine import tasks
from lmaps.engine.bench.runs import operator


@pytest.mark.parametrize("task", list(tasks.TASKS))
def test_forward(benchmark: Any, task: str, shape: tuple[int, int, int, int]) -> None:
    h = operator(task, shape[-1], 0)
    x = torch.rand(shape) * 2 - 1
    h(x)
    benchmark(h, x)


@pytest.mark.parametrize("task", list(tasks.TASKS))
def test_data_gradient(benchmark: Any, task: str, shape: tuple[int, int, int, int]) -> None:
    h = operator(task, shape[-1], 0)
    x, truth = torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1
    y = h.degrade(truth, 0.05)
    h.data_gradient(x, y)
    benchmark(h.data_gradient, x, y)
