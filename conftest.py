"""What the examples in docstrings may use without importing it."""

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
