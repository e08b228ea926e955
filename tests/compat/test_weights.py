"""Examples' weights: what they do to a run, wherever it is made."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jaxvae
from jaxvae import Batch
from jaxvae.training import epochs

N, KEY = 90, jax.random.key(7)
VAE = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
OPTIMIZER = optax.sgd(1e-2)  # shows the gradient's size, which Adam hides
OPTIONS = {"batch_size": 32, "epochs": 2, "optimizer": OPTIMIZER}
WEIGHT = np.random.default_rng(0).gamma(1.0, size=N)  # of real numbers, from 0.01 to 4.6


@pytest.fixture(scope="module")
def data(digits):
    return digits.x_train[:N], digits.y_train[:N]


@pytest.fixture(scope="module")
def weighted(data):
    """A weighted run, that the others are held against."""
    return jaxvae.fit(KEY, VAE, *data, weight=WEIGHT, **OPTIONS)


def fresh():
    return jaxvae.init_state(KEY, VAE, OPTIMIZER, np.zeros((1, 64)))


def losses(history):
    return np.concatenate([record.batch_losses for record in history.epochs])


def assert_close(a, b, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), a, b)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_weighted_run_is_its_steps(data, weighted):
    """Each batch's mean is by its weights; the epoch's by those of all."""
    x, y = data
    state, history = weighted
    step, expected, seen = jaxvae.make_train_step(VAE, OPTIMIZER), fresh(), []
    for epoch in range(2):
        index, padding = epochs.epoch_order(KEY, epoch, N, 32)
        for i, own in zip(index, padding, strict=True):
            own = own * WEIGHT[i].astype(np.float32)
            expected, metrics = step(KEY, expected, Batch(x[i], y[i], own))
            seen.append(metrics)
    assert_close(state, expected)
    np.testing.assert_allclose(losses(history), [m.loss for m in seen], rtol=1e-5)
    for number, record in enumerate(history.epochs):
        own = seen[3 * number : 3 * number + 3]
        kl = np.average([m.kl for m in own], weights=[m.weight for m in own])
        assert record.kl == pytest.approx(kl, rel=1e-5)
        assert record.images_per_second == pytest.approx(N / record.seconds)
    unweighted, _ = jaxvae.fit(KEY, VAE, *data, **OPTIONS)
    found, other = (ravel_pytree(s.params)[0] for s in (state, unweighted))
    assert np.linalg.norm(found - other) > 1e-3


def test_equal_weights_change_nothing(data):
    """To the bit, whatever their size."""
    state, history = jaxvae.fit(KEY, VAE, *data, **OPTIONS)
    for value in (2, 0.3, 1e-300, 1e300):
        same, again = jaxvae.fit(KEY, VAE, *data, weight=np.full(N, value), **OPTIONS)
        assert_equal(same, state)
        assert [record.loss for record in again.epochs] == [r.loss for r in history.epochs]


def test_only_the_ratios_of_weights_matter(data, weighted):
    for scale in (2.0**-1000, 2.0**1000):
        assert_equal(jaxvae.fit(KEY, VAE, *data, weight=scale * WEIGHT, **OPTIONS)[0], weighted[0])


@pytest.mark.parametrize("mask", [True, False], ids=["a mask", "other weights"])
def test_weight_0_counts_for_nothing(data, mask):
    """The run is that of the other examples alone, to the bit: their order, their noise, all."""
    x, y = data
    keep = np.arange(N) % 3 > 0
    weight = np.where(keep, 1.0 if mask else WEIGHT, 0.0)
    x = np.where(keep[:, None], x, 1e30)
    state, history = jaxvae.fit(KEY, VAE, x, y, weight=weight, **OPTIONS)
    own = None if mask else WEIGHT[keep]
    alone, expected = jaxvae.fit(KEY, VAE, x[keep], y[keep], weight=own, **OPTIONS)
    assert_equal(state, alone)
    np.testing.assert_array_equal(losses(history), losses(expected))
    record = history.epochs[0]
    assert record.images_per_second == pytest.approx(keep.sum() / record.seconds)


@pytest.mark.parametrize("model", ["normal", "dirichlet"])
def test_weights_equal_repetition_in_the_gradient(data, model):
    """One full batch, a repeated example with the noise of the one that it repeats."""
    network = jaxvae.dense_dirichlet_network(64, 10, layers=1, hidden_units=8)
    vae = VAE if model == "normal" else jaxvae.dirichlet_vae(network)
    x, y = data[0][:12], data[1][:12]
    params = vae.init(KEY, x)
    times = np.array([1, 2, 0, 3, 1, 2, 1, 1, 0, 2, 1, 2])
    place = np.repeat(np.arange(12), times)
    grad = jax.jit(jax.grad(lambda params, batch: vae.loss(params, KEY, batch)[0]))
    found = grad(params, Batch(x, y, jnp.asarray(times, jnp.float32)))
    repeated = grad(params, Batch(x[place], y[place], position=place))
    plain = grad(params, Batch(x, y))
    found, repeated, plain = (ravel_pytree(tree)[0] for tree in (found, repeated, plain))
    norm = np.linalg.norm(repeated)
    assert np.linalg.norm(found - repeated) < 1e-5 * norm
    assert np.linalg.norm(found - plain) > 1e-2 * norm


@pytest.mark.slow
def test_several_devices_and_fit_many_give_the_same(data, weighted):
    state, history = weighted
    split, other = jaxvae.fit(KEY, VAE, *data, weight=WEIGHT, devices=3, **OPTIONS)
    assert_close(split, state)
    np.testing.assert_allclose(losses(other), losses(history), rtol=1e-5)
    states, (first, _) = jaxvae.fit_many(
        jnp.stack([KEY, jax.random.key(8)]), VAE, *data, weight=WEIGHT, **OPTIONS
    )
    assert_close(jax.tree.map(lambda leaf: leaf[0], states), state)
    np.testing.assert_allclose(losses(first), losses(history), rtol=1e-5)
    for record in (other.epochs[0], first.epochs[0]):
        assert record.images_per_second == pytest.approx(N / record.seconds)


@pytest.mark.slow
def test_compiled_epochs_take_weights(data, weighted):
    one = jaxvae.make_train_epoch(VAE, OPTIMIZER, batch_size=32)
    several = jaxvae.pmap_train_epoch(VAE, OPTIMIZER, batch_size=32, devices=2)
    for train_epoch in (one, several):
        state = fresh()
        for _ in range(2):
            state, metrics = train_epoch(KEY, state, *data, np.asarray(WEIGHT, np.float32))
        assert_close(state, weighted[0])
        assert metrics.weight.sum() == pytest.approx(WEIGHT.sum(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [None, 2])
def test_a_stream_of_weights(data, devices):
    """As a `Batch` or a mapping; rows of weight 0 are left out, where there are none each is 1."""
    x, y = data
    weight = np.where(np.arange(N) % 4 > 0, WEIGHT, 0.0)
    weight[80:] = 1.0

    def batches():
        yield Batch(x[:50], y[:50], weight[:50])
        yield {"x": x[50:80], "y": y[50:80], "weight": weight[50:80]}
        yield {"x": x[:1], "y": y[:1], "weight": [0.0]}
        yield x[80:], y[80:]

    options = OPTIONS | {"epochs": 1, "batch_size": 8}
    state, history = jaxvae.fit(KEY, VAE, batches, devices=devices, **options)
    step, expected = jaxvae.make_train_step(VAE, OPTIMIZER), fresh()
    own = np.flatnonzero(weight)
    assert len(own) == 70
    for start in range(0, 70, 8):
        rows = np.resize(own[start : start + 8], 8)
        used = np.arange(8) < 70 - start
        batch = Batch(x[rows], y[rows], (weight[rows] * used).astype(np.float32))
        expected, _ = step(KEY, expected, batch)
    assert int(state.step) == 9
    assert_close(state, expected)
    assert history.epochs[0].images_per_second == pytest.approx(70 / history.epochs[0].seconds)


def test_a_stream_of_nothing_but_weight_0(data):
    nothing = Batch(*data, np.zeros(N))
    with pytest.raises(ValueError, match="got none of a weight above 0"):
        jaxvae.fit(KEY, VAE, lambda: [nothing], **OPTIONS)


def test_evaluation_by_weights(data):
    """Each example's own loss is the same whatever it weighs."""
    x, y = data
    params = fresh().params
    _, terms = VAE.loss(params, KEY, Batch(x, y))
    weight = np.where(np.arange(N) % 4 > 0, WEIGHT, 0.0)
    for scale in (1.0, 1e-200, 1e200):
        found = jaxvae.evaluate(KEY, VAE, params, x, y, weight=scale * weight, batch_size=32)
        for name in ("reconstruction", "kl"):
            expected = np.average(getattr(terms, name), weights=weight)
            assert getattr(found, name) == pytest.approx(expected, rel=1e-5)
        assert found.loss == pytest.approx(found.reconstruction + found.kl, rel=1e-5)
    plain = jaxvae.evaluate(KEY, VAE, params, x, y, batch_size=32)
    assert jaxvae.evaluate(KEY, VAE, params, x, y, weight=np.full(N, 3), batch_size=32) == plain
    bad = np.where(weight[:, None] > 0, x, 1e30)  # whose loss is infinite
    assert jaxvae.evaluate(KEY, VAE, params, bad, y, weight=scale * weight, batch_size=32) == found


def test_validation_by_weights(data, weighted):
    x, y = data
    held_out = x[:40], y[:40], WEIGHT[:40]
    state, history = jaxvae.fit(KEY, VAE, *data, weight=WEIGHT, validation=held_out, **OPTIONS)
    loss = jaxvae.evaluate(KEY, VAE, state.params, *held_out[:2], weight=held_out[2]).loss
    assert history.epochs[-1].validation_loss == loss
    assert_equal(state, weighted[0])


def test_a_run_goes_on_with_its_own_weights_alone(data, weighted, tmp_path):
    options = OPTIONS | {"checkpoint_dir": tmp_path}
    jaxvae.fit(KEY, VAE, *data, weight=WEIGHT, **options | {"epochs": 1})
    for other in (None, WEIGHT[::-1]):
        with pytest.raises(ValueError, match="weight must be that of the run in"):
            jaxvae.fit(KEY, VAE, *data, weight=other, **options)
    state, _ = jaxvae.fit(KEY, VAE, *data, weight=2 * WEIGHT, **options)
    assert_equal(state, weighted[0])


def test_a_run_without_weights_does_not_go_on_with_some(data, tmp_path):
    options = OPTIONS | {"checkpoint_dir": tmp_path}
    jaxvae.fit(KEY, VAE, *data, **options | {"epochs": 1})
    with pytest.raises(ValueError, match="weight must be that of the run in"):
        jaxvae.fit(KEY, VAE, *data, weight=WEIGHT, **options)
