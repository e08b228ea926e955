# `make train` and `make test` do all their set-up themselves. Set PYTHON to choose the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: train test test-fast test-long robust-start readme-figures lint lock clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

train: $(VENV)/.run  ## train the Dirichlet VAE on the digits and draw its pictures (ARGS="..." adds options)
	$(BIN)/jaxvae train $(ARGS)

test: $(VENV)/.dev lint  ## lint, types, and the full default test suite
	$(BIN)/python -m pytest -n auto

test-fast: $(VENV)/.dev  ## the part of the suite that takes a minute
	$(BIN)/python -m pytest -n auto -m "not slow"

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock:  ## renew the two hashed lock files (needs uv on the PATH)
	echo 'setuptools>=77' | uv pip compile pyproject.toml - $(LOCK_FLAGS) -o requirements.txt
	echo 'setuptools>=77' | uv pip compile pyproject.toml - --extra dev $(LOCK_FLAGS) -o requirements-dev.txt

LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate

$(VENV)/.run: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@

clean:  ## remove the environment and caches (runs/ stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info
