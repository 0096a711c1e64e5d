# Everything works on a machine that has Python >= 3.11 and make. `make` alone lists the targets.
# PYTHON=/path/to/python3 picks another interpreter, VENV=folder another virtual environment.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := $(VENV)/bin

# Some machines forbid Python to keep compiled files; every start would then compile everything, 2.5 times slower.
export PYTHONDONTWRITEBYTECODE :=
# Networks with a certificate authority of their own have it in the system's store, which pip asks and uv does not.
export UV_SYSTEM_CERTS ?= 1

INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
PYTEST = $(BIN)/python -m pytest

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-examples ## Train, register, deploy and score real digits, end to end.
	@$(BIN)/python examples/01_digits/demo.py

test: $(VENV)/.installed-test check ## Run every check and every test but the long ones.
	@echo "==> Tests"
	@$(PYTEST) -m "not long" -n 2 --dist loadfile $(ARGS)

test-long: $(VENV)/.installed-test ## Run the long tests: chaos, whole journeys.
	@echo "==> Long tests"
	@$(PYTEST) -m long $(ARGS)

test-lowest: $(BIN)/uv ## Run the tests with the oldest dependencies pyproject.toml admits.
	@echo "==> Installing the lowest versions into .venvs/lowest"
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venvs/lowest
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venvs/lowest/bin/python --resolution lowest-direct -e '.[test]'
	@.venvs/lowest/bin/python -m pytest -m "not long" -n 2 --dist loadfile --ignore tests/architecture $(ARGS)

check: $(VENV)/.installed-test ## Lint, type-check, and check floors and towers.
	@echo "==> ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Some files are not formatted; run: make format"; exit 1; }
	@echo "==> mypy --strict"
	@$(BIN)/mypy --no-error-summary
	@echo "==> import-linter"
	@$(BIN)/lint-imports --no-logo >.import-linter.log 2>&1 || { cat .import-linter.log; rm -f .import-linter.log; exit 1; }
	@rm -f .import-linter.log

format: $(VENV)/.installed-test ## Format the code and sort its imports.
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

bench: $(VENV)/.installed-test ## Measure what we promise, each against its limit.
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed-examples ## Check every link in the documentation and render it.
	@$(BIN)/python docs/build.py

clean: ## Remove environments and caches (not your workspaces).
	@rm -rf $(VENV) .venvs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache docs/_site

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Penstock needs Python 3.11 or newer and found none. If you have one: make PYTHON=/path/to/python3"; exit 1; }
	@echo "==> Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "Python could not make a virtual environment. On Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.installed-%: pyproject.toml | $(BIN)/uv
	@echo "==> Installing Penstock [$*] into $(VENV) (once)"
	@$(INSTALL) --editable '.[$*]'
	@touch $@

.PHONY: help demo test test-long test-lowest check format bench docs clean
.SECONDARY:
