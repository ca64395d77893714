"""lmaps_core as a C++ library: built from scratch, under the sanitizers, in plain standard C++, and used by another project."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("cmake") is None or shutil.which("c++") is None, reason="needs cmake and a C++ compiler"
    ),
]

ROOT = Path(__file__).parents[2]
CONSUMER = """
cmake_minimum_required(VERSION 3.24)
project(consumer LANGUAGES CXX)
find_package(lmaps 0.1 REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE lmaps::lmaps_core)
"""
MAIN = """
#include <cstdio>
#include <lmaps/lmaps.hpp>

int main() {
  float x[4] = {0.1f, 0.2f, 0.3f, 0.4f}, y[4] = {1, 1, 1, 1}, mask[4] = {1, 0, 1, 0}, out[4];
  lmaps::mask_steps(x, y, mask, 4, out, {1, 1, 2, 2}, {1.0, 1.0, 0.5, 1});
  std::printf("%.2f %.2f %.2f %.2f", out[0], out[1], out[2], out[3]);
}
"""


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(folder: Path, *options: str) -> None:
    run("cmake", "-S", ROOT, "-B", folder, *options)
    run("cmake", "--build", folder, "--parallel", "2")


def ctest(folder: Path) -> None:
    report = run("ctest", "--test-dir", folder, "--output-on-failure")
    assert "100% tests passed" in report
    assert "0 tests failed out of 0" not in report


def test_no_kernel_symbol_is_shared_between_instruction_sets(tmp_path: Path) -> None:
    """A weak symbol of an AVX-512 file could be the copy that the linker keeps for everybody."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    for kind in ("Release", "Debug"):
        build(tmp_path / kind, f"-DCMAKE_BUILD_TYPE={kind}")
        objects = list((tmp_path / kind).glob("cpp/CMakeFiles/lmaps_kernels_*/**/*.o"))
        assert objects
        for file in objects:
            symbols = [line.split() for line in run("nm", file).splitlines()]
            shared = [parts[-1] for parts in symbols if parts[-2] in ("W", "V", "u", "w", "v")]
            assert not shared, f"{file.name} of {kind} shares {shared}"


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_under_sanitizers(tmp_path: Path, sanitizers: str) -> None:
    options = (f"-DLMAPS_SANITIZE={sanitizers}", "-DLMAPS_BUILD_TESTS=ON", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    build(tmp_path, *options)
    ctest(tmp_path)


def test_in_standard_cpp(tmp_path: Path) -> None:
    build(tmp_path, "-DLMAPS_STANDARD_ONLY=ON", "-DLMAPS_BUILD_TESTS=ON")
    ctest(tmp_path)


def test_another_project_finds_and_uses_it(tmp_path: Path) -> None:
    build(tmp_path / "build", f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'installed'}")
    run("cmake", "--install", tmp_path / "build")
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    (consumer / "CMakeLists.txt").write_text(CONSUMER)
    (consumer / "main.cpp").write_text(MAIN)
    run("cmake", "-S", consumer, "-B", consumer / "build", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}")
    run("cmake", "--build", consumer / "build")
    assert run(consumer / "build" / "consumer") == "0.55 0.20 0.65 0.40"
