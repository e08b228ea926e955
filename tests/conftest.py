"""A strict JAX: no implicit promotion of ranks or dtypes, and eight CPU devices."""

import importlib.metadata
import os
import re
import signal
import tempfile

# Nearly all of the suite's time is compilation, half of it LLVM's optimization: left out here, and
# back in `make test-core` and `make test-long`, which say so in XLA_FLAGS. JAX 0.10 has beside them
# the older of two ways to write a loop down, which compiles in half the time and runs slower.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
if "xla_backend_optimization_level" not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 " + os.environ["XLA_FLAGS"]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# The run's processes share what they compiled. A bound on its size makes JAX take a lock.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="jaxvae-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**31)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

# A job in the background of a script is started deaf to Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest

import jaxvae
from jaxvae.data import datasets

collect_ignore = ["device_worker.py"]  # a program, started by test_parallel.py
# Programs: the first are started by test_gallery.py, the second made data of the tests.
collect_ignore_glob = ["gallery/*.py", "data/make_*.py"]

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session")
def digits():
    return datasets.load_digits()


def no_devices_said():
    """The environment of a process that says itself how many devices it has."""
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag]
    return os.environ | {"XLA_FLAGS": " ".join(flags)}


def results_of(text):
    """The numbers of a table of results that the command line printed, by what they are called."""
    rows = re.findall(r"^  (\S.*?)  +(\S+)(?: .*)?$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(params=["normal", "dirichlet"])
def model(request):
    return request.param


@pytest.fixture
def vae(model):
    """A small model of either latent, for 64 pixels and 10 labels."""
    return small_vae(model)


def small_vae(model, **options):
    """Of unit variance, unless something else is asked for."""
    if "objective" not in options:
        options = {"likelihood": jaxvae.likelihoods.normal(1.0)} | options
    if model == "normal":
        return jaxvae.normal_vae(
            jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=16), **options
        )
    return jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=16), **options
    )
