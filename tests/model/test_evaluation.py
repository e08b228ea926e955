"""What a trained model is worth and what it makes, on any model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import latents, likelihoods, networks, objectives, priors, transforms

X = np.random.default_rng(0).random((23, 12), np.float32)
Y = np.arange(23) % 5
KEY = jax.random.key(1)


def dense(head=None, width=12):
    if head is None:
        return jaxvae.dense_dirichlet_network(width, 5, layers=1, hidden_units=8)
    return networks.dense_network(width, head, layers=1, hidden_units=8)


def product_model():
    heads = {"category": networks.DirichletHead(5), "style": networks.NormalHead(2)}
    return jaxvae.bind(
        dense(heads),
        latents.product(category=latents.dirichlet, style=latents.normal),
        priors.product(category=priors.from_labels(), style=priors.standard_normal()),
        likelihoods.normal(0.5),
    )


MODELS = {
    "dirichlet": lambda: jaxvae.dirichlet_vae(dense()),
    "normal": lambda: jaxvae.normal_vae(dense(networks.NormalHead(2)), kl_weight=0.5),
    "concrete": lambda: jaxvae.bind(
        dense(networks.LogitsHead(4)),
        latents.concrete(0.5),
        priors.in_family(latents.concrete(0.5), lambda own, context: jnp.zeros(4)),
        likelihoods.bernoulli(),
    ),
    "sticks": lambda: jaxvae.bind(
        dense(networks.KumaraswamyHead(4)),
        latents.stick_breaking,
        priors.in_family(
            latents.stick_breaking, lambda own, context: (jnp.ones(3), jnp.full(3, 2.0))
        ),
        likelihoods.bernoulli(),
    ),
    "product": product_model,
    "iwae": lambda: jaxvae.dirichlet_vae(dense(), objective=objectives.iwae(3)),
}


@pytest.fixture(params=MODELS)
def trained(request):
    vae = MODELS[request.param]()
    return vae, vae.init(jax.random.key(0), X[:1])


def test_evaluation_by_example_and_in_the_mean(trained):
    vae, params = trained
    mean = jaxvae.evaluate(KEY, vae, params, X, Y, batch_size=8)
    each = jaxvae.evaluate(KEY, vae, params, X, Y, batch_size=8, per_example=True)
    assert each.loss.shape == (23,)
    np.testing.assert_allclose(each.loss.mean(), mean.loss, rtol=1e-5)
    np.testing.assert_allclose(each.kl.mean(), mean.kl, rtol=1e-5)
    np.testing.assert_allclose(mean.nelbo, mean.reconstruction + mean.kl, rtol=1e-6)
    for name, value in mean.more.items():
        np.testing.assert_allclose(each.more[name].mean(), value, rtol=1e-5)


def test_marginal_nll_does_not_depend_on_sizes(trained):
    vae, params = trained
    few = jaxvae.marginal_nll(KEY, vae, params, X, Y, draws=20, batch_size=5, draws_per_call=3)
    many = jaxvae.marginal_nll(KEY, vae, params, X, Y, draws=20, batch_size=23)
    np.testing.assert_allclose(few, many, rtol=1e-5)
    other = jaxvae.marginal_nll(jax.random.key(2), vae, params, X, Y, draws=20)
    assert (other != many).all()
    # In the mean over the examples below the ELBO's bound.
    assert many.mean() < jaxvae.evaluate(KEY, vae, params, X, Y).nelbo


def test_latent_means_reconstructions_and_new_examples(trained):
    vae, params = trained
    z = jaxvae.encode_mean(vae, params, X, batch_size=8)
    assert all(len(leaf) == 23 for leaf in jax.tree.leaves(z))
    assert vae.decode(params, z).shape == X.shape
    one = jaxvae.reconstruct(KEY, vae, params, X, batch_size=8)
    assert one.shape == X.shape
    np.testing.assert_allclose(one, jaxvae.reconstruct(KEY, vae, params, X), rtol=1e-4, atol=1e-5)
    report = jaxvae.collapse_report(KEY, vae, params, X, Y)
    assert set(report.parts) == set(z if isinstance(z, dict) else ["z"])
    assert "dimensions" in str(report)


def test_reconstructions_are_means_over_draws():
    vae = MODELS["normal"]()
    params = vae.init(jax.random.key(0), X[:1])
    several = jaxvae.reconstruct(KEY, vae, params, X, draws=400)
    q = vae.encode(params, X)
    noise = jax.random.normal(jax.random.key(5), (400, 23, 2))
    z = q.loc[None] + q.scale[None] * noise
    direct = jnp.mean(vae.decode(params, z), axis=0)
    # Two independent means of 400: 6 standard errors of their difference at the most.
    spread = jnp.std(vae.decode(params, z), axis=0) * (2 / 400) ** 0.5
    assert (np.abs(several - direct) < 6 * spread + 1e-5).all()


def test_new_examples_follow_labels_and_have_noise():
    vae = MODELS["dirichlet"]()
    params = vae.init(jax.random.key(0), X[:1])
    assert jaxvae.generate(KEY, vae, params, 4).shape == (4, 12)
    labels = np.full(2000, 3)
    z = vae.sample_prior(params, KEY, jaxvae.Batch(y=labels))
    # Dirichlet(8 (one_hot + 0.5) / 3.5): the label's mean is 0.43, its deviation 0.165 a draw.
    np.testing.assert_allclose(z.mean(axis=0)[3], 1.5 / 3.5, atol=6 * 0.165 / 2000**0.5)
    quiet = jaxvae.generate(KEY, vae, params, 5, y=[3] * 5)
    noisy = jaxvae.generate(KEY, vae, params, 5, y=[3] * 5, noise=True)
    assert 0.1 < np.std(noisy - quiet) < 1  # exp(-1), untrained
    with pytest.raises(ValueError, match="y must be from 0 to 4, got 5 at index 0"):
        jaxvae.generate(KEY, vae, params, 1, y=[5])


def test_user_units_go_in_and_come_out():
    bytes_ = np.round(X * 255).astype(np.uint8)
    network = jaxvae.dense_normal_network(12, 2, layers=1, hidden_units=8)
    parts = network, latents.normal, priors.standard_normal()
    in_bytes = jaxvae.bind(*parts, likelihoods.bernoulli(), transform=transforms.divided_by(255))
    plain = jaxvae.bind(*parts, likelihoods.bernoulli())
    params = plain.init(jax.random.key(0), X[:1])
    ours = jaxvae.evaluate(KEY, in_bytes, params, bytes_)
    theirs = jaxvae.evaluate(KEY, plain, params, bytes_ / np.float32(255))
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    made = jaxvae.reconstruct(KEY, in_bytes, params, bytes_)
    np.testing.assert_allclose(
        made, 255 * jaxvae.reconstruct(KEY, plain, params, bytes_ / np.float32(255)), rtol=1e-4
    )
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\] for a Bernoulli likelihood"):
        jaxvae.evaluate(KEY, plain, params, bytes_)


def test_accuracy_of_a_product_is_of_the_labelled_part():
    vae = product_model()
    params = vae.init(jax.random.key(0), X[:1])
    own = jaxvae.encode_mean(vae, params, X)["category"].argmax(axis=1)
    assert jaxvae.accuracy(vae, params, X, own) == 1
    assert jaxvae.accuracy(vae, params, X, np.where(np.arange(23) % 2, own, -1)) == 1
    with pytest.raises(ValueError, match="part must be one of 'category', 'style'"):
        jaxvae.accuracy(vae, params, X, own, part="shape")
    with pytest.raises(ValueError, match="a latent on the simplex, got a real one"):
        jaxvae.accuracy(vae, params, X, own, part="style")


def test_the_report_of_a_collapsed_model():
    """An encoder that says nothing of x."""
    network = jaxvae.Network(
        init=lambda key, x: {"mean": jnp.full(12, 0.5)},
        encode=lambda params, x: (jnp.zeros((len(x), 2)), jnp.ones((len(x), 2))),
        decode=lambda params, z: jnp.broadcast_to(params["mean"], (len(z), 12)),
    )
    vae = jaxvae.normal_vae(network)
    params = vae.init(jax.random.key(0), X[:1])
    params = {**params, "mean": jnp.asarray(X.mean(axis=0))}
    report = jaxvae.collapse_report(KEY, vae, params, X)
    assert report.parts["z"].active == 0
    assert abs(report.explained) < 1e-5
    np.testing.assert_array_equal(report.parts["z"].kl_by_dimension, [0, 0])
    assert "z is collapsed: none of its 2 dimensions is active." in str(report)
    assert "The model reconstructs no better than the mean example does." in report.notes


def test_what_is_explained_is_in_the_units_of_the_model():
    """A column of a large unit that is not reconstructed counts as one of two, not as all."""
    table = np.column_stack([X[:, 0], 1e4 * X[:, 1]])
    mean, scale = table.mean(axis=0), table.std(axis=0)
    network = jaxvae.Network(
        init=lambda key, x: {},
        encode=lambda params, x: (x[:, :1], jnp.full((len(x), 1), 1e-6)),
        decode=lambda params, z: jnp.concatenate([z, jnp.zeros_like(z)], axis=1),
    )
    own = {"transform": transforms.standardized(mean, scale)}
    for x, model in (
        (table, jaxvae.normal_vae(network, **own)),
        (np.float32((table - mean) / scale), jaxvae.normal_vae(network)),
    ):
        params = model.init(jax.random.key(0), np.float32(x[:1]))
        report = jaxvae.collapse_report(KEY, model, params, x, batch_size=7)
        assert report.explained == pytest.approx(0.5, abs=1e-4)


def test_kl_by_dimension_sums_to_the_kl():
    vae = MODELS["normal"]()
    params = vae.init(jax.random.key(0), X[:1])
    part = jaxvae.collapse_report(KEY, vae, params, X, batch_size=7).parts["z"]
    np.testing.assert_allclose(part.kl_by_dimension.sum(), part.kl, rtol=1e-5)


def test_a_report_does_not_depend_on_its_batches():
    vae = MODELS["normal"]()
    params = vae.init(jax.random.key(0), X[:1])
    few, all_ = (jaxvae.collapse_report(KEY, vae, params, X, batch_size=n) for n in (7, 23))
    np.testing.assert_allclose(few.explained, all_.explained, rtol=1e-5)


def test_a_report_does_not_see_what_is_missing():
    """Each value that was seen is the mean: in the model's units no example differs."""
    network = jaxvae.Network(
        init=lambda key, x: {"mean": jnp.zeros(12)},
        encode=lambda params, x: (x[:, :2], jnp.ones((len(x), 2))),
        decode=lambda params, z: jnp.broadcast_to(params["mean"], (len(z), 12)),
    )
    parts = network, latents.normal, priors.standard_normal(), likelihoods.normal(1.0)
    vae = jaxvae.bind(*parts, transform=transforms.standardized(2.0, 0.1))
    params = vae.init(jax.random.key(0), X[:1])
    mask = np.random.default_rng(3).random(X.shape) < 0.6
    reports = [
        jaxvae.collapse_report(KEY, vae, params, np.where(mask, 2.0, missing), mask=mask)
        for missing in (2.0, 3.0)
    ]
    assert str(reports[0]) == str(reports[1])
    assert reports[1].parts["z"].active == 0


def test_the_original_has_no_likelihood():
    for vae in (
        jaxvae.dirichlet_vae(dense(), objective="original"),
        jaxvae.normal_vae(dense(networks.NormalHead(2)), objective="original"),
    ):
        params = vae.init(jax.random.key(0), X[:1])
        assert jaxvae.evaluate(KEY, vae, params, X, Y).nelbo is None
        with pytest.raises(ValueError, match="marginal_nll needs true log-densities"):
            jaxvae.marginal_nll(KEY, vae, params, X, Y, draws=2)


def test_a_model_of_ones_own_has_no_parts():
    bare = MODELS["normal"]()._replace(parts=None)
    params = bare.init(jax.random.key(0), X[:1])
    assert jaxvae.evaluate(KEY, bare, params, X).loss > 0
    for call in (
        lambda: jaxvae.encode_mean(bare, params, X),
        lambda: jaxvae.marginal_nll(KEY, bare, params, X, draws=1),
        lambda: jaxvae.generate(KEY, bare, params, 1),
        lambda: jaxvae.collapse_report(KEY, bare, params, X),
    ):
        with pytest.raises(ValueError, match="vae must be made by bind for"):
            call()
