"""Networks made of other networks: what their halves are shown, and what they refuse."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jaxvae
from jaxvae import Batch, latents, likelihoods, networks, priors
from jaxvae.model.network_wrappers import sees_log
from jaxvae.networks import (
    DirichletHead,
    NormalHead,
    centred,
    dense_network,
    of_counts,
    scaled_parts,
)

HEADS = {"category": DirichletHead(3), "style": NormalHead(2)}
BASE = dense_network(6, HEADS, layers=1, hidden_units=8)
X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
Z = {"category": jnp.full((5, 3), 1 / 3).at[:, 0].set(0.5), "style": X[:, :2]}


def model(network):
    return jaxvae.bind(
        network,
        latents.product(category=latents.dirichlet, style=latents.normal),
        priors.product(category=priors.from_labels(), style=priors.standard_normal()),
        likelihoods.normal(learned=True),
    )


def test_scaled_parts_are_shown_to_the_decoder_alone():
    params, network = BASE.init(jax.random.key(0), X), scaled_parts(BASE, category=4.0)
    scaled = {"category": 4 * Z["category"], "style": Z["style"]}
    np.testing.assert_array_equal(network.decode(params, Z), BASE.decode(params, scaled))
    for own, other in zip(
        jax.tree.leaves(network.encode(params, X)),
        jax.tree.leaves(BASE.encode(params, X)),
        strict=True,
    ):
        np.testing.assert_array_equal(own, other)
    assert scaled_parts(BASE, category=4.0) == network != scaled_parts(BASE, category=2.0)


def test_a_centred_part_is_what_is_left_beside_the_category():
    """Centres change the coordinates of the style, and not what a posterior mean decodes to."""
    network = centred(BASE, part="style", on="category", rate=2.0)
    params = network.init(jax.random.key(0), X)
    assert params["centres"].shape == (3, 2)
    assert not params["centres"].any()
    moved = params | {"centres": jnp.arange(6.0).reshape(3, 2)}
    before, after = network.encode(params, X), network.encode(moved, X)
    mean = latents.dirichlet.mean(before["category"])
    shift = mean @ (2 * moved["centres"])
    np.testing.assert_allclose(after["style"].loc, before["style"].loc - shift, rtol=1e-5)
    np.testing.assert_array_equal(after["style"].scale, before["style"].scale)
    for own, q in ((params, before), (moved, after)):
        decoded = network.decode(own, {"category": mean, "style": q["style"].loc})
        np.testing.assert_allclose(
            decoded,
            BASE.decode(params, {"category": mean, "style": before["style"].loc}),
            atol=1e-5,
        )


def test_the_gradient_of_the_centres_lowers_the_divergence():
    """A step along it, the reconstruction at the means the same: the style's KL falls."""
    vae = model(centred(BASE, part="style", on="category", rate=1.0))
    batch = Batch(X + 3, y=jnp.array([0, 1, 2, 0, 1]))
    params = vae.init(jax.random.key(0), batch)

    def kl(centres):
        terms = vae.terms(params | {"centres": centres}, jax.random.key(1), batch)
        return terms.kl["style"].mean()

    value, slope = jax.value_and_grad(kl)(params["centres"])
    assert jnp.abs(slope).max() > 1e-3
    assert kl(params["centres"] - 0.01 * slope) < value


def test_wrapped_networks_train_save_and_load(tmp_path):
    network = centred(scaled_parts(BASE, category=5.0), part="style", on="category")
    vae, y = model(network), np.array([0, 1, 2, 0, 1])
    state, history = jaxvae.fit(jax.random.key(0), vae, X, y, batch_size=5, epochs=3)
    assert np.isfinite(history.epochs[-1].loss)
    assert jnp.abs(state.params["centres"]).max() > 0
    made = jaxvae.load(jaxvae.save(tmp_path / "model", vae, state.params))
    assert made.parts == vae.parts
    np.testing.assert_array_equal(made.decode(Z), vae.decode(state.params, Z))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: scaled_parts(BASE), "scales must name at least one part, got none"),
        (lambda: scaled_parts(BASE, style=0.0), "style must be finite and above 0, got 0.0"),
        (lambda: scaled_parts("x", style=1.0), "network must be a jaxvae.Network, got 'x'"),
        (lambda: centred(BASE, part="x", on="category"), "part must be one of .*, got 'x'"),
        (lambda: centred(BASE, part="style", on="x"), "on must be one of .*, got 'x'"),
        (
            lambda: centred(BASE, part="style", on="category", rate=-1.0),
            "rate must be finite and above 0, got -1.0",
        ),
        (
            lambda: centred(jaxvae.dense_normal_network(6, 2), part="style", on="category"),
            "part must be one of",
        ),
        (
            lambda: scaled_parts(BASE, other=2.0).decode(BASE.init(jax.random.key(0), X), Z),
            "scales must be of parts of z, got other",
        ),
    ],
)
def test_what_they_refuse(make, error):
    with pytest.raises((ValueError, TypeError), match=error):
        make()


def test_centres_twice_are_refused():
    once = centred(BASE, part="style", on="category")
    with pytest.raises(ValueError, match="network must have no parameters of the name centres"):
        centred(once, part="style", on="category").init(jax.random.key(0), X)


# --- of counts

COUNTS = np.random.default_rng(1).poisson(3.0, (5, 6)).astype(np.float32)
COUNTS[2] = 0
BACKGROUND = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 0.5])
PLAIN = jaxvae.dense_normal_network(6, 2, layers=1, hidden_units=8)


def residuals(x, background):
    """The deviance residuals in float64."""
    x = np.float64(x)
    mean = x.sum(axis=-1, keepdims=True) * background / np.sum(background)
    # Of no count at all the mean is 0 too.
    log_ratio = special.xlogy(x, x) - special.xlogy(x, np.where(mean > 0, mean, 1))
    return np.sign(x - mean) * np.sqrt(2 * np.maximum(log_ratio - (x - mean), 0))


def shown(x, network):
    """What the encoder of `PLAIN` is to be given for what it returns."""
    params = network.init(jax.random.key(0), jnp.asarray(x))
    same = PLAIN.init(jax.random.key(0), jnp.zeros(np.shape(x)))
    assert jax.tree.structure(params) == jax.tree.structure(same)
    return network.encode(params, jnp.asarray(x)), lambda seen: PLAIN.encode(params, seen)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("options", "exact"),
    [
        ({}, np.log1p),
        ({"show": "log"}, np.log1p),
        ({"show": "frequencies"}, lambda x: x / np.maximum(x.sum(axis=-1, keepdims=True), 1)),
        (
            {"show": "residuals", "background": BACKGROUND},
            lambda x: residuals(x, BACKGROUND),
        ),
    ],
)
def test_what_an_encoder_sees_of_counts(options, exact, size):
    x = COUNTS * np.float32(size)
    found, encoded = shown(x, of_counts(PLAIN, **options))
    seen = jnp.asarray(exact(np.float64(x)), jnp.float32)
    for own, other in zip(found, encoded(seen), strict=True):
        np.testing.assert_allclose(own, other, rtol=2e-5, atol=2e-5)
    assert (seen[2] == 0).all()  # of no count at all
    assert jnp.abs(found[0] - encoded(jnp.asarray(x))[0]).max() > 1e-2


def test_frequencies_do_not_tell_the_total():
    network = of_counts(PLAIN, show="frequencies")
    params = network.init(jax.random.key(0), jnp.asarray(COUNTS))
    for own, other in zip(
        network.encode(params, jnp.asarray(COUNTS)),
        network.encode(params, jnp.asarray(COUNTS * 7)),
        strict=True,
    ):
        np.testing.assert_allclose(own, other, rtol=1e-5)


def test_residuals_square_to_the_deviance_and_are_nothing_in_the_background():
    """An encoder that passes on what it is given: 2 sum x log(x / m), and 0 where x is m."""
    bare = PLAIN._replace(encode=lambda params, batch: (batch.x, batch.x))
    network = of_counts(bare, show="residuals", background=BACKGROUND)
    seen = network.encode({}, Batch(jnp.asarray(COUNTS)))[0]
    np.testing.assert_allclose(seen, residuals(COUNTS, BACKGROUND), rtol=1e-5, atol=1e-5)
    x = np.float64(COUNTS)
    mean = x.sum(axis=-1, keepdims=True) * BACKGROUND / BACKGROUND.sum()
    deviance = 2 * (special.xlogy(x, x) - special.xlogy(x, np.where(mean > 0, mean, 1))).sum(-1)
    np.testing.assert_allclose((seen**2).sum(axis=-1), deviance, rtol=1e-5)
    of_all = network.encode({}, Batch(jnp.asarray(2e5 * BACKGROUND[None], jnp.float32)))[0]
    assert jnp.abs(of_all).max() < 1e-3
    assert (jnp.sign(seen) == jnp.sign(COUNTS - mean)).all()


def test_a_background_is_a_share_of_its_sum():
    params = PLAIN.init(jax.random.key(0), jnp.asarray(COUNTS))
    first, second = (
        of_counts(PLAIN, show="residuals", background=b).encode(params, jnp.asarray(COUNTS))
        for b in (BACKGROUND, 1e6 * BACKGROUND)
    )
    np.testing.assert_allclose(first[0], second[0], rtol=1e-5)


def test_networks_of_counts_are_values():
    def all_of_them():
        shares = np.array(BACKGROUND)
        return [
            of_counts(PLAIN),
            of_counts(PLAIN, show="frequencies"),
            of_counts(PLAIN, show="residuals", background=shares),
            of_counts(PLAIN, show="residuals", background=shares + 1),
        ]

    first, second = all_of_them(), all_of_them()
    assert first == second
    assert len(set(first + second)) == 4
    assert [pickle.loads(pickle.dumps(network)) for network in first] == second
    assert of_counts(PLAIN, show="log") == of_counts(PLAIN)
    assert [sees_log(network) for network in first] == [True, False, False, False]
    assert not sees_log(PLAIN)


def test_networks_of_counts_train_save_and_load(tmp_path):
    network = of_counts(PLAIN, show="residuals", background=BACKGROUND)
    vae = jaxvae.bind(
        network,
        latents.normal,
        priors.standard_normal(),
        likelihoods.negative_binomial(totals=True),
    )
    state, history = jaxvae.fit(jax.random.key(0), vae, COUNTS, batch_size=5, epochs=3)
    assert np.isfinite(history.epochs[-1].loss)
    made = jaxvae.load(jaxvae.save(tmp_path / "model", vae, state.params))
    assert made.parts == vae.parts
    x = jnp.asarray(COUNTS)
    np.testing.assert_allclose(made.encode(COUNTS), vae.encode(state.params, x).loc, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: of_counts(PLAIN, show="shares"), "show must be one of 'log', .* got 'shares'"),
        (
            lambda: of_counts(PLAIN, show="residuals"),
            "background must be given where show is 'residuals', got None",
        ),
        (
            lambda: of_counts(PLAIN, background=[1.0]),
            r"background must be None where show is 'log', got \[1.0\]",
        ),
        (
            lambda: of_counts(PLAIN, show="residuals", background=[1.0, 0.0]),
            r"background must be finite and above 0, got 0.0 at index \(1,\)",
        ),
        (
            lambda: of_counts(PLAIN, show="residuals", background=1.0),
            r"background must have the shape \[V\]",
        ),
        (
            lambda: of_counts(PLAIN, show="residuals", background=["a"]),
            "background must hold real numbers",
        ),
        (
            lambda: of_counts(PLAIN, show="residuals", background=[1.0, 2.0]).init(
                jax.random.key(0), jnp.asarray(COUNTS)
            ),
            "background must have one frequency for each of the 6 counts of x, got 2",
        ),
    ],
)
def test_what_of_counts_refuses(make, error):
    with pytest.raises((ValueError, TypeError), match=error):
        make()


def test_they_are_public():
    assert {"centred", "scaled_parts", "of_counts"} <= set(networks.__all__)
