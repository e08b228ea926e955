"""What the examples in docstrings may use without importing it; and a bound on what is compiled."""

import gc
import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest


@pytest.fixture(autouse=True)
def names_for_examples(doctest_namespace):
    doctest_namespace |= {
        "Path": Path,
        "jax": jax,
        "jnp": jnp,
        "nn": nn,
        "np": np,
        "optax": optax,
        "tempfile": tempfile,
    }


@pytest.fixture(autouse=True, scope="module")
def bounded_programs():
    """Forget compiled programs before there are too many for one process.

    Each takes some memory maps, of which Linux gives a process 65,530; where it gives no more, XLA
    ends the process.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > 20_000:
        jax.clear_caches()
        gc.collect()
