"""The original's workload on MNIST: minutes, so only `make test-long` runs it."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif("JAXVAE_DATA" not in os.environ, reason="JAXVAE_DATA names no MNIST"),
]
SEEDS = 3


@pytest.fixture(scope="module")
def mnist():
    return jaxvae.datasets.load_mnist()


def trained(vae, data, epochs, seeds):
    """The state and the last epoch's mean loss, for each seed, with one compilation."""
    optimizer = optax.adam(1e-3, eps=1e-7)
    train_epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    for seed in range(seeds):
        key = jax.random.key(seed)
        state = jaxvae.init_state(key, vae, optimizer, x)
        for _ in range(epochs):
            state, metrics = train_epoch(key, state, x, y)
        yield state, float(np.average(metrics.loss, weights=metrics.weight))


def test_dirichlet_accuracy(mnist):
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10), objective="original")
    scores = [
        jaxvae.accuracy(vae, state.params, mnist.x_test, mnist.y_test)
        for state, _ in trained(vae, mnist, 30, SEEDS)
    ]
    assert np.mean(scores) >= 0.975, scores


def test_normal_loss(mnist):
    network = jaxvae.dense_normal_network(784, 2)
    vae = jaxvae.normal_vae(network, prior_variance=3.0, objective="original")
    losses = [loss for _, loss in trained(vae, mnist, 30, SEEDS)]
    assert np.mean(losses) <= 14.2, losses


def test_every_seed_starts(mnist):
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(784, 10), objective="original")
    for seed, (state, _) in enumerate(trained(vae, mnist, 2, 20)):
        concentration = np.asarray(vae.encode(state.params, mnist.x_test))
        assert (concentration.max(axis=0) > 0.1 + 1e-3).all(), f"seed {seed} has a dead category"
        accuracy = (concentration.argmax(axis=1) == mnist.y_test).mean()
        assert accuracy > 0.95, f"seed {seed}: {accuracy}"
