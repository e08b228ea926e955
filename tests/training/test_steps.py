"""The training step and the compiled epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxvae
from conftest import small_vae
from jaxvae import Batch
from jaxvae.training import epochs, updates


@pytest.fixture
def data(digits):
    return digits.x_train[:150], digits.y_train[:150]


def fresh(vae, optimizer, seed=0):
    return jaxvae.init_state(jax.random.key(seed), vae, optimizer, jnp.zeros((1, 64)))


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_trees_close(a, b, rtol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol), a, b)


def test_every_example_once_with_its_true_weight(key):
    index, weight = epochs.epoch_order(key, 0, 150, 64)
    assert index.shape == weight.shape == (3, 64)
    assert sorted(index[weight > 0].tolist()) == list(range(150))
    assert weight.sum() == 150
    other, _ = epochs.epoch_order(key, 1, 150, 64)
    assert (other[0] != index[0]).any()


@pytest.mark.slow
def test_epoch_is_its_steps(key, vae, data):
    """One compiled epoch equals a loop of train_step over the same batches."""
    x, y = data
    optimizer = optax.adam(1e-3)
    epoch_state, metrics = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)(
        key, fresh(vae, optimizer), x, y
    )
    train_step, state = jaxvae.make_train_step(vae, optimizer), fresh(vae, optimizer)
    index, weight = epochs.epoch_order(key, 0, 150, 64)
    losses = []
    for i, w in zip(index, weight, strict=True):
        state, step_metrics = train_step(key, state, Batch(x[i], y[i], w))
        losses.append(step_metrics.loss)
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-5)
    assert_trees_close(epoch_state.params, state.params, 1e-5)
    assert int(epoch_state.step) == 3
    np.testing.assert_array_equal(metrics.weight, [64, 64, 22])


@pytest.mark.slow
def test_the_last_partial_batch_has_the_gradient_of_its_examples(key, vae, data):
    x, y = data
    optimizer = optax.sgd(0.1)
    train_step = jaxvae.make_train_step(vae, optimizer)
    weight = jnp.array([1.0] * 22 + [0.0] * 42)
    padded, _ = train_step(key, fresh(vae, optimizer), Batch(x[:64], y[:64], weight))
    alone, _ = train_step(key, fresh(vae, optimizer), Batch(x[:22], y[:22]))
    assert_trees_close(padded.params, alone.params, 1e-6)


def test_one_trace_for_many_epochs(key, vae, data):
    traces = 0

    def counted(params, key, batch):
        nonlocal traces
        traces += 1
        return vae.loss(params, key, batch)

    optimizer = optax.adam(1e-3)
    train_epoch = jaxvae.make_train_epoch(vae._replace(loss=counted), optimizer, batch_size=64)
    state = fresh(vae, optimizer)
    for _ in range(10):
        state, _ = train_epoch(key, state, *data)
    assert int(state.step) == 30
    assert traces == 1


def test_same_key_same_run_other_key_other_run(key, vae, data):
    optimizer = optax.adam(1e-3)
    train_epoch = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)
    a, _ = train_epoch(key, fresh(vae, optimizer), *data)
    b, _ = train_epoch(key, fresh(vae, optimizer), *data)
    c, _ = train_epoch(jax.random.key(1), fresh(vae, optimizer), *data)
    assert_trees_equal(a, b)
    assert any((p != q).any() for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(c), strict=True))


def test_state_holds_arrays_only(vae):
    state = fresh(vae, optax.adam(1e-3))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert not any(
        jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(state)
    )


def test_optimizers_that_need_params(key, vae, data):
    """Weight decay reads the parameters: without them Optax raises."""
    optimizer = optax.adamw(1e-3)
    train_step = jaxvae.make_train_step(vae, optimizer)
    state, metrics = train_step(key, fresh(vae, optimizer), Batch(*data))
    assert int(state.step) == 1
    assert metrics.finite


def test_a_step_that_is_not_finite_changes_nothing(key, vae, data):
    x, y = data
    optimizer = optax.adam(1e-3)
    before = fresh(vae, optimizer)
    bad = jnp.asarray(x).at[3, 5].set(jnp.nan)
    after, metrics = jaxvae.make_train_step(vae, optimizer)(
        key, fresh(vae, optimizer), Batch(bad, y)
    )
    assert not metrics.finite
    assert_trees_equal(before, after)


@pytest.mark.parametrize("weight", [np.nan, -1.0])
@pytest.mark.parametrize("shards", [None, 2])
def test_a_bad_weight_makes_no_update(key, data, weight, shards):
    """Compiled code cannot refuse it: the step says so and leaves the state as it was."""
    vae, optimizer = small_vae("normal"), optax.sgd(0.1)
    batch = Batch(data[0][:8], None, jnp.ones(8).at[5].set(weight), jnp.arange(8))
    axis_name = None if shards is None else "shard"
    step = jaxvae.make_train_step(vae, optimizer, axis_name=axis_name)
    if shards is not None:
        batch = jax.tree.map(lambda leaf: leaf.reshape(shards, -1, *leaf.shape[1:]), batch)
        step = jax.vmap(step, (None, None, 0), out_axes=None, axis_name=axis_name)
    before = fresh(vae, optimizer)
    after, metrics = step(key, fresh(vae, optimizer), batch)
    assert not metrics.finite
    assert np.isnan(metrics.loss)
    assert_trees_equal(before, after)


@pytest.mark.slow
def test_an_epoch_stays_at_the_state_before_the_bad_step(key, vae, data):
    x, y = data
    optimizer = optax.adam(1e-3)
    index, _ = epochs.epoch_order(key, 0, 150, 64)
    bad = jnp.asarray(x).at[index[1, 0], 0].set(jnp.nan)
    state, metrics = jaxvae.make_train_epoch(vae, optimizer, batch_size=64)(
        key, fresh(vae, optimizer), bad, y
    )
    np.testing.assert_array_equal(metrics.finite, [True, False, False])
    one, _ = jaxvae.make_train_step(vae, optimizer)(
        key, fresh(vae, optimizer), Batch(x[index[0]], y[index[0]])
    )
    assert int(state.step) == 1
    assert_trees_close(state.params, one.params, 1e-6)


@pytest.mark.parametrize(
    ("optimizer", "shows"),
    [
        (optax.sgd(1e-3), True),
        (optax.adam(optax.warmup_cosine_decay_schedule(0.0, 1e-3, 5, 50)), True),
        (optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)), True),
        (jaxvae.average_params(optax.adam(1e-3), 0.99), True),
        (optax.chain(optax.clip(1.0), optax.adam(1e-3)), False),  # infinity becomes 1
        (optax.chain(optax.zero_nans(), optax.adam(1e-3)), False),
        (optax.MultiSteps(optax.adam(1e-3), 2).gradient_transformation(), True),
        (optax.masked(optax.adam(1e-3), {"a": True, "b": False}), True),
        (optax.chain(optax.adam(1e-3), optax.masked(optax.set_to_zero(), {"a": 0, "b": 1})), False),
    ],
)
def test_which_optimizers_show_a_gradient_that_is_not_finite(optimizer, shows):
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones(3)}
    assert bool(updates.shows_non_finite(optimizer, params)) == shows


@pytest.mark.parametrize("shards", [2, 8])
@pytest.mark.parametrize("mapping", ["vmap", "pmap"])
def test_a_split_batch_has_the_update_of_the_whole(key, vae, data, shards, mapping):
    """SGD shows the gradient itself; the padding is uneven over the shards."""
    x, y = data[0][:64], data[1][:64]
    weight = jnp.array([1.0] * 41 + [0.0] * 23)
    optimizer = optax.sgd(0.1)
    whole, expected = jaxvae.make_train_step(vae, optimizer)(
        key, fresh(vae, optimizer), Batch(x, y, weight)
    )
    step = jaxvae.make_train_step(vae, optimizer, axis_name="shard")
    mapped = {
        "vmap": lambda: jax.vmap(step, in_axes=(None, None, 0), axis_name="shard"),
        "pmap": lambda: jax.pmap(step, in_axes=(None, None, 0), axis_name="shard"),
    }[mapping]()
    batch = Batch(x, y, weight, jnp.arange(64))
    split = jax.tree.map(lambda leaf: jnp.reshape(leaf, (shards, -1, *leaf.shape[1:])), batch)
    state, metrics = mapped(key, fresh(vae, optimizer), split)
    for shard in range(shards):
        assert_trees_close(jax.tree.map(lambda leaf: leaf[shard], state.params), whole.params, 1e-6)  # noqa: B023
    np.testing.assert_allclose(metrics.loss, np.full(shards, expected.loss), rtol=1e-5)
    np.testing.assert_allclose(metrics.weight, np.full(shards, 41.0))
