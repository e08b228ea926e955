"""The terms of the losses, against TFP and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxvae
from conftest import small_vae
from jaxvae import Batch
from jaxvae.model import loss_terms
from jaxvae.numerics.distributions import tfp_distributions


@pytest.fixture
def x(key):
    return jax.random.uniform(key, (6, 64))


def test_normal_nll_against_tfp(key, x):
    mean = jax.random.normal(key, x.shape)
    with jax.numpy_rank_promotion("allow"):
        expected = -tfp_distributions().Normal(mean, jnp.float32(1)).log_prob(x).sum(axis=-1)
    np.testing.assert_allclose(loss_terms.normal_nll(x, mean), expected, rtol=1e-6)


def test_bernoulli_nll_against_tfp(key, x):
    logits = 30 * jax.random.normal(key, x.shape)
    binary = (x > 0.5).astype(jnp.float32)
    expected = -tfp_distributions().Bernoulli(logits=logits).log_prob(binary).sum(axis=-1)
    np.testing.assert_allclose(loss_terms.bernoulli_nll(binary, logits), expected, rtol=1e-6)


@pytest.mark.slow
def test_original_dirichlet_objective_is_the_elbo_with_weight_half_d(key, digits):
    """loss_original = 2/D (loss_elbo(kl_weight = D/2) - D/2 log 2 pi), and so its gradient."""
    original = small_vae("dirichlet", objective="original")
    elbo = small_vae("dirichlet", kl_weight=32.0)
    params = original.init(key, digits.x_train[:1])
    batch = Batch(digits.x_train[:16], digits.y_train[:16])
    a, grad_a = jax.value_and_grad(lambda p: original.loss(p, key, batch)[0])(params)
    b, grad_b = jax.value_and_grad(lambda p: elbo.loss(p, key, batch)[0])(params)
    np.testing.assert_allclose(a, (b - 32 * np.log(2 * np.pi)) / 32, rtol=1e-5)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grad_a))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b / 32, rtol=1e-4, atol=1e-5 * scale),
        grad_a,
        grad_b,
    )


def linear_vae(w, widen=1.0):
    """p(z) = N(0, I), p(x | z) = N(w z, I), with the exact posterior, its scale times `widen`."""
    variance = 1 / (1 + jnp.sum(w**2, axis=0))  # of a w with orthogonal columns
    return jaxvae.normal_vae(
        jaxvae.Network(
            init=lambda key, x: {},
            encode=lambda params, x: (
                x @ w * variance[None, :],
                jnp.broadcast_to(widen * jnp.sqrt(variance), (len(x), w.shape[1])),
            ),
            decode=lambda params, z: z @ w.T,
        ),
        likelihood=jaxvae.likelihoods.normal(1.0),
    )


def test_elbo_against_the_exact_evidence(key):
    """It meets the evidence at the exact posterior and lies above it at any other.

    The standard error is the spread over 4,000 keys: 5 of them leave a false-alarm rate of 6e-7.
    """
    u, s, _ = jnp.linalg.svd(jax.random.normal(key, (5, 2)), full_matrices=False)
    w, x = u * s[None, :], jax.random.normal(jax.random.key(1), (4, 5))
    covariance = np.eye(5) + np.asarray(w @ w.T)
    evidence = -stats.multivariate_normal(np.zeros(5), covariance).logpdf(x).mean()
    keys = jax.random.split(key, 4000)

    def loss_and_error(vae):
        losses = jax.vmap(lambda key: vae.loss({}, key, Batch(x))[0])(keys)
        return float(losses.mean()), float(losses.std()) / 4000**0.5

    loss, error = loss_and_error(linear_vae(w))
    assert abs(loss - evidence) < 5 * error
    loss, error = loss_and_error(linear_vae(w, widen=1.5))
    assert loss - evidence > 5 * error


def test_kl_weight_and_terms(key, vae, model, digits):
    batch = Batch(digits.x_train[:8], digits.y_train[:8])
    params = vae.init(key, batch.x)
    _, terms = vae.loss(params, key, batch)
    weighted, same = small_vae(model, kl_weight=2.5).loss(params, key, batch)
    np.testing.assert_allclose(same.kl, terms.kl, rtol=1e-6)
    np.testing.assert_allclose(weighted, (terms.reconstruction + 2.5 * terms.kl).mean(), rtol=1e-5)


@pytest.mark.slow
def test_padding_counts_for_nothing(key, vae, digits):
    x, y = digits.x_train[:8], digits.y_train[:8]
    params = vae.init(key, x)
    weight = jnp.array([1.0] * 5 + [0.0] * 3)
    padded, _ = vae.loss(params, key, Batch(x, y, weight))
    alone, _ = vae.loss(params, key, Batch(x[:5], y[:5]))
    np.testing.assert_allclose(padded, alone, rtol=1e-6)


def test_weighted_mean_of_nothing_is_zero():
    assert loss_terms.weighted_mean(jnp.array([np.nan, 1.0]), jnp.zeros(2)) == 0


@pytest.mark.parametrize(
    "weight", [[-1.0, 1.0], [-1.0, 3.0], [np.nan, 1.0], [-1.0, 0.0], [np.nan, 0.0], [np.inf, 1.0]]
)
def test_compiled_code_hides_no_bad_weight(weight):
    """It cannot refuse a value; the mean is NaN, and so is the gradient of what it weighs."""
    values, weight = jnp.array([1.0, 5.0]), jnp.array(weight)
    mean, grad = jax.jit(jax.value_and_grad(loss_terms.weighted_mean))(values, weight)
    assert np.isnan(mean)
    assert np.isnan(grad[0])


@pytest.mark.parametrize("kind", [np.float32, np.int32, bool])
def test_weights_are_numbers_of_any_kind(kind):
    weight = jnp.asarray(np.array([1, 0, 1], kind))
    assert loss_terms.weighted_mean(jnp.array([1.0, np.nan, 5.0]), weight) == 3


def test_noise_follows_the_place_in_the_global_batch(key, vae, digits):
    """Two halves with their positions have the terms of the whole, whatever the model."""
    x, y = digits.x_train[:8], digits.y_train[:8]
    params = vae.init(key, x)
    _, whole = vae.loss(params, key, Batch(x, y))
    halves = [
        vae.loss(params, key, Batch(x[part], y[part], position=jnp.arange(8)[part]))[1]
        for part in (slice(0, 4), slice(4, 8))
    ]
    for name in ("reconstruction", "kl"):
        joined = jnp.concatenate([getattr(half, name) for half in halves])
        np.testing.assert_allclose(joined, getattr(whole, name), rtol=1e-5)


def test_bernoulli_decode_gives_probabilities(key, model, digits):
    vae = small_vae(model, likelihood="bernoulli")
    params = vae.init(key, digits.x_train[:1])
    z = vae.sample_prior(params, key, (7, 10 if model == "dirichlet" else 2))
    decoded = vae.decode(params, z)
    assert decoded.shape == (7, 64)
    assert ((decoded > 0) & (decoded < 1)).all()
