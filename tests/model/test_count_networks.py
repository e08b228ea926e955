"""The networks of topic models: what their decoders compute, held to NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from jaxvae import Batch, bind, latents, likelihoods, priors
from jaxvae.model.count_networks import topic_word_logits
from jaxvae.networks import Training, seeded, topic_network

KEY = jax.random.key(0)
WIDTH, TOPICS = 12, 4
X = jax.random.poisson(KEY, 1.0, (9, WIDTH)).astype(jnp.float32)
Z = jax.random.dirichlet(KEY, jnp.ones(TOPICS), (9,))
FREQUENCIES = np.arange(1.0, WIDTH + 1)
DECODERS = ["hybrid", "mixture", "product"]


def made(decoder, **options):
    network = topic_network(WIDTH, TOPICS, decoder=decoder, hidden_units=8, **options)
    params = network.init(KEY, Batch(X))
    # Nothing at its start: each parameter is seen.
    own = params["decoder"]
    leaves, tree = jax.tree.flatten(own)
    keys = jax.random.split(KEY, len(leaves))
    moved = [
        leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)
    ]
    return network, {**params, "decoder": jax.tree.unflatten(tree, moved)}


def expected(decoder, params, z):
    own = jax.tree.map(lambda leaf: np.asarray(leaf, float), params["decoder"])
    if decoder == "product":
        return (
            normed(own["topics"], params["statistics"]["decoder"]["topics"], z) + own["background"]
        )
    mixture = np.log(z @ softmax(own["topics"] + own["background"], axis=-1))
    if decoder == "mixture":
        return mixture
    usual = log_softmax(own["background"])
    correction = normed(own["correction"], params["statistics"]["decoder"]["correction"], z)
    return usual + np.minimum(own["gain"], 1) * (mixture - usual) + correction


def normed(own, moments, z):
    """Of a linear layer, by the moments of z."""
    mean, covariance = (np.asarray(moments[name], float) for name in ("mean", "covariance"))
    variance = np.einsum("kd,kl,ld->d", own["kernel"], covariance, own["kernel"])
    return own["scale"] * ((z - mean) @ own["kernel"]) / np.sqrt(variance + 1e-3)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_computes_its_formula(decoder):
    network, params = made(decoder)
    z = np.asarray(Z, float)
    np.testing.assert_allclose(
        network.decode(params, Z), expected(decoder, params, z), rtol=1e-4, atol=1e-4
    )
    corners = expected(decoder, params, np.eye(TOPICS))
    np.testing.assert_allclose(topic_word_logits(network, params), corners, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_background_is_where_the_bias_starts(decoder):
    network = topic_network(WIDTH, TOPICS, decoder=decoder, background=FREQUENCIES)
    own = network.init(KEY, Batch(X))["decoder"]["background"]
    np.testing.assert_allclose(own, np.log(FREQUENCIES / FREQUENCIES.sum()), rtol=1e-5)
    same = topic_network(WIDTH, TOPICS, decoder=decoder, background=FREQUENCIES.copy())
    assert network == same  # or a second fit would compile anew


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_condition_adds_to_the_logits(decoder):
    network = topic_network(WIDTH, TOPICS, decoder=decoder, hidden_units=8)
    condition = jnp.eye(3)[jnp.arange(9) % 3]
    params = network.init(KEY, Batch(X, condition=condition))
    without = {name: leaf for name, leaf in params["decoder"].items() if name != "condition"}
    plain = topic_network(WIDTH, TOPICS, decoder=decoder, hidden_units=8)
    base = plain.decode({**params, "decoder": without}, Z)
    added = condition @ params["decoder"]["condition"]["kernel"]
    np.testing.assert_allclose(
        network.decode(params, Z, Batch(X, condition=condition)), base + added, atol=1e-5
    )
    assert network.encode(params, Batch(X, condition=condition)).shape == (9, TOPICS)


def test_seed_words_are_added_by_the_share_of_their_topic():
    network, params = made("hybrid")
    odds = np.zeros((TOPICS, WIDTH), np.float32)
    odds[2, 5] = 3.0
    moved = seeded(network, odds).decode(params, Z) - network.decode(params, Z)
    np.testing.assert_allclose(moved[:, 5], 3 * Z[:, 2], rtol=1e-4)
    np.testing.assert_allclose(np.delete(np.asarray(moved), 5, axis=1), 0, atol=1e-6)
    with pytest.raises(ValueError, match="log_odds must have a row for each topic"):
        seeded(network, odds[:2])


def test_the_head_is_normalised_over_the_batch_and_bounded():
    network = topic_network(WIDTH, TOPICS, hidden_units=8, dropout=0.0)
    params = network.init(KEY, Batch(X))
    training = Training(jax.random.split(KEY, 9), jnp.ones(9))
    q, statistics = network.encode(params, Batch(X), training=training)
    logs = np.log(np.asarray(q))
    np.testing.assert_allclose(logs.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(logs.var(axis=0), 1, atol=0.1)  # epsilon takes its part
    assert "encoder" in statistics
    far = {**params, "encoder": jax.tree.map(lambda leaf: leaf * 1e4, params["encoder"])}
    q = np.asarray(network.encode(far, Batch(X * 1e4)))
    assert q.min() >= 1e-3 * (1 - 1e-6)
    assert q.max() <= 1e3 * (1 + 1e-6)


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_are_finite_at_the_corners(decoder):
    vae = bind(
        topic_network(WIDTH, TOPICS, decoder=decoder, hidden_units=8),
        latents.dirichlet,
        priors.symmetric(0.01),
        likelihoods.multinomial(),
    )
    params = vae.init(KEY, X)
    own = {name: leaf for name, leaf in params.items() if name != "statistics"}

    def loss(own):
        whole = {**own, "statistics": params["statistics"]}
        return vae.loss(whole, KEY, Batch(X * 1000), jnp.int32(1))[0]

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(loss)(own)))


WRONG = {
    "data_dim": (1, "data_dim must be at least 2"),
    "latent_dim": (1, "latent_dim must be at least 2"),
    "decoder": ("lda", "decoder must be one of"),
    "layers": (0, "layers must be"),
    "hidden_units": (0, "hidden_units must be"),
    "dropout": (1.0, "dropout must be below 1, got 1.0"),
    "background": (np.ones(3), r"background must have the shape \(12,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named(name):
    value, message = WRONG[name]
    options = {"data_dim": WIDTH, "latent_dim": TOPICS} | {name: value}
    with pytest.raises(ValueError, match=message):
        topic_network(options.pop("data_dim"), options.pop("latent_dim"), **options)


def test_a_background_without_a_word_is_refused():
    with pytest.raises(ValueError, match=r"background must hold finite numbers above zero, got 0"):
        topic_network(WIDTH, TOPICS, background=np.arange(WIDTH))
