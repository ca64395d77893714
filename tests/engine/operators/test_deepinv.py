"""Operators from deepinv, and its blur and reduction against the ones here."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.operators import from_deepinv

from .cases import ODD_KERNEL, pictures, relative


class Physics:
    """deepinv's base classes, by name: the fast tests do without the library."""


class LinearPhysics(Physics):
    """The same."""


class Rows(LinearPhysics):
    """Every second row is seen, in deepinv's [0, 1]."""

    def A(self, x: Tensor) -> Tensor:
        return x[..., ::2, :]

    def A_adjoint(self, u: Tensor) -> Tensor:
        x = u.new_zeros((*u.shape[:-2], 2 * u.shape[-2], u.shape[-1]))
        x[..., ::2, :] = u
        return x

    def A_dagger(self, y: Tensor) -> Tensor:
        return self.A_adjoint(y)


class Cube(Physics):
    """Not linear, although it has something called an adjoint, as deepinv's phase retrieval does."""

    def A(self, x: Tensor) -> Tensor:
        return x**3

    def A_adjoint(self, u: Tensor) -> Tensor:
        return u


class Empty(type):
    """Makes classes whose every name is such a class again."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty(name, (), {})


class StandIn(types.ModuleType):
    """A module whose every name is an empty class: enough for an `import` that nothing here uses."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty(name, (), {})


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module under the given names, and makes a stand-in of it."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in self.names:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> StandIn:
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def missing(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return True
    return False


@pytest.fixture(scope="module")
def physics() -> Iterator[Any]:
    """`deepinv.physics`. What deepinv imports but these tests do not need is stood in for where it is missing."""
    before = set(sys.modules)
    names = [name for name in ("torchvision", "requests") if missing(name)]
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in names:
            del sys.modules[name]
    finder = StandIns(names)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("deepinv.physics")
    except ImportError as error:
        pytest.skip(f"deepinv does not import here: {error}")
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("deepinv", *names):
                del sys.modules[name]


def test_linear_physics_are_linear_in_the_state() -> None:
    operator, x = from_deepinv(Rows()), pictures((8, 6))
    assert operator.linear
    assert torch.equal(operator(x), -operator(-x))
    u = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    assert float((operator(x) * u).sum()) == pytest.approx(float((x * operator.adjoint(u)).sum()))
    assert operator.picture_shape(u) == (2, 3, 8, 6)
    assert torch.equal(operator.start(operator(x)), operator.adjoint(operator(x)))


def test_a_measurement_of_theirs_is_turned_into_ours() -> None:
    x, plain = pictures((8, 6)), Rows()
    theirs = plain.A((x + 1) / 2)
    operator = from_deepinv(plain)
    assert isinstance(operator, operators.LinearOperator)
    assert relative(operator.measurement(theirs), operator(x)) <= 1e-14


def test_other_physics_see_the_range_from_0_to_1() -> None:
    x = pictures((8, 6))
    operator = from_deepinv(Cube())
    assert not operator.linear
    assert torch.allclose(operator(x), ((x + 1) / 2) ** 3)
    assert torch.allclose(operator.vjp(x, x), 1.5 * ((x + 1) / 2) ** 2 * x)


def test_what_is_not_physics_is_refused() -> None:
    with pytest.raises(TypeError, match=r"deepinv\.physics object, got int"):
        from_deepinv(3)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("circular", "circular"), ("reflect", "reflect"), ("replicate", "replicate")]
)
def test_blur_is_theirs(physics: Any, theirs: str, ours: str) -> None:
    """deepinv convolves, so its kernel is ours flipped."""
    kernel = ODD_KERNEL[:, :5]
    wrapped = from_deepinv(physics.Blur(kernel.flip(0, 1)[None, None], padding=theirs))
    x = pictures((20, 24))
    own = operators.Blur(kernel, padding=ours)
    assert relative(wrapped(x), own(x)) <= 1e-10
    u = pictures((20, 24), seed=2)
    assert relative(wrapped.adjoint(u), own.adjoint(u)) <= 1e-10


def test_their_phase_retrieval_is_not_linear(physics: Any) -> None:
    assert not from_deepinv(physics.RandomPhaseRetrieval(m=20, img_size=(1, 3, 3))).linear


def test_inpainting_is_theirs(physics: Any) -> None:
    mask = (torch.rand(3, 9, 14) < 0.5).double()
    wrapped = from_deepinv(physics.Inpainting(img_size=(3, 9, 14), mask=mask.float()).double())
    x = pictures((9, 14))
    assert relative(wrapped(x), operators.Inpainting(mask)(x)) <= 1e-12
