"""Shared by every test: fixed seeds, and one torch thread, since more would only wait for each other on small tensors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or left in the user's own cache of compiled graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LMAPS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(42)


@pytest.fixture(scope="session")
def tiny_prior_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior with random weights, saved once a session: exporting a graph takes seconds. Copy it before editing it."""
    from lmaps.engine.priors import save_prior

    from .tiny import random_denoiser

    folder = tmp_path_factory.mktemp("priors") / "tiny"
    save_prior(folder, random_denoiser(), name="tiny", licence="Apache-2.0", notes={"data": "none, random weights"})
    return folder
