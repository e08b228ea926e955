"""Many runs as one program: each is the run that it would be alone."""

import jax
import numpy as np
import optax
import pytest

import jaxvae

OPTIONS = {"batch_size": 100, "epochs": 2}


@pytest.mark.slow
@pytest.mark.parametrize("devices", [None, 2])
def test_each_member_is_its_run_alone(vae, digits, devices):
    """Within 1e-5 after two epochs; five members on two devices, which do not divide them."""
    keys, optimizer = jax.random.split(jax.random.key(3), 5), optax.adam(1e-3)
    x, y = digits.x_train[:450], digits.y_train[:450]
    states, histories = jaxvae.fit_many(
        keys, vae, x, y, optimizer=optimizer, devices=devices, **OPTIONS
    )
    assert len(histories) == 5
    for member in (0, 4):
        state, history = jaxvae.fit(keys[member], vae, x, y, optimizer=optimizer, **OPTIONS)
        jax.tree.map(
            lambda a, b, member=member: np.testing.assert_allclose(b[member], a, atol=1e-5),
            state,
            states,
        )
        for alone, together in zip(history.epochs, histories[member].epochs, strict=True):
            assert together.loss == pytest.approx(alone.loss, rel=1e-5)


@pytest.mark.slow
def test_hyperparams(digits, key):
    rates = [1e-2, 1e-3, 1e-4]
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
    keys, x = jax.numpy.stack([key] * 3), digits.x_train[:450]
    states, histories = jaxvae.fit_many(
        keys, vae, x, hyperparams={"learning_rate": rates}, **OPTIONS
    )
    assert np.allclose(states.opt_state.hyperparams["learning_rate"], rates)
    for rate, history in zip(rates, histories, strict=True):
        _, alone = jaxvae.fit(key, vae, x, optimizer=optax.adam(rate), **OPTIONS)
        assert history.epochs[-1].loss == pytest.approx(alone.epochs[-1].loss, rel=1e-5)


@pytest.mark.slow
def test_a_member_that_fails_is_named(digits, key):
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
    keys = jax.numpy.stack([key] * 3)
    with pytest.raises(jaxvae.NonFiniteStepError, match="member 1, step") as caught:
        jaxvae.fit_many(
            keys,
            vae,
            digits.x_train[:450],
            optimizer=optax.inject_hyperparams(optax.sgd)(1e-3),
            hyperparams={"learning_rate": [1e-4, 1e12, 1e-4]},
            **OPTIONS,
        )
    finite = jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), caught.value.state.params)
    assert all(jax.tree.leaves(finite))


@pytest.mark.slow
def test_it_ends_early_when_asked(digits):
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
    keys = jax.random.split(jax.random.key(0), 2)
    seen = []
    _, histories = jaxvae.fit_many(
        keys,
        vae,
        digits.x_train[:200],
        batch_size=100,
        epochs=9,
        on_epoch=lambda records, states: seen.append((len(records), states.step.shape)) or True,
    )
    assert seen == [(2, (2,))]
    assert [len(history.epochs) for history in histories] == [1, 1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keys": [1, 2]}, TypeError, "keys must be typed keys"),
        ({"keys": jax.random.key(0)}, ValueError, r"keys must have the shape \[M\], got \(\)"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        (
            {"optimizer": optax.sgd(1.0), "hyperparams": {"learning_rate": [1.0, 2.0]}},
            ValueError,
            "optimizer must be made by optax.inject_hyperparams",
        ),
        (
            {"hyperparams": {"momentum": [1.0, 2.0]}},
            ValueError,
            "hyperparams must be one of .*'learning_rate'.* got 'momentum'",
        ),
        (
            {"hyperparams": {"learning_rate": [1.0]}},
            ValueError,
            r"hyperparams\['learning_rate'\] must have the shape \[2\] of keys, got \(1,\)",
        ),
        (
            {"hyperparams": {"learning_rate": [1.0, np.inf]}},
            ValueError,
            r"hyperparams\['learning_rate'\] must be finite, got inf",
        ),
        ({"devices": 99}, ValueError, "devices must be at most"),
    ],
)
def test_wrong_use(change, error, message, digits):
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
    options = {"keys": jax.random.split(jax.random.key(0), 2), **OPTIONS, **change}
    with pytest.raises(error, match=message):
        jaxvae.fit_many(options.pop("keys"), vae, digits.x_train, **options)
