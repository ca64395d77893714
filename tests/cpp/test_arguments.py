"""Bad input is refused with the name of the argument, whatever the function; nothing is converted, nothing crashes."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch

from lmaps import _native

from .calls import all_calls
from .twins import Array

CALLS = all_calls()
ARRAYS = [(name, key) for name, call in CALLS.items() for key, value in call.items() if isinstance(value, np.ndarray)]
NUMBERS = [(name, key) for name, call in CALLS.items() for key, value in call.items() if isinstance(value, float)]
COUNTS = [(name, key) for name, call in CALLS.items() for key in ("steps", "count", "step", "stream") if key in call]


def call(name: str, **changed: Any) -> Any:
    return getattr(_native, name)(**{**all_calls()[name], **changed})


def result(name: str) -> Array:
    return np.asarray(call(name))


class ElsewhereTensor:
    """Claims to lie on a GPU."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self) -> object:
        raise AssertionError("must not be asked for")


class BrokenTensor:
    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self) -> object:
        return "no capsule"


def misaligned(array: Array) -> Array:
    memory = np.zeros(array.nbytes + 1, np.uint8)
    return memory[1:].view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_arrays(name: str, key: str) -> None:
    good = CALLS[name][key]
    wide = np.repeat(good, 2, axis=-1)[..., ::2]
    double = np.complex128 if np.iscomplexobj(good) else np.float64
    for bad in (
        good.astype(double),
        good.real.astype(np.int32),
        good.astype(good.dtype.newbyteorder()),
        good.tolist(),
        None,
        3.0,
        BrokenTensor(),
    ):
        with pytest.raises(TypeError, match=rf"^{key}\b"):
            call(name, **{key: bad})
    for bad in (
        wide,
        misaligned(good),
        np.zeros((0, *good.shape[1:]), good.dtype),
        np.swapaxes(good, -1, -2),
        ElsewhereTensor(),
    ):
        with pytest.raises(ValueError, match=rf"^{key}\b"):
            call(name, **{key: bad})


@pytest.mark.parametrize(("name", "key"), ARRAYS)
def test_shapes(name: str, key: str) -> None:
    good = CALLS[name][key]
    if key in ("x", "u") and name != "transition":
        bad = good[0]
    elif key in ("lam", "x0") and name in ("spectral_gain", "transition"):
        return  # any shape will do for the first
    elif key == "kernel":
        bad = good[:2]
    else:
        bad = np.concatenate([good, good], axis=-1)
    with pytest.raises(ValueError, match=r"shape|dimensions|odd"):
        call(name, **{key: bad})


@pytest.mark.parametrize(("name", "key"), NUMBERS)
def test_numbers(name: str, key: str) -> None:
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match=rf"^{key}\b"):
            call(name, **{key: bad})
    with pytest.raises(TypeError, match=rf"\b{key}\b"):
        call(name, **{key: "much"})


@pytest.mark.parametrize(("name", "key"), COUNTS)
def test_counts(name: str, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}\b"):
        call(name, **{key: -1})
    with pytest.raises(TypeError, match=rf"\b{key}\b"):
        call(name, **{key: 1.5})


@pytest.mark.parametrize("name", CALLS)
def test_out(name: str) -> None:
    good = result(name)
    other = np.float32 if np.iscomplexobj(good) else np.float64
    with pytest.raises(TypeError, match=r"^out\b"):
        call(name, out=np.empty(good.shape, other))
    locked = np.empty_like(good)
    locked.flags.writeable = False
    for bad in (locked, np.empty((*good.shape, 1), good.dtype), np.repeat(good, 2, axis=-1)[..., ::2]):
        with pytest.raises(ValueError, match=r"^out\b"):
            call(name, out=bad)
    for key, value in CALLS[name].items():
        if isinstance(value, np.ndarray) and value.shape == good.shape and value.dtype == good.dtype:
            memory = value.copy()
            with pytest.raises(ValueError, match=rf"(out|x_next|gain) overlaps ({key}|eigenvalues)"):
                call(name, **{key: memory, "out": memory})


@pytest.mark.parametrize("name", CALLS)
def test_torch_tensors_work_in_place_of_arrays(name: str) -> None:
    expected = result(name)
    tensors = {key: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for key, v in CALLS[name].items()}
    out = torch.full(expected.shape, float("nan"), dtype=torch.from_numpy(expected).dtype)
    assert getattr(_native, name)(**tensors, out=out) is out
    np.testing.assert_array_equal(out.numpy(), expected)
    borrowed = [weakref.ref(value) for value in tensors.values() if isinstance(value, torch.Tensor)]
    del tensors
    assert all(tensor() is None for tensor in borrowed), "a tensor was kept"


@pytest.mark.parametrize(
    ("tensor", "error"),
    [
        (torch.zeros(2, 3, 24, 40, dtype=torch.float64), TypeError),
        (torch.zeros(2, 3, 24, 40, dtype=torch.bfloat16), TypeError),
        (torch.zeros(2, 3, 40, 24).transpose(2, 3), ValueError),
        (torch.zeros(2, 3, 24, 40, requires_grad=True), ValueError),
        (torch.zeros(2, 3, 24, 40, device="meta"), ValueError),
        (torch.zeros(2, 3, 24, 41)[..., 1:], ValueError),
    ],
)
def test_torch_tensors_that_will_not_do(tensor: torch.Tensor, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^y\b"):
        call("hdr_steps", y=tensor)


def test_sides_of_length_one_do_not_make_a_tensor_strided() -> None:
    column = torch.zeros(1, 1, 5, 7)[:, :, :, :1]
    assert not column.is_contiguous()
    flat = torch.zeros(5).as_strided((1, 1, 5, 1), (99, 77, 1, 55))
    assert _native.quantize_steps(flat, flat, 2, 0.5, 1.0, 0.1, 1).shape == (1, 1, 5, 1)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("transition", {"sigma": 0.0}, "sigma must be greater than 0"),
        ("transition", {"sigma_next": -1.0}, "sigma_next must not be negative"),
        ("transition", {"rho": 1.01}, r"rho must be a number in \[0"),
        ("transition", {"seeds": [1]}, "seeds must hold one seed an image, 2, got 1"),
        ("normal", {"stream": 2**32}, r"stream must be in \[0, 2\^32\)"),
        ("normal", {"out": np.empty(3, np.float32)}, "out must have shape"),
        ("mask_steps", {"r": 1.5}, "r must be a number"),
        ("mask_steps", {"k2": -1.0}, "k2 must not be negative"),
        ("mask_steps", {"mask": np.ones((2, 1, 24, 40), np.float32)}, "mask must have the last dimensions of xhat"),
        ("hdr_steps", {"scale": 0.0}, "scale must be greater than 0"),
        ("hdr_steps", {"gradient": "none"}, "gradient must be 'exact' or 'surrogate'"),
        ("hdr_steps", {"steps": 2**63 - 1}, "steps must be a number here"),
        ("quantize_steps", {"bits": 17}, "bits must be in 1..16"),
        ("jpeg_steps", {"sampling": "4:2:1"}, "sampling must be"),
        ("jpeg_steps", {"chroma": "none"}, "chroma must be"),
        (
            "jpeg_steps",
            {"luma_table": np.zeros((8, 8), np.float32)},
            "luma_table must hold finite numbers greater than 0",
        ),
        ("jpeg_steps", {"chroma_table": np.ones((3, 8, 8), np.float32)}, "chroma_table must have shape"),
        ("jpeg_forward", {"x": np.ones((1, 2, 8, 8), np.float32)}, "channels must be 3"),
        ("blur_forward", {"padding": "valid"}, "padding must be"),
        ("blur_forward", {"kernel": np.ones((49, 3), np.float32)}, "reaches 24 entries beyond the picture"),
        ("blur_forward", {"kernel": np.full((3, 3), np.nan, np.float32)}, "kernel.weights must hold finite numbers"),
        ("blur_forward", {"kernel": (np.ones(3, np.float32),)}, "kernel must be an array"),
        ("spectral_apply", {"w": np.ones((3, 24, 40), np.float32)}, "w must have the shape of lam"),
    ],
)
def test_messages(name: str, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(name, **changed)


def test_types_that_are_no_numbers() -> None:
    with pytest.raises(TypeError):
        _native.normal(3, 1.5, 0, 0)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"steps must be an integer, 'exact' or math.inf"):
        call("spectral_gain", steps="many")
    with pytest.raises(TypeError, match="b must be real or complex as c is"):
        call("spectral_filter", c=CALLS["spectral_apply"]["c"])


def test_phase_middle_refuses() -> None:
    z, y = np.ones((3, 4), np.complex64), np.ones((3, 4), np.float32)
    with pytest.raises(TypeError, match=r"^z must hold complex64"):
        _native.phase_middle(y.copy(), y)
    with pytest.raises(TypeError, match=r"^y must hold float32"):
        _native.phase_middle(z, z.copy())
    with pytest.raises(ValueError, match=r"^y must have the shape of z"):
        _native.phase_middle(z, y.ravel())
    with pytest.raises(ValueError, match=r"z overlaps y"):
        _native.phase_middle(z, z.view(np.float32).ravel()[:12].reshape(3, 4))
    z.flags.writeable = False
    with pytest.raises(ValueError, match=r"^z is read-only"):
        _native.phase_middle(z, y)
