# `make train` and `make test` do all their set-up themselves. Set PYTHON to choose the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# As users run it; the default suite leaves LLVM's optimization out (tests/conftest.py).
OPTIMIZED := XLA_FLAGS=--xla_backend_optimization_level=3

.PHONY: train test test-fast test-core test-tensorflow test-long mnist robust-start bench-samplers bench-compat bench-scaling lint docs notebooks dist lock clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

train: $(VENV)/.run  ## train the Dirichlet VAE on the digits and draw its pictures (ARGS="..." adds options)
	$(BIN)/jaxvae train $(ARGS)

test: $(VENV)/.dev lint  ## lint, types, and the full default test suite
	$(BIN)/python -m pytest -n auto

test-fast: $(VENV)/.dev  ## the suite without its slowest tests
	$(BIN)/python -m pytest -n auto -m "not slow"

test-core: $(VENV)/.dev  ## the numbers, the steps and the command line's basics (for another Python)
	$(OPTIMIZED) $(BIN)/python -m pytest -n auto -m "not slow" tests/test_import.py tests/test_golden.py tests/test_gamma.py \
		tests/test_distributions.py tests/test_steps.py tests/test_training.py tests/test_streaming.py tests/test_revival.py

test-tensorflow: $(VENV)/.tensorflow  ## live parity with TensorFlow (give it an environment: VENV=.venv-tensorflow)
	$(BIN)/python -m pytest -n auto tests/test_tensorflow.py

test-long: $(VENV)/.dev  ## the checks that take an hour: epochs of MNIST, twenty seeds, a hundred kills
	$(OPTIMIZED) $(BIN)/python -m pytest -m long

mnist: $(VENV)/.run  ## the original's workload on MNIST, both models and objectives (15 minutes)
	$(BIN)/python benchmarks/mnist.py

robust-start: $(VENV)/.run  ## does training start on each of twenty seeds? (3 minutes)
	$(BIN)/python benchmarks/robust_start.py

bench-samplers: $(VENV)/.dev  ## the Dirichlet samplers against TFP's and others' (10 minutes)
	$(BIN)/python benchmarks/samplers.py

bench-compat: $(VENV)/.run  ## the original's API on MNIST: its figures, its starts, its speed (25 minutes)
	$(BIN)/python benchmarks/compat.py

bench-scaling: $(VENV)/.run  ## what devices, streams, seeds and noise keys cost (10 minutes)
	$(BIN)/python benchmarks/scaling.py

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs  ## build the documentation site into docs/_build
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet -c docs -d docs/_build/doctrees . docs/_build/html
	@echo "open docs/_build/html/index.html"

notebooks: $(VENV)/.docs  ## run the notebooks and keep their outputs (10 minutes; set JAXVAE_DATA to MNIST's folder)
	$(BIN)/python notebooks/build.py

dist: $(VENV)/.dev  ## build the sdist, and the wheel from it, into dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

lock:  ## renew the hashed lock files (needs uv on the PATH)
	echo 'setuptools>=77' | uv pip compile pyproject.toml - $(LOCK_FLAGS) -o requirements.txt
	echo 'setuptools>=77' | uv pip compile pyproject.toml - --extra dev $(LOCK_FLAGS) -o requirements-dev.txt
	uv pip compile pyproject.toml --extra docs -c requirements-dev.txt $(LOCK_FLAGS) -o requirements-docs.txt
	uv pip compile pyproject.toml --extra tensorflow -c requirements-dev.txt $(LOCK_FLAGS) -o requirements-tensorflow.txt

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

$(VENV)/.docs: requirements-docs.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	touch $@

$(VENV)/.tensorflow: requirements-tensorflow.txt $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tensorflow.txt
	touch $@

clean:  ## remove the environment and caches (runs/ stays)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist docs/_build *.egg-info
