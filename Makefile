# Two commands set everything up on a fresh machine, each from a clean clone: `make demo` and `make test`.
# They need Python 3.11 or newer with venv, and a C++17 compiler.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= demo-output

# torch is pinned to the byte: a loose pin takes the newest build, which on a machine without a GPU brings gigabytes of CUDA.
TORCH  := torch==2.13.0

# deepinv, an independent oracle of the tests, is installed without its torchvision, which would replace this torch.
NATIVE := CMakeLists.txt $(shell find cpp -name '*.cpp' -o -name '*.hpp' -o -name '*.inl' -o -name 'CMakeLists.txt')

# Type stubs of TensorRT, for mypy alone: beside the environment, where they would pass for an installed `tensorrt`.
STUBS  := build/stubs

.PHONY: install demo test test-slow lint format bench bench-compare clean
.DELETE_ON_ERROR:

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps deepinv
	touch $@

$(STUBS)/tensorrt/__init__.pyi: constraints.txt | $(VENV)/installed
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(STUBS) tensorrt-stubs
	touch $@

demo: install
	$(BIN)/lmaps demo -o $(DEMO)

test: install lint
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

# mypy does not see through an editable install, so it is shown the package as links. The stubs of TensorRT have parameters
# named `in` and one without a default after others, which no parser takes; mypy reads a mended copy.
lint: install $(STUBS)/tensorrt/__init__.pyi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typing/lmaps
	for f in lmaps/*; do ln -sfn "$(CURDIR)/$$f" build/typing/lmaps/; done
	for d in engine kernels export; do ln -sfn "$(CURDIR)/$$d" build/typing/lmaps/$$d; done
	for d in tensorrt tensorrt_bindings; do mkdir -p build/typing/$$d; for f in $(STUBS)/$$d/*.pyi; do \
	  (echo '# mypy: ignore-errors'; sed -E 's/([(,] ?)in: /\1in_: /g; s/channel_axis: int\)/channel_axis: int = ...)/' $$f) \
	  > build/typing/$$d/$$(basename $$f); done; done
	cd build/typing && MYPYPATH=. "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" -p lmaps

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# About ten minutes on two quiet cores. bench-compare runs the suites and compares with the baseline of this kind of machine;
# SAVE=--save makes this run the baseline.
bench: install
	mkdir -p build
	$(BIN)/python -m pytest bench --benchmark-only --benchmark-sort=fullname --benchmark-columns=median,min,iqr,rounds \
	  --benchmark-json=build/bench.json

bench-compare: bench
	$(BIN)/python -m bench.compare build/bench.json $(SAVE)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache $(DEMO)
