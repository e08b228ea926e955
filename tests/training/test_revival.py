"""Dead categories come back, and a run without them is not touched."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae


@pytest.fixture
def relu_vae():
    network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=32, head="relu")
    return jaxvae.dirichlet_vae(network, objective="original")


def train(vae, digits, optimizer, *, bias, epochs, seed=0):
    key = jax.random.key(seed)
    state = jaxvae.init_state(key, vae, optimizer, digits.x_train)
    state.params["encoder"]["concentration"]["bias"] += jnp.asarray(bias, jnp.float32)
    return jaxvae.fit(
        key,
        vae,
        digits.x_train,
        digits.y_train,
        batch_size=64,
        epochs=epochs,
        optimizer=optimizer,
        state=state,
    )


@pytest.mark.slow
def test_a_healthy_run_is_the_same_bit_for_bit(relu_vae, digits):
    bias = np.ones(10)  # none starts dead
    plain, _ = train(relu_vae, digits, optax.adam(1e-3), bias=bias, epochs=20)
    revived = jaxvae.revive_dead_categories(optax.adam(1e-3))
    state, _ = train(relu_vae, digits, revived, bias=bias, epochs=20)
    assert not state.opt_state.revived.any()
    jax.tree.map(np.testing.assert_array_equal, state.params, plain.params)


@pytest.mark.slow
def test_dead_categories_come_back(relu_vae, digits):
    bias = np.where(np.isin(np.arange(10), [2, 7]), -20.0, 1.0)
    dead, _ = train(relu_vae, digits, optax.adam(1e-3), bias=bias, epochs=40)
    optimizer = jaxvae.revive_dead_categories(optax.adam(1e-3), patience=50)
    alive, _ = train(relu_vae, digits, optimizer, bias=bias, epochs=40)
    accuracies = [
        jaxvae.accuracy(relu_vae, state.params, digits.x_test, digits.y_test)
        for state in (dead, alive)
    ]
    assert accuracies[0] < 0.85  # eight of ten digits at best
    assert accuracies[1] > 0.9
    revived = np.asarray(alive.opt_state.revived)
    assert (revived[[2, 7]] > 0).all()
    assert revived.sum() == revived[[2, 7]].sum()


def test_patience_counts_steps_in_a_row():
    optimizer = jaxvae.revive_dead_categories(optax.sgd(1.0), patience=3, nudge=0.5)

    def tree(bias):
        return {"encoder": {"concentration": {"bias": jnp.asarray(bias)}}}

    state = optimizer.init(tree([0.0, 0.0]))
    seen = []
    for gradient in ([0.0, 1.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]):
        updates, state = optimizer.update(tree(gradient), state)
        seen.append(updates["encoder"]["concentration"]["bias"].tolist())
    assert seen == [[0.0, -1.0], [0.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"patience": 0}, "patience must be at least 1"), ({"nudge": 0.0}, "nudge must be finite")],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        jaxvae.revive_dead_categories(optax.sgd(1.0), **options)
