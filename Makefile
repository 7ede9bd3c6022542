# `make run` and `make test` are the two commands; both install first, into .venv, from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV_VERSION := 0.13.9
ROOMS := proto core sdk host streams proxy collectors control cli

.PHONY: install run test check unit lock bench proto clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit("Weir needs Python 3.11 or newer, found " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo "installing locked dependencies into $(VENV)"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

run: install
	@$(BIN)/weir serve --demo

test: install check unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOMS) examples bench
	$(BIN)/lint-imports

unit: install
	$(BIN)/python -m pytest

bench: install
	$(BIN)/python -m bench

lock:
	@test -x $(BIN)/uv || ($(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION))
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 --all-extras --group dev pyproject.toml --output-file requirements.lock

proto: install
	$(BIN)/python -m weir_proto.build

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
