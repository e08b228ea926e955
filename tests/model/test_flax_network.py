"""A user's Flax modules as networks: batch norm, dropout, conditions; and the ready-made ones.

Batch norm is held to float64 NumPy and to Flax's own; what is split over devices to what is not.
Dropout's rate is by Hoeffding's bound, with a fixed key.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jaxvae
from jaxvae import Batch, bind, latents, likelihoods, objectives, priors
from jaxvae.latents import Dirichlet, Kumaraswamy, Logits, Normal
from jaxvae.likelihoods import Likelihood
from jaxvae.networks import (
    DirichletHead,
    KumaraswamyHead,
    LogitsHead,
    Network,
    NormalHead,
    Training,
    convolutional_dirichlet_network,
    convolutional_network,
    convolutional_normal_network,
    dense_dirichlet_network,
    dense_network,
    dense_normal_network,
    flax_network,
)

KEY = jax.random.key(0)
ROWS, WIDTH = 8, 5
X = jax.random.normal(KEY, (ROWS, WIDTH)) * 2 + 1
WEIGHT = jnp.array([1.0, 0.5, 2.0, 1.0, 0.25, 3.0, 0.0, 0.0])
KEYS = jax.random.split(jax.random.key(7), ROWS)


class Plain(nn.Module):
    """z -> [B, WIDTH], without noise or statistics."""

    @nn.compact
    def __call__(self, z):
        return nn.Dense(WIDTH)(z)


# --- batch norm, told in each way that Flax has


class Untold(nn.Module):
    """Flax itself would refuse it: no one says whether to use the running average."""

    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(momentum=0.9)(x)


class ByAttribute(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False, momentum=0.9)(x)


class ByTrain(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)


class ByTraining(nn.Module):
    @nn.compact
    def __call__(self, x, *, training: bool = False):
        return nn.BatchNorm(momentum=0.9)(x, use_running_average=not training)


class ByRunningAverage(nn.Module):
    @nn.compact
    def __call__(self, x, use_running_average: bool = True):
        return nn.BatchNorm(momentum=0.9)(x, use_running_average)


class ByDeterministic(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic: bool = True):
        return nn.BatchNorm(momentum=0.9, use_running_average=deterministic)(x)


TOLD = [Untold, ByAttribute, ByTrain, ByTraining, ByRunningAverage, ByDeterministic]


def normalized(x, weight, mean=None, var=None):
    """By float64 NumPy: the weighted batch's own mean and variance, or given ones."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    axes = tuple(range(x.ndim - 1))
    wide = np.broadcast_to(weight.reshape(-1, *(1,) * (x.ndim - 1)), x.shape)
    if mean is None:
        mean = np.average(x, axis=axes, weights=wide)
        var = np.average((x - mean) ** 2, axis=axes, weights=wide)
    return (x - mean) / np.sqrt(var + 1e-5), mean, var


def batch_norm_network(kind):
    network = flax_network(kind(), Plain())
    params = network.init(KEY, X)
    norm = {"scale": jnp.linspace(0.5, 1.5, WIDTH), "bias": jnp.linspace(-1.0, 1.0, WIDTH)}
    params = {**params, "encoder": {"BatchNorm_0": norm}}
    return network, params


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("kind", TOLD)
def test_batch_norm_in_training_is_by_the_weighted_batch(kind, weight):
    """To 1e-5 of NumPy, rows of weight 0 left out even if not finite; running ones as Flax has."""
    network, params = batch_norm_network(kind)
    norm = jax.device_get(params["encoder"]["BatchNorm_0"])
    x = X if weight is None else X.at[-1].set(jnp.nan)
    training = Training(KEYS, weight)
    y, statistics = network.encode(params, Batch(x, weight=weight), training=training)
    weighed = np.ones(ROWS) if weight is None else weight
    exact, mean, var = normalized(X, weighed)
    seen = np.asarray(weighed) > 0
    expected = exact * norm["scale"] + norm["bias"]
    np.testing.assert_allclose(y[seen], expected[seen], rtol=1e-5, atol=1e-5)
    after = statistics["encoder"]["BatchNorm_0"]
    np.testing.assert_allclose(after["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(after["var"], 0.9 + 0.1 * var, rtol=1e-5)
    assert weight is None or not np.allclose(mean, normalized(X, np.ones(ROWS))[1], rtol=1e-2)


@pytest.mark.parametrize("kind", TOLD)
def test_batch_norm_in_evaluation_is_by_the_running_statistics(kind):
    network, params = batch_norm_network(kind)
    norm = jax.device_get(params["encoder"]["BatchNorm_0"])
    mean, var = np.linspace(-1, 1, WIDTH), np.linspace(0.5, 2, WIDTH)
    kept = {"mean": jnp.asarray(mean, jnp.float32), "var": jnp.asarray(var, jnp.float32)}
    params = {**params, "statistics": {"encoder": {"BatchNorm_0": kept}}}
    exact, *_ = normalized(X, np.ones(ROWS), mean, var)
    expected = exact * norm["scale"] + norm["bias"]
    np.testing.assert_allclose(network.encode(params, X), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network.encode(params, X[:1]), expected[:1], rtol=1e-5, atol=1e-5)


def test_batch_norm_without_weights_is_flaxs_own():
    """Value, statistics and gradient, as its `use_running_average=False` gives them."""
    network, params = batch_norm_network(Untold)

    def ours(own, x):
        params_now = {**params, "encoder": own}
        y, statistics = network.encode(params_now, x, training=Training(KEYS))
        return jnp.sum(jnp.sin(y)), (y, statistics["encoder"])

    def theirs(own, x):
        variables = {"params": own, "batch_stats": params["statistics"]["encoder"]}
        y, kept = ByAttribute().apply(variables, x, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(y)), (y, kept["batch_stats"])

    found, expected = (
        jax.value_and_grad(function, (0, 1), has_aux=True)(params["encoder"], X)
        for function in (ours, theirs)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected
    )


def test_batch_norm_of_images_and_of_another_axis():
    class Images(nn.Module):
        axis: int

        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(momentum=0.9, axis=self.axis)(x)

    x = jax.random.normal(KEY, (ROWS, 4, 3, 2))
    for axis in (-1, 1):
        network = flax_network(Images(axis), Plain())
        params = network.init(KEY, x)
        y, statistics = network.encode(params, x, training=Training(KEYS, WEIGHT))
        moved = np.moveaxis(np.asarray(x), axis, -1)
        exact, mean, var = normalized(moved, WEIGHT)
        found = np.moveaxis(np.asarray(y), axis, -1)
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)
        after = statistics["encoder"]["BatchNorm_0"]
        np.testing.assert_allclose(after["mean"], 0.1 * mean, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(after["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_a_frozen_batch_norm_stays_frozen():
    """One that its own module tells to use the running statistics, as in fine tuning."""

    class Frozen(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=True)(x)

    network = flax_network(Frozen(), Plain())
    params = network.init(KEY, X)
    y, statistics = network.encode(params, X, training=Training(KEYS))
    np.testing.assert_allclose(y, network.encode(params, X), rtol=1e-6)
    jax.tree.map(
        np.testing.assert_array_equal, statistics, {"encoder": params["statistics"]["encoder"]}
    )


# --- split over devices


class Both(nn.Module):
    """Batch norm, dropout and a dense layer between."""

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(momentum=0.9)(x)
        x = nn.Dropout(0.4)(nn.relu(nn.Dense(16)(x)))
        return nn.Dense(2, name="loc")(x), jnp.exp(nn.Dense(2, name="scale")(x))


class BothDecoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        x = nn.Dropout(0.4)(nn.BatchNorm(momentum=0.9)(nn.Dense(16)(z)))
        return nn.Dense(WIDTH)(nn.relu(x))


def noisy_vae(objective=None):
    network = flax_network(Both(), BothDecoder())
    return bind(network, latents.normal, priors.standard_normal(), likelihoods.normal(), objective)


@pytest.mark.parametrize("way", ["vmap", "pmap", "shard_map"])
def test_split_over_four_devices_is_one_device(way):
    """Uneven weights, a device with padding alone: loss, statistics and gradients to 1e-5."""
    vae = noisy_vae()
    params = vae.init(KEY, X)
    statistics = params.pop("statistics")
    batch = Batch(X, weight=WEIGHT, position=jnp.arange(ROWS))

    def total(own, batch, axis_name=None):
        """Of this device, so that the sum over devices is that of all."""
        whole = {**own, "statistics": statistics}
        loss, terms = vae.loss(whole, KEY, batch, 0, axis_name=axis_name)
        return loss * jnp.sum(batch.weight), terms.statistics

    value = jax.value_and_grad(total, has_aux=True)
    (loss, kept), slopes = jax.jit(value)(params, batch)

    def each(params, batch):
        (loss, kept), slopes = value(params, batch, "device")
        return jax.lax.psum((loss, slopes), "device"), kept

    split = jax.tree.map(lambda leaf: leaf.reshape(4, 2, *leaf.shape[1:]), batch)
    if way == "vmap":
        found = jax.vmap(each, (None, 0), axis_name="device")(params, split)
    elif way == "pmap":
        found = jax.pmap(each, "device", in_axes=(None, 0), devices=jax.devices()[:4])(
            params, split
        )
    else:
        mesh = jax.make_mesh((4,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
        mapped = jax.shard_map(
            lambda p, b: jax.tree.map(lambda leaf: leaf[None], each(p, b)),
            mesh=mesh, in_specs=(P(), P("device")), out_specs=P("device"), check_vma=False,
        )  # fmt: skip
        found = jax.jit(mapped)(params, batch)
    for device in range(4):
        (split_loss, split_slopes), split_kept = jax.tree.map(lambda leaf, i=device: leaf[i], found)
        np.testing.assert_allclose(split_loss, loss, rtol=1e-5)
        for found_tree, tree in ((split_slopes, slopes), (split_kept, kept)):
            scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5 * scale),
                found_tree,
                tree,
            )
    assert not np.allclose(kept["encoder"]["BatchNorm_0"]["mean"], 0)


def test_a_train_step_keeps_the_statistics_out_of_the_optimizer():
    """They move as Flax moves them, whatever the learning rate."""
    import optax

    vae = noisy_vae()
    step = jaxvae.make_train_step(vae, optax.sgd(0.0))
    state = jaxvae.init_state(KEY, vae, optax.sgd(0.0), X)
    before = jax.device_get(state.params)
    after, _ = step(KEY, state, Batch(X))
    after = jax.device_get(after.params)
    statistics = [params.pop("statistics") for params in (before, after)]
    jax.tree.map(np.testing.assert_array_equal, before, after)
    _, mean, var = normalized(X, np.ones(ROWS))
    kept = statistics[1]["encoder"]["BatchNorm_0"]
    np.testing.assert_allclose(kept["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(kept["var"], 0.9 + 0.1 * var, rtol=1e-5)


# --- dropout


class Noise(nn.Module):
    """Ones, some of them dropped."""

    rate: float = 0.3
    width: int = 50

    @nn.compact
    def __call__(self, x):
        return nn.Dropout(self.rate)(jnp.ones((x.shape[0], self.width)))


class NoiseByFlag(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic: bool):
        return nn.Dropout(0.3)(jnp.ones((x.shape[0], 50)), deterministic=deterministic)


class NoiseByTrain(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool = False):
        return nn.Dropout(0.3, deterministic=not train)(jnp.ones((x.shape[0], 50)))


def noise(module, keys, rows=None):
    network = flax_network(module, Plain())
    x = jnp.zeros((len(keys), WIDTH))
    return np.asarray(network.encode({"encoder": {}}, x, training=Training(keys)))


@pytest.mark.parametrize("module", [Noise(), NoiseByFlag(), NoiseByTrain()])
def test_dropout_has_its_rate_and_is_off_in_evaluation(module):
    """Of 100,000 values the share is within Hoeffding's bound: a right one fails once in 1e9."""
    keys = jax.random.split(KEY, 2000)
    y = noise(module, keys)
    kept = y != 0
    assert abs(kept.mean() - 0.7) < np.sqrt(np.log(2e9) / (2 * kept.size))
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    for shares in (kept.mean(axis=0), kept[:, :1] == kept[:, 1:]):
        assert (np.abs(shares.mean(axis=0) - (0.7 if shares.ndim == 1 else 0.58)) < 0.06).all()
    network = flax_network(module, Plain())
    np.testing.assert_array_equal(
        network.encode({"encoder": {}}, jnp.zeros((3, 5))), np.ones((3, 50))
    )


@pytest.mark.parametrize(("rate", "value"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_of_nothing_and_of_all(rate, value):
    np.testing.assert_array_equal(noise(Noise(rate), KEYS), np.full((ROWS, 50), value))


def test_dropout_is_by_the_examples_key():
    """However the batch is split or ordered; and no two rows are alike."""
    whole = noise(Noise(), KEYS)
    np.testing.assert_array_equal(
        np.concatenate([noise(Noise(), KEYS[:3]), noise(Noise(), KEYS[3:])]), whole
    )
    order = np.array([3, 1, 7, 0])
    np.testing.assert_array_equal(noise(Noise(), KEYS[order]), whole[order])
    assert len({row.tobytes() for row in whole}) == ROWS


def test_each_dropout_of_a_module_has_noise_of_its_own():
    """Also one that is called twice; whole axes share it where `broadcast_dims` says so."""

    class Several(nn.Module):
        @nn.compact
        def __call__(self, x):
            ones = jnp.ones((x.shape[0], 50))
            twice = nn.Dropout(0.5)
            return jnp.stack(
                [nn.Dropout(0.5)(ones), nn.Dropout(0.5)(ones), twice(ones), twice(ones)], 1
            )

    y = noise(Several(), KEYS)
    assert len({y[:, i].tobytes() for i in range(4)}) == 4

    class Shared(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dropout(0.5, broadcast_dims=(1,))(jnp.ones((x.shape[0], 6, 50)))

    y = noise(Shared(), KEYS)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert 0 < (y != 0).mean() < 1


@pytest.mark.parametrize("draws", [1, 3])
def test_noise_of_encoder_decoder_and_draws_differs(draws):
    """Each example's: the encoder's is seen in the divergence, the decoder's in log p(x | z)."""

    def uniform(keys):
        return jax.vmap(jax.random.uniform)(keys)[:, None]

    def encode(params, batch, *, training=None):
        loc = jnp.zeros((ROWS, 1)) if training is None else uniform(training.keys)
        return loc, jnp.ones((ROWS, 1))

    def decode(params, z, batch, *, training=None):
        return jnp.zeros_like(z) if training is None else uniform(training.keys)

    seen = Likelihood(
        lambda key, x: {}, lambda own, decoded, x, example: jnp.sum(decoded),
        lambda own, decoded, example=None: decoded, lambda own, key, decoded, example=None: decoded,
    )  # fmt: skip

    def loss(batch, objective, step):
        network = Network(lambda key, x: {}, encode, decode)
        vae = bind(network, latents.normal, priors.standard_normal(), seen, objective)
        return vae.loss({}, KEY, batch, step)[1]

    keep = objectives.Objective(
        lambda terms, step: (-terms.log_px[0], {"draws": terms.log_px.T}), draws=draws
    )
    batch = Batch(jnp.zeros((ROWS, 1)))
    trained = loss(batch, keep, 0)
    encoder, decoder = np.sqrt(2 * np.asarray(trained.kl)), np.asarray(trained.more["draws"])
    every = np.concatenate([encoder, decoder.ravel()])
    assert len(np.unique(every.round(5))) == ROWS * (1 + draws)
    backwards = loss(batch._replace(position=jnp.arange(ROWS)[::-1]), keep, 0)
    np.testing.assert_allclose(backwards.kl, trained.kl[::-1], rtol=1e-5)
    np.testing.assert_allclose(backwards.more["draws"], decoder[::-1], rtol=1e-5)
    assert (loss(batch, keep, None).kl == 0).all()  # no training, no noise


def test_a_module_with_noise_of_its_own_is_given_a_key():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x, training: bool = False):
            return x + jax.random.normal(self.make_rng("dropout"), x.shape) if training else x

    network = flax_network(Own(), Plain())
    params = {"encoder": {}}
    a, b = (network.encode(params, X, training=Training(keys)) for keys in (KEYS, KEYS[::-1]))
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(network.encode(params, X), X)


def test_other_state_is_refused():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("counts", "calls", lambda: jnp.zeros(()))
            return x

    message = (
        "encoder must be a module whose only variables are its params and the running .* counts"
    )
    with pytest.raises(ValueError, match=message):
        flax_network(Counter(), Plain()).init(KEY, X)
    with pytest.raises(
        TypeError, match=r"decoder must be a flax\.linen\.Module instance, got 'mlp'"
    ):
        flax_network(Plain(), "mlp")


def test_statistics_of_either_side_are_beside_the_parameters():
    params = noisy_vae().init(KEY, X)
    assert set(params) == {"encoder", "decoder", "statistics"}
    assert set(params["statistics"]) == {"encoder", "decoder"}
    assert "BatchNorm_0" in params["encoder"]  # scale and bias are learned
    network, params = batch_norm_network(Untold)
    assert set(params["statistics"]) == {"encoder"}
    value = network.decode(params, X, training=Training(KEYS))
    assert value[1] == {}


# --- conditions

CONDITION = jax.random.normal(jax.random.key(5), (ROWS, 3))


class Second(nn.Module):
    """The condition by its place, whatever its name."""

    width: int

    @nn.compact
    def __call__(self, x, c, train: bool = False):
        x = nn.Dense(self.width)(jnp.concatenate([x, c], axis=1))
        return nn.Dropout(0.5, deterministic=not train)(x)


class ByBatch(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x, batch):
        c = batch.condition + batch.y[:, None].astype(jnp.float32)
        return nn.Dense(self.width)(jnp.concatenate([x, c], axis=1))


class Ignorant(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def conditioned(encoder, decoder, likelihood=None):
    return bind(
        flax_network(encoder, decoder), latents.concrete(0.5),
        priors.in_family(latents.concrete(0.5), lambda own, context: jnp.zeros(4)),
        likelihood or likelihoods.normal(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [Second, ByBatch])
def test_a_condition_reaches_both_halves(kind):
    vae = conditioned(kind(4), kind(WIDTH))
    batch = Batch(X, y=jnp.arange(ROWS), condition=CONDITION)
    params = vae.init(KEY, batch)
    q = vae.encode(params, batch)
    other = batch._replace(condition=CONDITION + 1)
    assert q.logits.shape == (ROWS, 4)
    assert not np.allclose(q.logits, vae.encode(params, other).logits)
    z = latents.concrete(0.5).mean(q)
    assert not np.allclose(vae.decode(params, z, batch), vae.decode(params, z, other))
    kernel, bias = (params["encoder"]["Dense_0"][name] for name in ("kernel", "bias"))
    c = CONDITION if kind is Second else CONDITION + jnp.arange(ROWS, dtype=jnp.float32)[:, None]
    np.testing.assert_allclose(
        q.logits, jnp.hstack([X, c]) @ kernel + bias[None], rtol=1e-5, atol=1e-5
    )
    assert np.isfinite(vae.loss(params, KEY, batch, 0)[0])


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_condition_that_a_module_ignores_is_refused(side):
    halves = {"encoder": Second(4), "decoder": Second(WIDTH), side: Ignorant(4)}
    vae = conditioned(**halves)
    message = rf"{side} must take the condition as its second argument, .* a module of \(x\)"
    with pytest.raises(ValueError, match=message):
        vae.init(KEY, Batch(X, condition=CONDITION))


def test_a_condition_may_be_a_tree():
    class Tree(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x, c):
            return nn.Dense(self.width)(jnp.concatenate([x, c["a"], c["b"][0]], axis=1))

    vae = conditioned(Tree(4), Tree(WIDTH))
    batch = Batch(X, condition={"a": CONDITION, "b": (CONDITION[:, :1],)})
    assert np.isfinite(vae.loss(vae.init(KEY, batch), KEY, batch, 0)[0])


# --- ready-made networks


def kernel(tree, name):
    return tree["trunk"][name]["kernel"] if "trunk" in tree else tree[name]["kernel"]


def test_dense_networks_lay_the_condition_beside_x_and_z():
    network = dense_normal_network(WIDTH, 2, layers=1, hidden_units=8)
    batch = Batch(X, condition={"b": CONDITION[:, :1], "a": jnp.arange(ROWS)})
    params = network.init(KEY, batch)
    assert kernel(params["encoder"], "hidden_0").shape == (WIDTH + 2, 8)
    assert kernel(params["decoder"], "hidden_0").shape == (2 + 2, 8)
    a, b = (network.encode(params, batch._replace(condition={**batch.condition, "a": v}))[0]
            for v in (jnp.arange(ROWS), jnp.arange(ROWS) + 1))  # fmt: skip
    assert not np.allclose(a, b)


@pytest.mark.parametrize("shape", [(7, 5), (8, 8), (5, 4, 3), (9, 7, 1)])
@pytest.mark.parametrize("conditioned", [False, True])
def test_convolutional_networks_of_any_size(shape, conditioned):
    x = jax.random.uniform(KEY, (4, *shape))
    batch = Batch(x, condition=CONDITION[:4] if conditioned else None)
    network = convolutional_normal_network(shape, 2, channels=(3, 4), hidden_units=8)
    params = jax.jit(network.init)(KEY, batch)
    loc, scale = network.encode(params, batch)
    assert loc.shape == scale.shape == (4, 2)
    assert network.decode(params, loc, batch).shape == x.shape
    channels = shape[2] if len(shape) == 3 else 1
    first = kernel(params["encoder"], "conv_0")
    assert first.shape == (3, 3, channels + 3 * conditioned, 3)
    if conditioned:
        other = batch._replace(condition=CONDITION[:4] + 1)
        assert not np.allclose(network.encode(params, other)[0], loc)
        assert not np.allclose(
            network.decode(params, loc, other), network.decode(params, loc, batch)
        )


def test_a_convolutional_model_of_images_is_trained():
    """RGB of an odd size, as bytes; the gradient reaches every parameter."""
    network = convolutional_dirichlet_network((5, 7, 3), 4, channels=(3, 4), hidden_units=8)
    vae = bind(
        network, latents.dirichlet, priors.symmetric(), likelihoods.bernoulli(),
        transform=jaxvae.transforms.divided_by(255),
    )  # fmt: skip
    x = jax.random.randint(KEY, (3, 5, 7, 3), 0, 256).astype(jnp.uint8)
    params = jax.jit(vae.init)(KEY, x)
    slopes = jax.jit(jax.grad(lambda p: vae.loss(p, KEY, Batch(x), 0)[0]))(params)
    for path, leaf in jax.tree.leaves_with_path(slopes):
        assert np.isfinite(leaf).all(), path
        assert (leaf != 0).any(), path


HEADS: dict[str, tuple[Any, Any, Any]] = {
    "normal": (NormalHead(3), Normal, latents.normal),
    "dirichlet": (DirichletHead(3), Dirichlet, latents.dirichlet),
    "logits": (LogitsHead(3), Logits, latents.concrete(0.5)),
    "sticks": (KumaraswamyHead(3), Kumaraswamy, latents.stick_breaking),
}


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize("name", HEADS)
def test_heads_give_the_latents_parameters_in_float32(name, dtype):
    head, kind, latent = HEADS[name]
    network = dense_network(WIDTH, head, layers=1, hidden_units=8, dtype=dtype)
    params = network.init(KEY, X)
    q = network.encode(params, X)
    assert type(q) is kind
    assert latent.wrap(q) is q
    expected = latent.shapes((ROWS, 3))
    for leaf, shape in zip(jax.tree.leaves(q), jax.tree.leaves(expected), strict=True):
        assert (leaf.shape, leaf.dtype) == (shape.shape, jnp.float32)
    decoded = network.decode(params, latent.mean(q))
    assert (decoded.shape, decoded.dtype) == (X.shape, jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}


def test_heads_of_a_product_share_a_trunk_and_keep_their_order():
    """The decoder takes the parts of z side by side, as declared and not as sorted."""
    heads = {"style": NormalHead(2), "category": DirichletHead(3)}
    network = dense_network(WIDTH, heads, layers=1, hidden_units=8)
    params = network.init(KEY, X)
    q = network.encode(params, X)
    assert isinstance(q["style"], Normal)
    assert isinstance(q["category"], Dirichlet)
    z = {"style": jnp.ones((1, 2)), "category": jnp.zeros((1, 3))}
    hidden = params["decoder"]["trunk"]["hidden_0"]
    expected = nn.relu(hidden["kernel"][:2].sum(axis=0) + hidden["bias"])
    last = params["decoder"]["decoded"]
    expected = expected @ last["kernel"] + last["bias"]
    latent = latents.product(style=latents.normal, category=latents.dirichlet)
    prior = priors.product(style=priors.standard_normal(), category=priors.symmetric())
    vae = bind(network, latent, prior, likelihoods.normal())
    turned = dict(sorted(z.items()))
    for decode in (network.decode, jax.jit(network.decode), vae.decode, jax.jit(vae.decode)):
        for order in (z, turned):
            found = decode(params, order)[0]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_trees_are_laid_side_by_side_in_one_order():
    """A dict has the same values in any order, and `jit` sorts it: x and the condition alike."""
    network = dense_network(WIDTH, NormalHead(2), layers=1, hidden_units=8)
    batch = Batch({"b": X[:, :2], "a": X[:, 2:]}, condition={"d": X[:, :1], "c": CONDITION})
    x, condition = (dict(sorted(tree.items())) for tree in (batch.x, batch.condition))
    turned = Batch(x, condition=condition)
    params = network.init(KEY, batch)
    expected = network.encode(params, batch)
    for found in (network.encode(params, turned), jax.jit(network.encode)(params, batch)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_normal_head_starts_at_scale_one_on_counts(seed):
    """Large inputs must not make the first draws too large for a Poisson's rate."""
    network = dense_network(WIDTH, NormalHead(2), layers=1, hidden_units=16)
    vae = bind(network, latents.normal, priors.standard_normal(), likelihoods.poisson())
    x = jax.random.poisson(KEY, 30.0, (50, WIDTH)).astype(jnp.float32)
    params = vae.init(jax.random.key(seed), x)
    np.testing.assert_array_equal(vae.encode(params, x).scale, 1.0)
    assert np.isfinite(vae.loss(params, KEY, Batch(x))[0])


@pytest.mark.parametrize("make", [
    functools.partial(dense_normal_network, WIDTH, 2, layers=2, hidden_units=8),
    functools.partial(dense_dirichlet_network, WIDTH, 3, layers=2, hidden_units=8),
    functools.partial(convolutional_normal_network, (6, 5), 2, channels=(3,), hidden_units=8),
    functools.partial(
        convolutional_network, (6, 5, 3), LogitsHead(3), channels=(3,), hidden_units=8
    ),
])  # fmt: skip
def test_half_precision_ends_before_the_heads(make):
    """Near the float32 network of the same parameters; outputs and parameters are float32."""
    shape = (WIDTH,) if "dense" in make.func.__name__ else make.args[0]
    x = jax.random.uniform(KEY, (4, *shape))
    full, half = make(), make(dtype=jnp.bfloat16)
    params = jax.jit(full.init)(KEY, x)
    q, low = full.encode(params, x), half.encode(params, x)
    for a, b in zip(jax.tree.leaves(q), jax.tree.leaves(low), strict=True):
        assert b.dtype == jnp.float32
        np.testing.assert_allclose(a, b, atol=0.05)
        assert not np.array_equal(a, b)
    z = jax.random.uniform(KEY, jax.tree.leaves(q)[0].shape)
    decoded = half.decode(params, z)
    assert decoded.dtype == jnp.float32
    np.testing.assert_allclose(decoded, full.decode(params, z), atol=0.05)


def test_equal_networks_are_equal():
    """With modules, which Flax compares by their fields."""
    pairs = [
        (flax_network(Second(4), Ignorant(3)), flax_network(Second(4), Ignorant(3))),
        (dense_network(5, LogitsHead(3)), dense_network(5, LogitsHead(3))),
        (dense_network(5, {"a": NormalHead(2), "b": LogitsHead(3)}),
         dense_network(5, {"a": NormalHead(2), "b": LogitsHead(3)})),
        (convolutional_network((4, 4), NormalHead(2)),
         convolutional_network((4, 4), NormalHead(2))),
    ]  # fmt: skip
    for i, (a, _) in enumerate(pairs):
        for j, (_, b) in enumerate(pairs):
            assert (a == b) == (i == j)
        assert hash(a) == hash(pairs[i][1])
    assert flax_network(Second(4), Ignorant(3)) != flax_network(Second(5), Ignorant(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dense_normal_network(0, 2), "data_dim must be"),
        (lambda: dense_normal_network((), 2), "data_dim must be an integer or a shape"),
        (lambda: dense_normal_network((4, 0), 2), r"data_dim\[1\] must be"),
        (lambda: dense_network(4, "head"), "head must be a Flax module, got 'head'"),
        (lambda: dense_network(4, {"a": 1}), "a must be a Flax module, got 1"),
        (lambda: convolutional_network((4,), NormalHead(2)), r"image_shape must be \(H, W\)"),
        (lambda: convolutional_network((4, 4), NormalHead(2), channels=()), "channels must be"),
        (lambda: dense_network(4, NormalHead(2), activation="wavy"), "activation must be one of"),
    ],
)
def test_refusals_name_the_argument(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_images_through_a_dense_network():
    network = dense_normal_network((4, 3, 2), 2, layers=1, hidden_units=8)
    x = jax.random.uniform(KEY, (5, 4, 3, 2))
    params = network.init(KEY, x)
    loc, _ = network.encode(params, x)
    assert network.decode(params, loc).shape == x.shape
