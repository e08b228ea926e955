"""`jax.disable_jit`, `jax.transfer_guard`, and `fit` and its like inside a transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from conftest import small_vae
from jaxvae import Batch

KEY = jax.random.key(0)
X, Y = np.asarray(jax.random.uniform(KEY, (6, 64))), np.arange(6, dtype=np.int32)
A = jnp.array([[0.5, 2.0, 0.1], [1.0, 30.0, 1.0]])
OPTIMIZER = optax.sgd(0.1)
OPTIONS = {"batch_size": 4, "epochs": 1, "optimizer": OPTIMIZER}


def assert_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), actual, expected
    )


def draws():
    keys = jax.random.split(KEY, 2)
    return {
        "normal": jaxvae.sample_normal(KEY, A, A),
        "dirichlet": jaxvae.sample_dirichlet(KEY, A),
        "by row": jax.vmap(jaxvae.sample_dirichlet)(keys, A),
        "gradient": jax.grad(lambda a: jnp.max(jaxvae.sample_dirichlet(KEY, a)))(A),
        "derivative": jaxvae.log_gamma_grad(A, -A),
        "kl_normal": jaxvae.kl_normal(A, A),
        "kl_dirichlet": jaxvae.kl_dirichlet(A, A[::-1]),
        "its gradient": jax.grad(lambda a: jnp.sum(jaxvae.kl_dirichlet(a, A[::-1])))(A),
    }


def test_draws_without_compilation():
    """Loops and batching rules run as Python then."""
    expected = draws()
    with jax.disable_jit():
        actual = draws()
    assert_close(actual, expected)


@pytest.mark.long
def test_training_and_evaluation_without_compilation():
    vae = small_vae("dirichlet")
    step = jaxvae.make_train_step(vae, OPTIMIZER)
    epoch = jaxvae.make_train_epoch(vae, OPTIMIZER, batch_size=4)

    def runs():
        state = jaxvae.init_state(KEY, vae, OPTIMIZER, X)
        params, batch = jax.tree.map(jnp.copy, state.params), Batch(X[:4], Y[:4])
        loss, _ = vae.loss(params, KEY, batch)
        stepped, metrics = step(KEY, state, batch)
        trained, of_epoch = epoch(KEY, stepped, jnp.asarray(X), jnp.asarray(Y))
        fitted, history = jaxvae.fit(KEY, vae, X, Y, **OPTIONS)
        evaluation = jaxvae.evaluate(KEY, vae, params, X, Y)
        means = jaxvae.encode_mean(vae, params, X)
        loss_of_fit = history.epochs[0].loss
        return loss, metrics, of_epoch, trained, fitted, loss_of_fit, evaluation, means

    expected = jax.device_get(runs())
    with jax.disable_jit():
        actual = jax.device_get(runs())
    assert_close(actual, expected)


def test_no_draw_moves_anything_by_itself():
    with jax.transfer_guard("disallow"):
        for draw in (
            lambda: jaxvae.sample_normal(KEY, A, A),
            lambda: jaxvae.sample_log_gamma(KEY, A),
            lambda: jaxvae.sample_dirichlet(KEY, A),
            lambda: jaxvae.sample_dirichlet(KEY, A, method="tfp"),
            lambda: jaxvae.log_gamma_grad(A, A),
            lambda: jaxvae.kl_normal(A, A, prior_variance=3.0),
            lambda: jaxvae.kl_dirichlet(A, A),
        ):
            assert np.isfinite(draw()).all()


@pytest.mark.slow
def test_training_moves_nothing_by_itself(vae):
    """The data are put on the device on purpose; nothing else goes there."""
    step = jaxvae.make_train_step(vae, OPTIMIZER)
    batch, keys = jax.device_put(Batch(X, Y)), jax.random.split(KEY, 2)
    with jax.transfer_guard("disallow"):
        state = jaxvae.init_state(KEY, vae, OPTIMIZER, X)
        _, metrics = step(KEY, state, batch)
        state, history = jaxvae.fit(KEY, vae, X, Y, validation=(X, Y), **OPTIONS)
        jaxvae.fit(KEY, vae, lambda: [(X, Y)], **OPTIONS)
        jaxvae.fit_many(
            keys, vae, X, Y, batch_size=4, epochs=1, hyperparams={"learning_rate": [0.1, 0.2]}
        )
        evaluation = jaxvae.evaluate(KEY, vae, state.params, X, Y)
        means = jaxvae.encode_mean(vae, state.params, X)
    assert metrics.finite
    assert np.isclose(history.epochs[-1].validation_loss, evaluation.loss)
    assert np.isfinite(means).all()
