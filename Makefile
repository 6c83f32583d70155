# Every verb sets up what it needs. PYTHON=/path/to/python3.12 chooses the interpreter; else .ci/find_python does.

VENV  ?= .venv
BIN   := $(VENV)/bin
PYTHON ?=
# Two test processes suit two cores; one test file stays in one process, so that it compiles its solvers once. Files
# start in the order of collection, the longest first (tests/conftest.py): xdist would start those with the fewest tests
# last, and the longest file has one.
TEST_PROCESSES ?= 2
# Notebooks and demos call bayestwin as an installed program would.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Matrices are small here: threads of the linear algebra library that wait for each other cost more than they compute.
export OPENBLAS_NUM_THREADS ?= 1

INSTALL = $(BIN)/python -m pip install -qq -c constraints.txt

.PHONY: help demo test check format validate constraints wheel clean clean-cache

help:
	@echo "make demo         follow one synthetic patient and write a report          (the first run installs 1.2 GB)"
	@echo "make test         all tests but the slow identities"
	@echo "make check        format, lint, types, floors of the architecture"
	@echo "make format       write the format that check wants"
	@echo "make validate     the slow identities: calibration, coverage, recovery"
	@echo "make constraints  pin the versions anew in constraints.txt"
	@echo "make wheel        build dist/*.whl"
	@echo "make clean        remove the virtual environment and everything made"

$(BIN)/python:
	@python="$(PYTHON)"; [ -n "$$python" ] || python=$$(sh .ci/find_python) || exit 1; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' \
	  || { echo "PYTHON=$$python does not run as Python 3.12 or newer."; exit 1; }; \
	echo "Making $(VENV) with $$python ($$("$$python" --version))"; \
	rm -rf $(VENV); "$$python" -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "$$python could not make a virtual environment; see the lines above."; exit 1; }

# A stamp per set of packages: installed again only when the requirements change.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing bayestwin and its test tools into $(VENV) (96 packages, 1.2 GB; some minutes the first time)"
	@$(INSTALL) -e '.[test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the developer's tools (ruff, mypy, pip-tools) into $(VENV)"
	@$(INSTALL) -e '.[test,dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/bayestwin demo --out demo_report

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

validate: $(VENV)/.installed
	$(BIN)/python -m pytest -q -m validate --durations=10

# Versions only: no address, no hash, no machine path. The same file serves 3.12 and 3.13 (both resolve to it).
PIP_COMPILE = $(BIN)/pip-compile --quiet --no-header --no-annotate --strip-extras --upgrade \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	--allow-unsafe --unsafe-package pip --extra test --extra dev --extra notebook

constraints: $(VENV)/.installed-dev
	$(PIP_COMPILE) --output-file $(VENV)/constraints.txt pyproject.toml
	@{ echo "# The versions the tests ran on, for Python 3.12 and 3.13. Made by \`make constraints\`."; \
	   grep '==' $(VENV)/constraints.txt; } > constraints.txt

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean-cache:
	rm -rf .cache

clean: clean-cache
	rm -rf $(VENV) build dist demo_report tryout .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
