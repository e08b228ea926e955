"""Many runs at once: each is the run that it would be alone."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from conftest import small_vae
from jaxvae.training import ensembles, programs

OPTIONS = {"batch_size": 100, "epochs": 2}


@pytest.fixture
def by_vmap(monkeypatch):
    """As on an accelerator."""
    monkeypatch.setattr(ensembles, "Concurrent", ensembles.Many)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def member_of(states, member):
    return jax.tree.map(operator.itemgetter(member), states)


def assert_close_to_runs_alone(vae, digits, **options):
    """Within 1e-5 after two epochs; five members."""
    keys, optimizer = jax.random.split(jax.random.key(3), 5), optax.adam(1e-3)
    data, held_out = (digits.x_train[:450], digits.y_train[:450]), (digits.x_test, digits.y_test)
    both = OPTIONS | {"optimizer": optimizer, "validation": held_out}
    states, histories = jaxvae.fit_many(keys, vae, *data, **both, **options)
    assert len(histories) == 5
    for member in (0, 4):
        state, history = jaxvae.fit(keys[member], vae, *data, **both)
        own = member_of(states, member)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), own, state)
        for alone, together in zip(history.epochs, histories[member].epochs, strict=True):
            assert together.loss == pytest.approx(alone.loss, rel=1e-5)
            assert together.validation_loss == pytest.approx(alone.validation_loss, rel=1e-5)


@pytest.mark.slow
def test_members_by_vmap_are_runs_alone(vae, digits, by_vmap):
    assert_close_to_runs_alone(vae, digits)


@pytest.mark.slow
def test_members_over_devices_are_runs_alone(vae, digits):
    """Two devices, which do not divide five members."""
    assert_close_to_runs_alone(vae, digits, devices=2)


def averaged():
    return jaxvae.average_params(optax.adam(0.1), 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["arrays", "stream"])
def test_on_a_cpu_each_member_is_its_run_alone_to_the_bit(vae, digits, source):
    """State, losses, and where it stops early: each at an epoch of its own."""
    keys = jax.random.split(jax.random.key(4), 3)
    x, y = digits.x_train[:150], digits.y_train[:150]
    data = (x, y) if source == "arrays" else (lambda: iter([(x[:70], y[:70]), (x[70:], y[70:])]),)
    options = {
        "batch_size": 50,
        "epochs": 30,
        "optimizer": averaged(),
        "validation": (digits.x_test[:40], digits.y_test[:40]),
        "patience": 1,
    }
    seen = []
    states, histories = jaxvae.fit_many(
        keys, vae, *data, on_epoch=lambda _, states: seen.append(states.step), **options
    )
    for member, key in enumerate(keys):
        state, history = jaxvae.fit(key, vae, *data, **options)
        assert_same(member_of(states, member), state)
        for alone, together in zip(history.epochs, histories[member].epochs, strict=True):
            assert_same(
                *(own._replace(seconds=0, images_per_second=0) for own in (alone, together))
            )
    lengths = [len(history.epochs) for history in histories]
    assert len(set(lengths)) > 1 or source == "stream"
    assert seen[-1].tolist() == [3 * length for length in lengths]  # no step after its end


@pytest.mark.slow
def test_members_go_on_from_given_states_to_the_bit(digits):
    """And from a checkpoint; the states that are given are still there."""
    vae, keys = small_vae("normal"), jax.random.split(jax.random.key(0), 3)
    x, options = digits.x_train[:150], {"batch_size": 50, "optimizer": averaged()}
    whole, _ = jaxvae.fit_many(keys, vae, x, epochs=3, **options)
    half, _ = jaxvae.fit_many(keys, vae, x, epochs=1, **options)
    after, _ = jaxvae.fit_many(keys, vae, x, epochs=2, state=half, **options)
    assert_same(after, whole)
    assert half.step.tolist() == [3, 3, 3]


def test_members_share_the_program_of_a_run_alone(digits):
    vae, keys = small_vae("normal"), jax.random.split(jax.random.key(0), 2)
    jaxvae.fit(keys[0], vae, digits.x_train[:100], **OPTIONS)
    misses = programs.train_program.cache_info().misses
    jaxvae.fit_many(keys, vae, digits.x_train[:100], **OPTIONS)
    assert programs.train_program.cache_info().misses == misses


@pytest.mark.slow
def test_parameters_of_the_type_that_a_traced_number_gives(key):
    """On the host a number is Python's, and gives way to bfloat16; traced it is a float32."""

    def make(scale):
        def init(key, x):
            drawn = jax.random.normal(key, (6, 2), jnp.bfloat16)
            with jax.numpy_dtype_promotion("standard"):
                return {"w": scale * drawn}

        encode = lambda params, x: (x @ params["w"].astype(x.dtype), jnp.ones((len(x), 2)))  # noqa: E731
        decode = lambda params, z: z @ params["w"].astype(z.dtype).T  # noqa: E731
        return jaxvae.normal_vae(jaxvae.Network(init, encode, decode))

    states, _ = jaxvae.fit_many(
        jax.random.split(key, 2), make, np.ones((8, 6), np.float32), batch_size=4, epochs=1,
        optimizer=optax.sgd(1e-2), hyperparams={"scale": [0.1, 0.2]},
    )  # fmt: skip
    assert jax.tree.leaves(states.params)[0].dtype == jnp.float32


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
