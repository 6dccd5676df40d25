# medssl: `make demo` runs the whole road, `make test` the tests; both set themselves up first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test long check format clean

# Runtime packages alone: what a user needs.
$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medssl needs Python 3.11, found " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

# The tools and second readings that the tests need, too.
$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(VENV)/.runtime
	$(BIN)/medssl study configs/study/demo.yaml

# A process a core, each with one thread: small tensors gain nothing from more.
test long: export OMP_NUM_THREADS = 1
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical --dist worksteal

# What takes minutes, for CI; with MEDSSL_MIRROR set, tests on real images fail rather than skip.
long: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical --dist worksteal -m "long and not gpu"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) outputs
