"""A strict JAX: no implicit promotion of ranks or dtypes, and eight CPU devices."""

import os

os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8"]
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae import datasets

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="session")
def digits():
    return datasets.load_digits()


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
    if model == "normal":
        return jaxvae.normal_vae(
            jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=16), **options
        )
    return jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=16), **options
    )


@pytest.fixture
def doctest_namespace():
    import jax.numpy as jnp

    return {"jax": jax, "jnp": jnp, "np": np, "Batch": jaxvae.Batch}
