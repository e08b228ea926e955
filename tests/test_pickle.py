"""What reaches another process arrives whole: errors, states, histories, data, priors."""

import concurrent.futures
import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from jaxvae import compat, objectives, saved_models
from jaxvae.data import datasets, streaming
from jaxvae.model import evaluation
from jaxvae.training import checkpoints, history

X = np.random.default_rng(0).random((8, 6), np.float32)
PARAMS = {"encoder": {"concentration": {"bias": jnp.array([1.0, -2.0])}}, "w": jnp.ones(())}
OPTIMIZER = optax.chain(optax.noisy_sgd(1e-3, key=jax.random.key(1)), optax.adam(1e-3))
WRAPPED = jaxvae.average_params(jaxvae.revive_dead_categories(OPTIMIZER), 0.9)
STATE = jaxvae.TrainState(jnp.int32(3), PARAMS, WRAPPED.init(PARAMS))
RECORD = history.EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 9.0, np.ones(2, np.float32), 1, 5.0)
HISTORY = history.History((RECORD,), 1.0)


def non_finite_error():
    error = jaxvae.NonFiniteStepError("step 3 (epoch 1): kl is nan", 3, STATE, HISTORY)
    error.add_note("seen by the parent")
    return error


VALUES = {
    "state": STATE,
    "record": RECORD,
    "history": HISTORY,
    "metrics": jaxvae.steps.Metrics(*jnp.ones(4), jnp.bool_(True)),
    "evaluation": evaluation.Evaluation(4.0, 3.0, 1.0),
    "batch": jaxvae.Batch(jnp.asarray(X), np.arange(8), position=np.arange(8)),
    "terms": objectives.LossTerms(jnp.ones(2), jnp.zeros(2)),
    "dataset": datasets.from_arrays(X, np.arange(8) % 2),
    "chunk": next(streaming.chunks([X], 3, 2)),
    "key": jax.random.key(3),
    "keys": jax.random.split(jax.random.key(3), 2),
    "compat array": np.ones(2, np.float32).view(compat.Array),
    "label prior": jaxvae.label_prior(smoothness=0.25),
    "symmetric prior": jaxvae.symmetric_prior(2.0),
}
ERRORS = {
    "non finite": non_finite_error(),
    "damaged": checkpoints.DamagedCheckpointError("00000003 is damaged"),
    "damaged model": saved_models.DamagedModelError("mine is damaged"),
}
MODELS = {
    "network": lambda: jaxvae.dense_normal_network(6, 2, layers=1, hidden_units=8),
    "normal": lambda: jaxvae.normal_vae(
        jaxvae.dense_normal_network(6, 2, layers=1, hidden_units=8)
    ),
    "dirichlet": lambda: jaxvae.dirichlet_vae(
        jaxvae.dense_dirichlet_network(6, 2, layers=1, hidden_units=8)
    ),
    "average_params": lambda: jaxvae.average_params(SGD, 0.9),
    "revive_dead_categories": lambda: jaxvae.revive_dead_categories(SGD),
    "compat": lambda: compat.VAE(*compat.dense_encoder_decoder(6, 2, 1, 8, "relu")),
    "compat, dirichlet": lambda: compat.DIRICHLET_VAE(
        *compat.dense_encoder_decoder_dirichlet(6, 2, 1, 8, "relu"), smoothness=0.5, categories=2
    ),
}
COPIES = {
    **{
        f"protocol {protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def stateless_update(grads, state, params=None):
    return jax.tree.map(lambda leaf: -0.1 * leaf, grads), state


def no_state(params):
    return ()


SGD = optax.GradientTransformation(no_state, stateless_update)  # of functions that have names


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for own, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(own) is type(other)
        if isinstance(own, jax.Array) and jnp.issubdtype(own.dtype, jax.dtypes.prng_key):
            assert own.dtype == other.dtype
            own, other = jax.random.key_data(own), jax.random.key_data(other)
        np.testing.assert_array_equal(own, other)


def assert_same_error(a, b):
    assert type(a) is type(b)
    assert str(a) == str(b)
    assert a.args == b.args
    assert vars(a).keys() == vars(b).keys()
    for name, value in vars(a).items():
        assert_same(value, getattr(b, name))


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", VALUES)
def test_a_value_survives(name, copied):
    assert_same(copied(VALUES[name]), VALUES[name])


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_survives(name, copied):
    assert_same_error(copied(ERRORS[name]), ERRORS[name])


def test_every_error_class_is_among_them():
    names = {module.name for module in pkgutil.iter_modules(jaxvae.__path__)} - {"__main__"}
    found = {
        value
        for name in names
        for value in vars(importlib.import_module(f"jaxvae.{name}")).values()
        if isinstance(value, type) and issubclass(value, BaseException)
        if value.__module__.startswith("jaxvae")
    }
    assert found == {type(error) for error in ERRORS.values()}


def test_equal_priors_are_equal():
    assert jaxvae.label_prior() == jaxvae.label_prior()
    assert hash(jaxvae.symmetric_prior(2.0)) == hash(jaxvae.symmetric_prior(2.0))
    assert jaxvae.symmetric_prior(2.0) != jaxvae.symmetric_prior(3.0)


def fail(state):
    """In a worker: an error that holds what the parent sent."""
    raise jaxvae.NonFiniteStepError("step 3 (epoch 1): kl is nan", int(state.step), state, HISTORY)


def values(names):
    return [VALUES[name] for name in names]


def test_spawned_workers_and_their_parent():
    """Values and errors, both ways, through either kind of pool."""
    spawn = multiprocessing.get_context("spawn")
    expected = jaxvae.NonFiniteStepError("step 3 (epoch 1): kl is nan", 3, STATE, HISTORY)
    with spawn.Pool(1) as pool:
        with pytest.raises(jaxvae.NonFiniteStepError) as error:
            pool.apply_async(fail, (STATE,)).get(timeout=120)
        error.value.__cause__ = None  # the worker's traceback, as text
        assert_same_error(error.value, expected)
        names = [name for name in VALUES if name != "dataset"]
        returned = pool.apply_async(values, (names,)).get(timeout=120)
        for name, value in zip(names, returned, strict=True):
            assert_same(value, VALUES[name])
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        error = executor.submit(fail, STATE).exception(timeout=120)
        assert_same_error(error, expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_survives(name):
    made = MODELS[name]()
    copied = pickle.loads(pickle.dumps(made))
    assert type(copied) is type(made)
    if isinstance(made, tuple):
        assert copied == made  # by its values, so that what was compiled for one serves the other


def test_the_first_versions_pickles_are_read():
    """States, records, data and priors; the estimator is read in tests/apps."""
    path = Path(__file__).parent / "data" / "runs_0.1" / "values.pkl"
    values = pickle.loads(path.read_bytes())
    assert isinstance(values["state"], jaxvae.TrainState)
    assert values["record"].more == {}
    assert values["history"].epochs[0].loss == values["record"].loss
    assert isinstance(values["batch"], jaxvae.Batch)
    assert values["batch"].condition is None
    assert values["terms"].more == {}
    concentration = values["label_prior"].concentration(np.array([1]), 2)
    expected = jaxvae.label_prior(smoothness=0.25).concentration(np.array([1]), 2)
    np.testing.assert_array_equal(concentration, expected)
