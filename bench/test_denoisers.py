"""One call of the shipped network on every backend that runs here, against torch in float32."""

from __future__ import annotations

import pytest
import torch

import lmaps
from lmaps.engine.denoisers import BackendUnavailable, open_denoiser

from .conftest import Against

KINDS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("backend", "precision"), KINDS, ids=lambda kind: kind)
def test_call(against: Against, backend: str, precision: str, batch: int, size: int) -> None:
    prior = lmaps.load_prior("photo")
    try:
        fast = open_denoiser(prior, backend=backend, precision=precision, size=(size, size), batch=batch)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    plain = open_denoiser(prior, backend="torch", precision="float32", size=(size, size), batch=batch)
    x, sigma = torch.rand(batch, 3, size, size) * 2 - 1, torch.full((batch,), 0.3)
    against(
        lambda: fast(x, sigma),
        lambda: plain(x, sigma),
        figure=f"network, {backend} {precision}, batch {batch}, against torch float32",
    )
