"""What is equal is compiled once, whatever was built anew; counted, not timed."""

import jax
import numpy as np
import optax

import jaxvae
from jaxvae.apps import estimators

X = np.random.default_rng(0).random((16, 8), np.float32)
COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    # Also told of a program that comes from JAX's cache on disk.
    lambda event, *_, **__: event.endswith("backend_compile_duration") and COMPILED.append(event)
)


def compilations(function):
    before = len(COMPILED)
    function()
    return len(COMPILED) - before


def model():
    return jaxvae.normal_vae(jaxvae.dense_normal_network(8, 2, layers=1, hidden_units=4))


def fit(vae, optimizer):
    jaxvae.fit(jax.random.key(0), vae, X, batch_size=8, epochs=1, optimizer=optimizer)


def test_compilations_are_counted_and_the_same_objects_compile_once():
    vae, optimizer = model(), optax.adam(1e-3)
    assert compilations(lambda: fit(vae, optimizer)) > 0
    assert compilations(lambda: fit(vae, optimizer)) == 0


def test_a_fit_of_an_equal_model_with_an_equal_optimizer_compiles_nothing():
    fit(model(), optax.adam(1e-3))
    assert compilations(lambda: fit(model(), optax.adam(1e-3))) == 0


def test_five_fits_of_an_estimator_compile_once():
    estimator = estimators.NormalVAE(
        layers=1, hidden_units=4, batch_size=8, epochs=1, random_state=0
    )
    estimator.fit(X)
    for _ in range(4):
        assert compilations(lambda: estimator.fit(X)) == 0


def test_evaluation_of_equal_models_compiles_once():
    """And holds no more programs than after the first."""
    network = jaxvae.dense_normal_network(8, 2, layers=1, hidden_units=4)
    params = jaxvae.normal_vae(network).init(jax.random.key(0), X[:1])

    def evaluate():
        jaxvae.evaluate(jax.random.key(0), jaxvae.normal_vae(network), params, X)

    def programs():
        return len(jax.devices()[0].client.live_executables())

    evaluate()
    held = programs()
    for _ in range(3):
        assert compilations(evaluate) == 0
    assert programs() <= held
