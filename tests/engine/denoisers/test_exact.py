"""float32 without TF32, and torch's switches as the user left them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator

import pytest
import torch

from lmaps.engine.denoisers.exact import exact_float32


@pytest.fixture(autouse=True)
def _switches() -> Iterator[None]:
    cudnn, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = cudnn
    torch.set_float32_matmul_precision(products)


def switches() -> tuple[bool, str]:
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("products", ["highest", "high"])
def test_tf32_is_off_inside_and_as_before_behind(convolutions: bool, products: str) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with exact_float32(), exact_float32():
            assert switches() == (False, "highest")
            assert torch.backends.cuda.matmul.fp32_precision != "tf32"
        assert switches() == (convolutions, products)
    with pytest.raises(KeyError), exact_float32():
        raise KeyError
    assert switches() == (convolutions, products)


def test_the_last_of_several_threads_sets_them_back() -> None:
    """The first to end leaves the switches alone as long as another still runs."""
    torch.backends.cudnn.allow_tf32 = True
    inside, leave = threading.Event(), threading.Event()

    def long() -> None:
        with exact_float32():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=long)
    with exact_float32():
        thread.start()
        assert inside.wait(10)
    assert torch.backends.cudnn.allow_tf32 is False
    leave.set()
    thread.join()
    assert torch.backends.cudnn.allow_tf32 is True


def test_torchs_newer_names_are_respected() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    try:
        with exact_float32():
            assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.rnn.fp32_precision = "tf32"
