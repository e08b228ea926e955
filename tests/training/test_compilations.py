"""What is equal is compiled once, whatever was built anew; counted, not timed."""

import gc
import threading

import jax
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae._collector import uncollected
from jaxvae.apps import estimators
from jaxvae.training import members

X = np.random.default_rng(0).random((16, 8), np.float32)
COMPILED = []  # the name of the thread of each


def count(event, *_, **__):
    """Also told of a program that comes from JAX's cache on disk."""
    if event.endswith("backend_compile_duration"):
        COMPILED.append(threading.current_thread().name)


jax.monitoring.register_event_duration_secs_listener(count)


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


def test_initial_parameters_are_compiled_once_beside_the_epoch():
    """By a thread that ends with it; the call that makes them finds what it compiled."""
    jaxvae.fit(jax.random.key(0), model(), X, batch_size=8, epochs=1)  # keys and the like
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(8, 3, layers=2, hidden_units=5))
    before = len(COMPILED)
    state, _ = jaxvae.fit(jax.random.key(0), vae, X, batch_size=8, epochs=1)
    of_begin, others = [], []
    for name in COMPILED[before:]:
        (of_begin if name.startswith("jaxvae-compile") else others).append(name)
    assert len(of_begin) == 2  # the parameters, and the optimizer's state
    assert len(others) == 2  # what the optimizer may be trusted with, and the epoch
    assert not [t for t in threading.enumerate() if t.name.startswith("jaxvae-compile")]
    own = jaxvae.init_state(jax.random.key(0), vae, optax.adam(1e-3), X)
    assert len(COMPILED) - before == 4  # found again
    again, _ = jaxvae.fit(jax.random.key(0), vae, X, batch_size=8, epochs=1, state=own)
    jax.tree.map(np.testing.assert_array_equal, state, again)


def test_what_fails_in_the_thread_is_raised(monkeypatch):
    def compile_both():
        raise RuntimeError("no room for the program")

    monkeypatch.setattr(members, "compiler_of_begin", lambda *_: compile_both)
    with pytest.raises(RuntimeError, match="no room for the program"):
        fit(model(), optax.adam(1e-3))
    assert not [t for t in threading.enumerate() if t.name.startswith("jaxvae-compile")]


def test_the_collector_of_cycles_is_as_it_was_after_tracing():
    @uncollected()
    def seen():
        return gc.isenabled()

    assert not seen()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="while tracing"), uncollected():
        raise ValueError("while tracing")
    assert gc.isenabled()
    gc.disable()
    try:
        assert not seen()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_five_fits_of_an_estimator_compile_once():
    estimator = estimators.NormalVAE(
        layers=1, hidden_units=4, batch_size=8, epochs=1, random_state=0
    )
    estimator.fit(X)
    for _ in range(4):
        assert compilations(lambda: estimator.fit(X)) == 0


def test_a_schedule_made_anew_compiles_nothing():
    def again():
        fit(vae, optax.adam(optax.cosine_decay_schedule(1e-3, 10)))

    vae = model()
    assert compilations(again) > 0
    assert compilations(again) == 0


def test_evaluation_of_fewer_examples_shares_a_program():
    """And the examples that fill it up count for nothing."""
    vae, key = model(), jax.random.key(0)
    x = np.random.default_rng(1).random((64, 8)).astype(np.float32)
    params = vae.init(key, x[:1])
    whole = jaxvae.evaluate(key, vae, params, x, per_example=True)

    def evaluate(rows):
        part = jaxvae.evaluate(key, vae, params, x[:rows])
        assert part.loss == pytest.approx(whole.loss[:rows].mean(), rel=1e-5)

    evaluate(50)
    assert compilations(lambda: [evaluate(rows) for rows in range(49, 65)]) == 0


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
