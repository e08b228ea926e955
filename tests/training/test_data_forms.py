"""`fit` on every form of data, on one device and on several: each form is the same run."""

import operator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse as sp
from jax.sharding import PartitionSpec as P

import jaxvae
from jaxvae import Batch, Checkpoints, bind, latents, likelihoods, priors
from jaxvae.data import examples
from jaxvae.data.batches import rows_of
from jaxvae.networks import Network, flax_network
from jaxvae.parallel import Placement

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
ROWS, WIDTH = 22, 6  # batches of 8: the last one has 6 rows, which 4 and 8 devices do not divide
COUNTS = RNG.poisson(0.5, (ROWS, WIDTH)).astype(np.float32)
CONDITION = RNG.normal(size=(ROWS, 2)).astype(np.float32)
MASK = RNG.random((ROWS, WIDTH)) < 0.7
Y = RNG.integers(0, 3, ROWS)
OPTIONS = {"batch_size": 8, "epochs": 2}


def flat(x):
    leaves = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(x)]
    return jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in leaves], axis=1)


def init(key, batch):
    width = flat((batch.x, batch.condition)).shape[1]
    extra = 0 if batch.condition is None else flat(batch.condition).shape[1]
    leaves = jax.tree.leaves(batch.x)
    out = sum(leaf[0].size for leaf in leaves)
    w, v = jax.random.split(key)
    return {
        "encoder": {"w": 0.1 * jax.random.normal(w, (width, 2))},
        "decoder": {"w": 0.1 * jax.random.normal(v, (2 + extra, out))},
    }


def encode(params, batch):
    h = flat((batch.x, batch.condition)) @ params["encoder"]["w"]
    return h, jnp.exp(0.1 * h)


def decode(params, z, batch):
    h = z if batch.condition is None else jnp.concatenate([z, flat(batch.condition)], axis=1)
    h, start, leaves = h @ params["decoder"]["w"], 0, []
    for leaf in jax.tree.leaves(batch.x):
        stop = start + leaf[0].size
        leaves.append(h[:, start:stop].reshape(leaf.shape))
        start = stop
    return jax.tree.unflatten(jax.tree.structure(batch.x), leaves)


VAE = bind(
    Network(init, encode, decode), latents.normal, priors.standard_normal(), likelihoods.normal()
)


def fit(x, y=None, vae=VAE, **options):
    state, history = jaxvae.fit(KEY, vae, x, y, **OPTIONS | options)
    return state.params, history


def assert_close(a, b, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), a, b)


IMAGES = COUNTS.reshape(ROWS, 2, 3)
FORMS = {
    "images": (IMAGES, {}),
    "bytes": (np.uint8(COUNTS), {}),
    "sparse": (sp.csr_array(COUNTS), {}),
    "sparse bytes": (sp.csr_array(np.uint8(COUNTS)), {}),
    "batch": (Batch(COUNTS), {}),
    "weights": (COUNTS, {"weight": np.linspace(0, 2, ROWS)}),
    "tree": ({"a": COUNTS[:, :4], "b": IMAGES}, {}),
    "condition": (COUNTS, {"condition": CONDITION}),
    "mask": (np.where(MASK, COUNTS, np.nan), {"mask": MASK}),
    "all": (
        {"a": COUNTS[:, :4], "b": sp.csr_array(COUNTS)},
        {
            "condition": {"c": CONDITION},
            "mask": {"a": MASK[:, :4], "b": MASK},
            "weight": np.linspace(0, 2, ROWS),
        },
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_eight_devices_train_as_one(name):
    x, fields = FORMS[name]
    one, history = fit(x, **fields)
    eight, split = fit(x, devices=8, **fields)
    assert_close(one, eight)
    parts, _ = fit(x, devices=Placement(8, data="split"), **fields)
    assert_close(eight, parts)
    np.testing.assert_allclose(
        history.epochs[-1].batch_losses, split.epochs[-1].batch_losses, rtol=1e-4
    )
    _, many = jaxvae.fit_many(jnp.stack([KEY, jax.random.key(1)]), VAE, x, **fields, **OPTIONS)
    assert many[0].epochs[-1].loss == pytest.approx(history.epochs[-1].loss, rel=1e-4)
    assert many[1].epochs[-1].loss != many[0].epochs[-1].loss


@pytest.mark.parametrize("name", ["bytes", "sparse", "sparse bytes", "batch"])
def test_the_same_data_in_another_form_is_the_same_run(name):
    assert_close(fit(FORMS[name][0])[0], fit(COUNTS)[0], atol=1e-6)


@pytest.mark.parametrize("name", ["images", "tree", "condition", "mask", "all"])
@pytest.mark.parametrize("devices", [None, 4])
def test_a_stream_of_the_same_examples_is_the_same_steps(name, devices):
    """One batch an epoch, so that the order does not matter but to the noise by position."""
    x, fields = FORMS[name]
    data = examples.examples(x, **fields)
    dense = examples.first(data, ROWS)
    rows = rows_of(data)
    pieces = [
        jax.tree.map(operator.itemgetter(slice(start, start + 5)), dense)
        for start in range(0, rows, 5)
    ]
    whole, history = fit(lambda: iter([dense]), batch_size=8, devices=devices)
    cut, _ = fit(lambda: iter(pieces), batch_size=8)
    assert_close(whole, cut)
    assert len(history.epochs[0].batch_losses) == 3
    _, many = jaxvae.fit_many(
        jnp.stack([KEY, KEY]), VAE, lambda: iter(pieces), devices=devices and 2, **OPTIONS
    )
    assert many[1].epochs[-1].loss == pytest.approx(history.epochs[-1].loss, rel=1e-4)


def test_a_mask_counts():
    zero = np.where(MASK, COUNTS, 0)
    seen, unknown = fit(zero, mask=MASK)[0], fit(np.where(MASK, COUNTS, np.nan), mask=MASK)[0]
    assert_close(seen, unknown, 0)
    assert np.abs(seen["decoder"]["w"] - fit(zero)[0]["decoder"]["w"]).max() > 1e-5


def test_conditions_and_missing_labels():
    assert np.isfinite(fit(COUNTS, condition=CONDITION)[1].epochs[-1].loss)
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(WIDTH, 3, layers=1, hidden_units=4))
    missing = np.where(np.arange(ROWS) % 2, -1, Y)
    losses = [fit(COUNTS, y, vae)[1].epochs[-1].loss for y in (Y, missing)]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
    one, eight = (fit(COUNTS, missing, vae, devices=devices)[0] for devices in (None, 8))
    assert_close(one, eight)


def test_held_out_batches():
    held_out = Batch(COUNTS, condition=CONDITION, mask=MASK)
    state, history = jaxvae.fit(KEY, VAE, held_out, validation=held_out, **OPTIONS)
    loss = jaxvae.evaluate(KEY, VAE, state.params, held_out).loss
    assert history.epochs[-1].validation_loss == loss


@pytest.mark.parametrize("name", ["y", "weight", "condition", "mask"])
def test_a_stream_holds_it_all(name):
    with pytest.raises(ValueError, match=f"{name} must be None where x gives batches"):
        fit(lambda: iter([COUNTS]), **{name: np.ones(ROWS)})


# --- batch norm and dropout


class Encoder(nn.Module):
    norm: bool = False
    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(4, use_bias=not self.norm)(x)  # no gradient but rounding for a bias there
        if self.norm:
            h = nn.BatchNorm(momentum=0.9)(h)
        h = nn.Dropout(self.rate)(nn.relu(h))
        return nn.Dense(2)(h), nn.softplus(nn.Dense(2)(h)) + 0.1


class Decoder(nn.Module):
    @nn.compact
    def __call__(self, z):
        return nn.Dense(WIDTH)(z)


def flax_vae(**options):
    network = flax_network(Encoder(**options), Decoder())
    return bind(network, latents.normal, priors.standard_normal(), likelihoods.normal())


def test_batch_norm_on_four_devices_is_that_on_one_saved_and_resumed(tmp_path):
    vae = flax_vae(norm=True)
    optimizer = jaxvae.average_params(optax.adam(1e-2), 0.9)
    options = {"optimizer": optimizer, "batch_size": 8}
    four, _ = jaxvae.fit(KEY, vae, COUNTS, epochs=3, devices=4, **options)
    one, _ = jaxvae.fit(KEY, vae, COUNTS, epochs=3, **options)
    assert_close(one.params, four.params)
    where = Placement(4, params=lambda params: jax.tree.map(lambda _: P(), params))
    on_mesh, _ = jaxvae.fit(KEY, vae, COUNTS, epochs=3, devices=where, **options)
    assert_close(one.params, on_mesh.params)
    fresh = jaxvae.init_state(KEY, vae, optimizer, COUNTS)
    moved = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()),
        one.params["statistics"],
        fresh.params["statistics"],
    )
    assert min(jax.tree.leaves(moved)) > 1e-3
    where = Checkpoints(tmp_path, every=1)
    jaxvae.fit(KEY, vae, COUNTS, epochs=1, checkpoints=where, **options)
    resumed, _ = jaxvae.fit(KEY, vae, COUNTS, epochs=3, checkpoints=where, **options)
    jax.tree.map(np.testing.assert_array_equal, resumed, one)
    loaded = jaxvae.load_state(tmp_path, vae, optimizer, COUNTS)
    jax.tree.map(np.testing.assert_array_equal, loaded, one)
    averaged = jaxvae.averaged_params(one)
    assert averaged["statistics"] is one.params["statistics"]
    assert jax.tree.structure(averaged) == jax.tree.structure(one.params)
    assert np.isfinite(jaxvae.evaluate(KEY, vae, averaged, COUNTS).loss)


def test_dropout_on_eight_devices_is_that_on_one():
    one, eight = (fit(COUNTS, vae=flax_vae(rate=0.5), devices=n)[0] for n in (None, 8))
    assert_close(one, eight)
    without = fit(COUNTS, vae=flax_vae())[0]
    kernels = [params["decoder"]["Dense_0"]["kernel"] for params in (one, without)]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-5


def test_a_mapped_step_and_epoch_take_batches_with_all_fields():
    data = Batch(COUNTS, condition=CONDITION, mask=MASK)
    optimizer = optax.adam(1e-2)

    def state():
        return jaxvae.init_state(KEY, VAE, optimizer, data)

    one, metrics = jaxvae.make_train_step(VAE, optimizer)(KEY, state(), data)
    split, of_split = jaxvae.pmap_train_step(VAE, optimizer, devices=8)(KEY, state(), data)
    assert_close(one.params, split.params)
    assert float(metrics.weight) == float(of_split.weight) == ROWS
    one, _ = jaxvae.make_train_epoch(VAE, optimizer, batch_size=8)(KEY, state(), data)
    split, _ = jaxvae.pmap_train_epoch(VAE, optimizer, batch_size=8, devices=4)(KEY, state(), data)
    assert_close(one.params, split.params)
