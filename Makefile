# `make train` and `make test` do all their set-up themselves. Set PYTHON to choose the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
# What the library is measured against gets an environment of its own.
VENV_BENCH ?= .venv-bench
# So does what the topic model is measured against.
VENV_TOPICS ?= .venv-topics
# Not in the hashed file: its wheel for the CPU has no line of its own in a package registry, and the
# one that stands there brings gigabytes of CUDA. Give pip the place of a CPU wheel, by
# PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL, and it is taken first.
TORCH ?= torch==2.13.0
# As users run it; the default suite leaves LLVM's optimization out (tests/conftest.py).
OPTIMIZED := XLA_FLAGS=--xla_backend_optimization_level=3

.PHONY: train test test-fast test-core test-browser test-tensorflow test-long mnist robust-start bench bench-quick bench-gpu \
	bench-calls bench-memory bench-samplers \
	bench-gradients bench-compat bench-scaling bench-safety bench-inputs bench-choices bench-defaults \
	bench-first-sight bench-topics bench-topic-scale bench-simplex bench-labels papers papers-gpu \
	lint docs figures-in-docs notebooks dist lock clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

train: $(VENV)/.run  ## train a VAE on the digits and draw its pictures (ARGS="..." adds options)
	$(BIN)/jaxvae train $(ARGS)

test: $(VENV)/.dev lint  ## lint, types, and the full default test suite
	$(BIN)/python -m pytest -n auto

test-fast: $(VENV)/.dev  ## the suite without its slowest tests
	$(BIN)/python -m pytest -n auto -m "not slow"

test-core: $(VENV)/.dev  ## the numbers, the steps and the command line's basics (for another Python)
	$(OPTIMIZED) $(BIN)/python -m pytest -n auto -m "not slow" tests/test_import.py tests/model/test_golden.py \
		tests/numerics/test_gamma.py tests/numerics/test_distributions.py tests/training/test_steps.py \
		tests/training/test_training.py tests/data/test_streaming.py tests/training/test_revival.py \
		tests/numerics/test_random.py tests/numerics/test_flat.py tests/numerics/test_compiled.py

test-browser: $(VENV)/.dev  ## the page of `jaxvae explore` in a browser: Chromium or Chrome, if there is one
	$(BIN)/python -m pytest -m browser -rs tests/apps/test_browser.py

test-tensorflow: $(VENV)/.tensorflow  ## live parity with TensorFlow (give it an environment: VENV=.venv-tensorflow)
	$(BIN)/python -m pytest -n auto tests/compat/test_tensorflow.py

test-long: $(VENV)/.dev  ## the checks that take an hour: epochs of MNIST, twenty seeds, a hundred kills
	$(OPTIMIZED) $(BIN)/python -m pytest -m long

mnist: $(VENV)/.run  ## the original's workload on MNIST, both models and objectives (15 minutes)
	$(BIN)/python benchmarks/mnist.py

robust-start: $(VENV)/.run  ## does training start on each of twenty seeds? (3 minutes)
	$(BIN)/python benchmarks/robust_start.py

bench: $(VENV_BENCH)/.bench  ## jaxvae against TensorFlow, PyTorch, NumPyro, Pythae and the floor (1.5 hours)
	$(VENV_BENCH)/bin/python benchmarks/compare.py $(ARGS)
	$(VENV_BENCH)/bin/python benchmarks/first_epoch.py
	$(VENV_BENCH)/bin/python benchmarks/growth.py

bench-quick: $(VENV_BENCH)/.bench  ## the same, short: an epoch of the README's workload (5 minutes)
	$(VENV_BENCH)/bin/python benchmarks/compare.py --quick $(ARGS)

bench-gpu:  ## jaxvae (and PyTorch, if it is there) on the GPU that PYTHON's JAX has (9 minutes)
	$(PYTHON) benchmarks/gpu.py $(ARGS)

bench-calls: $(VENV_BENCH)/.bench  ## one call of encode, decode and a draw, against PyTorch and TensorFlow (4 minutes)
	$(VENV_BENCH)/bin/python benchmarks/calls.py $(ARGS)

bench-memory: $(VENV_BENCH)/.bench  ## what a run holds at most, by stages, against PyTorch (2 minutes)
	$(VENV_BENCH)/bin/python benchmarks/memory.py

bench-samplers: $(VENV_BENCH)/.bench  ## the Dirichlet samplers against TFP's and PyTorch's (10 minutes)
	$(VENV_BENCH)/bin/python benchmarks/samplers.py $(ARGS)

bench-gradients: $(VENV)/.run  ## do the two Dirichlet gradients train alike, in equal time? (6 minutes)
	$(BIN)/python benchmarks/gradients.py

bench-compat: $(VENV)/.run  ## the original's API on MNIST: its figures, its starts, its speed (25 minutes)
	$(BIN)/python benchmarks/compat.py

bench-scaling: $(VENV)/.run  ## what devices, streams, seeds and noise keys cost (12 minutes)
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/sharding.py

bench-safety: $(VENV)/.run  ## what the guard against bad numbers and checkpoints cost (8 minutes)
	$(BIN)/python benchmarks/safety.py

bench-inputs: $(VENV)/.dev  ## what tables and folders of pictures cost to read, against pandas (8 minutes)
	$(BIN)/python benchmarks/inputs.py $(ARGS)

bench-defaults: $(VENV)/.dev  ## how the defaults of `jaxvae train` were chosen; needs MNIST (15 minutes)
	$(BIN)/python benchmarks/defaults.py $(ARGS)

bench-first-sight: $(VENV)/.dev  ## what the defaults reach, against limits; needs MNIST (15 minutes)
	$(BIN)/python benchmarks/first_sight.py $(ARGS)

bench-choices: $(VENV)/.dev  ## what each model reaches on the digits and small tables (15 minutes)
	$(BIN)/python benchmarks/choices.py $(ARGS)

bench-topics: $(VENV)/.run $(VENV_TOPICS)/.topics  ## the topic model against its peers, on texts and on cells (hours)
	$(BIN)/python benchmarks/topics.py --python $(VENV_TOPICS)/bin/python $(ARGS)

bench-topic-scale: $(VENV)/.run  ## the topic model on a stream of 1,000,000 documents: memory and speed (20 minutes)
	$(BIN)/python benchmarks/topic_scale.py $(ARGS)

bench-simplex: $(VENV)/.run  ## a Dirichlet latent against what stands in for it (hours on one core; ARGS=--quick: minutes)
	$(BIN)/python benchmarks/simplex.py --resume $(ARGS)

bench-labels: $(VENV)/.run  ## what a tenth of the labels is worth; needs MNIST (10 minutes)
	$(BIN)/python benchmarks/semi_supervised.py

papers: $(VENV_BENCH)/.bench  ## the figures of papers, and ours (days on two cores; ARGS=--quick: minutes)
	$(VENV_BENCH)/bin/python benchmarks/papers.py --resume --states $(VENV_BENCH)/papers $(ARGS)

papers-gpu:  ## the figures of Burda et al., all of them, on the GPU that PYTHON's JAX has (an afternoon)
	$(PYTHON) benchmarks/papers.py --only burda --resume --states build/papers $(ARGS)

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs  ## build the documentation site into docs/_build
	$(BIN)/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet -c docs -d docs/_build/doctrees . docs/_build/html
	@echo "open docs/_build/html/index.html"

figures-in-docs: $(VENV)/.run  ## write the numbers of benchmarks/results/ into README and docs/
	$(BIN)/python docs/figures.py $(ARGS)

notebooks: $(VENV)/.docs  ## run the notebooks and keep their outputs (13 minutes; set JAXVAE_DATA to MNIST's folder, with counts/ beside it)
	$(BIN)/python notebooks/build.py

dist: $(VENV)/.dev  ## build the sdist, and the wheel from it, into dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

lock:  ## renew the hashed lock files (needs uv on the PATH)
	echo 'setuptools>=77' | uv pip compile pyproject.toml - $(LOCK_FLAGS) -o requirements.txt
	printf '%s\n' 'setuptools>=77' $(FOR_TENSORFLOW) | uv pip compile pyproject.toml - --extra dev $(LOCK_FLAGS) -o requirements-dev.txt
	uv pip compile pyproject.toml --extra docs -c requirements-dev.txt $(LOCK_FLAGS) -o requirements-docs.txt
	uv pip compile pyproject.toml --extra tensorflow -c requirements-dev.txt $(LOCK_FLAGS) -o requirements-tensorflow.txt
	printf '%s\n' $(NOT_LOCKED) | uv pip compile pyproject.toml --extra bench -c requirements-tensorflow.txt \
		--override /dev/stdin $(LOCK_FLAGS) -o requirements-bench.txt
	printf '%s\n' $(NOT_LOCKED) | uv pip compile pyproject.toml --extra bench-topics -c requirements-dev.txt \
		--override /dev/stdin $(LOCK_FLAGS) -o requirements-bench-topics.txt

# PyTorch: see TORCH. Pythae asks for a package that Python has had built in since 3.7. TopMost asks
# for torchvision, to download with, and it would have to be built for that very PyTorch:
# benchmarks/topic_peers.py does without.
NOT_LOCKED := "torch; python_version < '3'" "torchvision; python_version < '3'" \
	"dataclasses; python_version < '3'"
# The newest TensorFlow asks for an older h5py than what reads .h5ad; one version serves both.
FOR_TENSORFLOW := 'h5py<3.15'
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

# The file is complete, so nothing is resolved; Pythae's own demands could not be (see NOT_LOCKED).
$(VENV_BENCH)/.bench: requirements-bench.txt pyproject.toml
	$(PYTHON) -m venv $(VENV_BENCH)
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements-bench.txt
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH)
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	touch $@

# The peers alone: they run in processes of their own, without the library.
$(VENV_TOPICS)/.topics: requirements-bench-topics.txt
	$(PYTHON) -m venv $(VENV_TOPICS)
	$(VENV_TOPICS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements-bench-topics.txt
	$(VENV_TOPICS)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH)
	touch $@

clean:  ## remove the environment and caches (runs/ stays)
	rm -rf $(VENV) $(VENV_BENCH) $(VENV_TOPICS) .pytest_cache .mypy_cache .ruff_cache build dist docs/_build *.egg-info
