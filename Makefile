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

.PHONY: install demo test test-slow lint format bench clean
.DELETE_ON_ERROR:

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps deepinv
	touch $@

demo: install
	$(BIN)/lmaps demo -o $(DEMO)

test: install lint
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

# mypy does not see through an editable install, so it is shown the package as links.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typing/lmaps
	for f in lmaps/*; do ln -sfn "$(CURDIR)/$$f" build/typing/lmaps/; done
	for d in engine kernels export; do ln -sfn "$(CURDIR)/$$d" build/typing/lmaps/$$d; done
	cd build/typing && MYPYPATH=. "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" -p lmaps

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m pytest bench --benchmark-only

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache $(DEMO)
