"""Shared by every test: fixed seeds, and two threads so that timings and rounding do not depend on the machine's size."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(42)
