"""House rules that a compiler does not enforce, read off the sources."""

import ast
from pathlib import Path

import pytest

import lmaps.kernels

SOURCES = sorted(Path(lmaps.kernels.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_masked_loads_say_what_fills_the_rest(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "tl.load":
            given = {keyword.arg for keyword in node.keywords}
            assert "mask" not in given or "other" in given, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_block_pointers_no_autotune(path: Path) -> None:
    for word in ("make_block_ptr", "tl.advance", "make_tensor_descriptor", "triton.autotune", "atomic_add"):
        assert word not in path.read_text(), word


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_run_time_floats(path: Path) -> None:
    """What changes from step to step comes from the table, as float32: kernels take no floats."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_kernel"):
            kinds = {ast.unparse(a.annotation) for a in node.args.args}
            assert kinds <= {"tl.tensor", "tl.constexpr"}, node.name
            floats = {a.arg for a in node.args.args if a.arg in ("r", "k2", "eta", "keep", "gain", "sigma")}
            assert not floats, node.name


def test_sources_were_found() -> None:
    assert len(SOURCES) > 10
