from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaps.export.profiles import Profile, format_shapes, parse_shapes

names = st.text("abcxyz_.0", min_size=1, max_size=6)
shapes = st.dictionaries(names, st.lists(st.integers(1, 9999), min_size=1, max_size=5).map(tuple), min_size=1)


def test_the_grammar_of_trtexec() -> None:
    assert parse_shapes("x:1x3x64x64,sigma:1") == {"x": (1, 3, 64, 64), "sigma": (1,)}
    assert parse_shapes(" x : 2x3 , y:4 ") == {"x": (2, 3), "y": (4,)}


@given(shapes)
def test_shapes_survive_the_round_trip(given_shapes: dict[str, tuple[int, ...]]) -> None:
    assert parse_shapes(format_shapes(given_shapes)) == given_shapes


@pytest.mark.parametrize("text", ["", "x", "x:", "x:1x", "x:-1", "x:1x3,", "x:1,,y:2", "x:1 3", "x:1.5", "x=1x3"])
def test_what_is_not_a_shape_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="shapes are written name:1x3x64x64"):
        parse_shapes(text)


def test_two_shapes_of_one_input() -> None:
    with pytest.raises(ValueError, match="x has two shapes"):
        parse_shapes("x:1,x:2")


def test_a_profile_of_one_shape_takes_only_that() -> None:
    profile = Profile.parse("x:1x3x64x64,sigma:1")
    assert profile == Profile.fixed({"x": (1, 3, 64, 64), "sigma": (1,)})
    assert profile.accepts({"x": (1, 3, 64, 64), "sigma": (1,)})
    assert not profile.accepts({"x": (1, 3, 64, 72), "sigma": (1,)})
    assert not profile.accepts({"x": (1, 3, 64, 64)})
    assert not profile.accepts({"x": (1, 3, 64), "sigma": (1,)})


def test_a_range_takes_what_lies_within() -> None:
    profile = Profile.parse("x:4x64,s:4", min="x:1x8,s:1", max="x:8x512,s:8")
    assert profile.accepts({"x": (1, 8), "s": (8,)})
    assert not profile.accepts({"x": (9, 8), "s": (1,)})
    assert profile.facts() == {"min": "s:1,x:1x8", "opt": "s:4,x:4x64", "max": "s:8,x:8x512"}


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ("x:2x8,s:1", None, r"shapes of x .*rise from min over opt to max, got 2x8, 1x8 and 1x8"),
        (None, "x:1x4,s:1", "got 1x8, 1x8 and 1x4"),
        ("x:8,s:1", None, "shapes of x must have one rank"),
        ("x:1x8", None, "must name the same inputs"),
        ("x:0x8,s:1", None, "must be at least 1"),
    ],
)
def test_profiles_that_make_no_sense(low: str | None, high: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Profile.parse("x:1x8,s:1", min=low, max=high)
