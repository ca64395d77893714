"""Every test of the bindings runs on one thread unless it asks for more, and leaves the settings as it found them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lmaps import _native


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    threads = _native.threads()
    _native.set_threads(1)
    yield
    _native.force_isa("auto")
    _native.set_threads(threads)


@pytest.fixture(params=["plain", "avx2", "avx512"])
def isa(request: pytest.FixtureRequest) -> str:
    """Runs the test once for each variant of the machine code; skips those this processor cannot run."""
    name = str(request.param)
    if name not in _native.available_isas():
        pytest.skip(f"this processor or build cannot run {name}; it can run {_native.available_isas()}")
    _native.force_isa(name)
    assert _native.isa() == name
    return name
