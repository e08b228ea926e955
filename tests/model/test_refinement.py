"""Refined posteriors: beside exact ones by quadrature, and better than the encoder's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

import jaxvae
from jaxvae import bind, latents, likelihoods, priors
from jaxvae.latents import Dirichlet, Normal
from jaxvae.model.refinement import _refined, bounded, posterior_elbo, unbounded
from jaxvae.networks import Network

KEY = jax.random.key(0)
TOPICS = np.random.default_rng(0).dirichlet(np.full(12, 0.3), size=3)


def known_topics(concentration=0.5):
    """A mixture of known topics; the encoder knows nothing."""
    network = Network(
        init=lambda key, x: {},
        encode=lambda params, x: Dirichlet(jnp.ones((x.shape[0], 3))),
        decode=lambda params, z: jnp.log(z @ jnp.asarray(TOPICS, jnp.float32)),
        latent_shape=(3,),
    )
    likelihood = likelihoods.multinomial("log_probabilities")
    return bind(network, latents.dirichlet, priors.symmetric(concentration), likelihood)


@pytest.mark.parametrize("components", [3, 8])
def test_a_prior_of_pseudo_inputs_keeps_its_encoder(components):
    """Its components are the encoder's answers, however many there are, not what is sought."""
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    network = jaxvae.dense_normal_network(6, 2, layers=1, hidden_units=8)
    prior = priors.mixture(latents.normal, components)
    vae = bind(network, latents.normal, prior, likelihoods.normal(1.0))
    params = vae.init(KEY, x)
    own = jax.tree.map(np.asarray, vae.encode(params, x))
    found = posterior_elbo(KEY, vae, params, own, x, draws=4)
    terms = vae.terms(params, KEY, jaxvae.Batch(x), draws=4)
    np.testing.assert_allclose(found, terms.log_px.mean(0) + (
        terms.log_pz["z"] - terms.log_qz["z"]).mean(0), rtol=1e-4)  # fmt: skip
    q = jaxvae.refine(KEY, vae, params, x, steps=50)
    assert (posterior_elbo(KEY, vae, params, q, x, draws=64).mean()
            > posterior_elbo(KEY, vae, params, own, x, draws=64).mean())  # fmt: skip


def documents(rows=20, length=40):
    rng = np.random.default_rng(3)
    mixtures = rng.dirichlet(np.full(3, 0.5), size=rows)
    return np.stack([rng.multinomial(length, z @ TOPICS) for z in mixtures]).astype(np.float32)


def exact(x, concentration=0.5):
    """The posterior's mean and the log-evidence of each document, on a grid of the simplex.

    In the angles' coordinates z = (s, (1 - s) t, (1 - s)(1 - t)), s = sin^2 a, the edges of the
    prior are no singularities.
    """
    a = (np.arange(400) + 0.5) / 400 * np.pi / 2
    s, t = np.meshgrid(np.sin(a) ** 2, np.sin(a) ** 2, indexing="ij")
    z = np.stack([s, (1 - s) * t, (1 - s) * (1 - t)], axis=-1).reshape(-1, 3)
    jacobian = ((1 - s) * 4 * np.sqrt(s * (1 - s) * t * (1 - t))).ravel()
    normalizer = gammaln(3 * concentration) - 3 * gammaln(concentration)
    log_prior = (concentration - 1) * np.log(z).sum(axis=1) + normalizer
    cell = (np.pi / 2 / 400) ** 2
    log_p = np.log(z @ TOPICS) @ x.T + (log_prior + np.log(jacobian * cell))[:, None]
    ways = gammaln(x.sum(axis=1) + 1) - gammaln(x + 1).sum(axis=1)
    top = log_p.max(axis=0)
    w = np.exp(log_p - top)
    return (w.T @ z) / w.sum(axis=0)[:, None], top + np.log(w.sum(axis=0)) + ways


def test_the_grid_is_a_distribution():
    """Of documents without a word: the prior's mean, and evidence one."""
    mean, evidence = exact(np.zeros((1, 12)))
    np.testing.assert_allclose(mean, 1 / 3, atol=1e-3)
    np.testing.assert_allclose(evidence, 0, atol=1e-3)


def test_a_document_of_known_topics_has_its_exact_posterior():
    x, vae = documents(), known_topics()
    q = np.asarray(jaxvae.refine(KEY, vae, {}, x, steps=400, learning_rate=0.1))
    mean, evidence = exact(x)
    np.testing.assert_allclose(q / q.sum(axis=1, keepdims=True), mean, atol=0.05)
    assert np.abs(q / q.sum(axis=1, keepdims=True) - mean).mean() < 0.012
    bound = posterior_elbo(KEY, vae, {}, Dirichlet(jnp.asarray(q)), x, draws=2000)
    assert (bound < evidence + 0.05).all()  # 0.05: the noise of the draws
    assert (evidence - bound).mean() < 0.3  # no posterior here is a Dirichlet
    flat = posterior_elbo(KEY, vae, {}, Dirichlet(jnp.ones((20, 3))), x, draws=200)
    assert (evidence - flat).mean() > 3


def test_no_step_is_the_encoders():
    x, vae = documents(5), known_topics()
    q = jaxvae.refine(KEY, vae, {}, x, steps=0)
    np.testing.assert_allclose(np.asarray(q), 1, rtol=1e-6)


def test_the_batch_size_changes_nothing():
    x, vae = documents(7), known_topics()
    whole, parts = (
        np.asarray(jaxvae.refine(KEY, vae, {}, x, steps=20, batch_size=size)) for size in (7, 3)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-4)
    q = Dirichlet(jnp.asarray(whole))
    bounds = [posterior_elbo(KEY, vae, {}, q, x, batch_size=size) for size in (7, 3)]
    np.testing.assert_allclose(*bounds, rtol=1e-5)


def test_a_start_of_ones_own():
    """No step leaves it; from near the best, few are enough; each row begins at its own."""
    x, vae = documents(7), known_topics()
    best = jaxvae.refine(KEY, vae, {}, x, steps=400)
    same = jaxvae.refine(KEY, vae, {}, x, start=best, steps=0, batch_size=3)
    np.testing.assert_allclose(same.concentration, best.concentration, rtol=1e-5)
    bounds = [
        posterior_elbo(KEY, vae, {}, jaxvae.refine(KEY, vae, {}, x, steps=3, **start), x, draws=500)
        for start in ({}, {"start": best})
    ]
    assert (bounds[1] > bounds[0] - 0.02).all()  # 0.02: the noise of the draws
    assert (bounds[1] - bounds[0]).mean() > 0.5


@pytest.mark.parametrize("name", ["start", "q"])
@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (np.ones((2, 3)), TypeError, "must be as vae.encode returns it, got ndarray"),
        (Normal(np.ones((2, 3)), np.ones((2, 3))), TypeError, "got Normal"),
        (Dirichlet(np.ones((4, 3))), ValueError, r"must have the shape \(2, 3\), got \(4, 3\)"),
        (Dirichlet(np.array([[1, 1, 1], [1, 0, 1]])), ValueError, "above zero, got 0"),
        (Dirichlet(np.array([[1, 1, 1], [1, np.nan, 1]])), ValueError, "above zero, got nan"),
    ],
)
def test_what_is_no_posterior_is_refused(name, wrong, kind, message):
    call = jaxvae.refine if name == "start" else posterior_elbo
    rest = (
        {"start": wrong, "x": documents(2)} if name == "start" else {"q": wrong, "x": documents(2)}
    )
    with pytest.raises(kind, match=f"{name} .*{message}"):
        call(KEY, known_topics(), {}, **rest)


def linear_normal():
    """x = 2 z + noise, whose posterior is known: Normal(2 x / 5, 1 / 5)."""
    network = Network(
        init=lambda key, x: {},
        encode=lambda params, x: Normal(jnp.zeros_like(x), jnp.ones_like(x)),
        decode=lambda params, z: 2 * z,
        latent_shape=(3,),
    )
    return bind(network, latents.normal, priors.standard_normal(), likelihoods.normal())


def test_a_normal_latent_too():
    x = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], np.float32)
    q = jaxvae.refine(KEY, linear_normal(), {}, x, steps=2000, learning_rate=0.05)
    np.testing.assert_allclose(q.loc, 2 * x / 5, atol=0.03)
    np.testing.assert_allclose(q.scale, 5**-0.5, rtol=0.03)


def test_a_product_goes_there_and_back():
    both = latents.product(category=latents.dirichlet, style=latents.normal)
    q = {
        "category": Dirichlet(jnp.array([0.5, 2.0])),
        "style": Normal(jnp.ones(2), jnp.full(2, 3.0)),
    }
    free = unbounded(both, q)
    np.testing.assert_allclose(free["style"].scale, np.log(3), rtol=1e-6)
    np.testing.assert_allclose(free["style"].loc, 1)
    for first, second in zip(jax.tree.leaves(bounded(both, free)), jax.tree.leaves(q), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"learning_rate": 0}, "learning_rate must be finite and above 0, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_a_wrong_argument_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        jaxvae.refine(KEY, known_topics(), {}, documents(2), **options)


def test_an_original_objective_has_no_posterior_to_refine():
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(4, 2), objective="original")
    params = vae.init(KEY, jnp.zeros((1, 4)))
    with pytest.raises(ValueError, match="vae must have an ELBO for refine"):
        jaxvae.refine(KEY, vae, params, np.ones((3, 4), np.float32))


def test_calls_of_a_few_rows_share_a_program():
    vae, x, before = known_topics(0.7), documents(16), _refined._alone._cache_size()
    found = {n: jaxvae.refine(KEY, vae, {}, x[:n], steps=3) for n in (1, 5, 12, 16)}
    assert _refined._alone._cache_size() == before + 1
    for n, q in found.items():
        np.testing.assert_allclose(q.concentration, found[16].concentration[:n], rtol=1e-5)
