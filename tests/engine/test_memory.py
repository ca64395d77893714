"""The peak of this program's memory, and of nobody else's."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A large array in the starter, let go again before the child begins.
STARTER = """
import subprocess, sys
big = bytearray(1_500_000_000)
del big
child = "from lmaps.engine.memory import resident_peak; print(resident_peak())"
print(subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_the_peak_of_the_starter_is_not_inherited() -> None:
    told = subprocess.run([sys.executable, "-c", STARTER], check=True, capture_output=True, text=True).stdout
    assert 50e6 < int(told) < 1.2e9
