"""Networks made of other networks: what their halves are shown, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import Batch, latents, likelihoods, networks, priors
from jaxvae.networks import DirichletHead, NormalHead, centred, dense_network, scaled_parts

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


def test_they_are_public():
    assert {"centred", "scaled_parts", "of_counts"} <= set(networks.__all__)
