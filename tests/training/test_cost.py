"""A step of the opened core costs what a step of the first version did."""

import json
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import jaxvae

RECORD = json.loads((Path(__file__).parents[1] / "data" / "first_version_cost.json").read_text())
ALLOWED = 1.005


def cost_of_a_step(vae, y):
    optimizer, x = optax.adam(1e-3), np.zeros((64, 784), np.float32)
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: jaxvae.init_state(key, vae, optimizer, x))
    step = jaxvae.make_train_step(vae, optimizer)
    return step.lower(key, state, jaxvae.Batch(x, y)).compile().cost_analysis()


def vae_of(model, **options):
    options = {"likelihood": jaxvae.likelihoods.normal(1.0)} | options
    if model == "normal":
        return jaxvae.normal_vae(jaxvae.dense_normal_network(784, 2), **options)
    return jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10), **options)


@pytest.mark.skipif(RECORD["jax"] != jax.__version__, reason="recorded with another version of JAX")
@pytest.mark.parametrize("quantity", ["flops", "bytes accessed"])
def test_cost_of_a_step(model, quantity):
    y = np.arange(64, dtype=np.int32) % 10 if model == "dirichlet" else None
    recorded = RECORD["cost"]["default"][model][quantity]
    assert cost_of_a_step(vae_of(model), y)[quantity] <= ALLOWED * recorded


def test_a_dearer_step_is_seen():
    """Missing labels, which the default prior leaves to `fit` to find, cost more bytes."""
    y = np.arange(64, dtype=np.int32) % 10
    cheap = cost_of_a_step(vae_of("dirichlet"), y)["bytes accessed"]
    dear = cost_of_a_step(vae_of("dirichlet", prior=jaxvae.priors.from_labels()), y)
    assert dear["bytes accessed"] > ALLOWED * cheap
