"""Draws and divergences against TFP, SciPy, mpmath's values and closed forms.

Every statistical test uses a fixed key and states the rate at which it would fail a right sampler.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxvae
from jaxvae.numerics.distributions import tfp_distributions


def test_normal_is_tfps_draw_bit_for_bit(key):
    loc, scale = jnp.arange(6.0).reshape(2, 3), jnp.linspace(0.1, 2, 6).reshape(2, 3)
    with jax.numpy_rank_promotion("allow"):
        expected = tfp_distributions().Normal(loc, scale).sample(seed=key)
    np.testing.assert_array_equal(jaxvae.sample_normal(key, loc, scale), expected)


def test_normal_broadcasts_and_differentiates(key):
    z = jaxvae.sample_normal(key, jnp.zeros((5, 2)), jnp.ones(2))
    assert z.shape == (5, 2)
    eps = jaxvae.sample_normal(key, jnp.zeros(3), jnp.ones(3))
    loc, scale = jax.grad(
        lambda loc, scale: jaxvae.sample_normal(key, loc, scale).sum(), argnums=(0, 1)
    )(jnp.zeros(3), jnp.ones(3))
    np.testing.assert_array_equal(loc, np.ones(3))
    np.testing.assert_allclose(scale, eps, rtol=1e-6)


@pytest.mark.parametrize("prior_variance", [1.0, 3.0, 0.01])
def test_kl_normal_against_tfp(key, prior_variance):
    tfd = tfp_distributions()
    loc = jax.random.normal(key, (100, 4))
    scale = jnp.exp(jax.random.normal(jax.random.key(1), (100, 4)))
    prior = tfd.Normal(jnp.float32(0), jnp.sqrt(jnp.float32(prior_variance)))
    with jax.numpy_rank_promotion("allow"):
        expected = tfd.Normal(loc, scale).kl_divergence(prior).sum(axis=-1)
    actual = jaxvae.kl_normal(loc, scale, prior_variance=prior_variance)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_kl_normal_near_equality():
    """At scale = 1 + d it is d^2 to first order: float64 says what is left of the digits."""
    scale = (1 + np.array([0, 1e-4, 1e-3, -1e-3])).astype(np.float32)[:, None]
    exact = (np.expm1(2 * np.log(np.float64(scale))) - 2 * np.log(np.float64(scale))) / 2
    actual = jaxvae.kl_normal(jnp.zeros((4, 1)), jnp.asarray(scale))
    assert actual[0] == 0
    assert (actual >= 0).all()
    np.testing.assert_allclose(actual, exact[:, 0], atol=1e-9)


def test_tfps_own_gradient_is_nan(key):
    """Why the draw has a derivative of its own. When this fails, TFP has been mended."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        grads = jax.grad(lambda c: (tfp_distributions().Dirichlet(c).sample(seed=key) ** 2).sum())(
            jnp.full((2000, 10), 0.05)
        )
    assert np.isnan(grads).any()


def test_draws_are_float64_where_asked(key):
    with jax.enable_x64(True):
        c = jnp.full((4, 3), 0.5, jnp.float64)
        assert jaxvae.sample_dirichlet(key, c).dtype == jnp.float64
        assert jaxvae.kl_dirichlet(c, 2 * c).dtype == jnp.float64
        assert jaxvae.sample_normal(key, c, c).dtype == jnp.float64


def test_log_prob_dirichlet_against_tfp(key):
    c, keys = jax.random.uniform(key, (50, 5), minval=0.1, maxval=20.0), jax.random.split(key, 50)
    z = jax.vmap(jaxvae.sample_dirichlet)(keys, c)
    expected = tfp_distributions().Dirichlet(c).log_prob(z)
    actual = jaxvae.log_prob_dirichlet(c, jnp.log(z))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("concentrations", [(0.5, 6.5), (0.1, 50.0)])
def test_kl_dirichlet_against_tfp(key, concentrations):
    low, high = concentrations
    a, b = jax.random.uniform(key, (2, 200, 10), minval=low, maxval=high)
    tfd = tfp_distributions()
    expected = tfd.Dirichlet(a).kl_divergence(tfd.Dirichlet(b))
    np.testing.assert_allclose(jaxvae.kl_dirichlet(a, b), expected, rtol=2e-4)


def test_prior_draws_match_their_law(key):
    """sample_prior of the label prior: a mixture over labels whose mean is uniform."""
    vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(4, 3))
    z = vae.sample_prior({}, key, (20_000, 3))
    # The standard deviation of z_0 is below 0.3: 5 standard errors are 0.011.
    np.testing.assert_allclose(z.mean(axis=0), 1 / 3, atol=0.011)
    normal = jaxvae.normal_vae(jaxvae.dense_normal_network(4, 2), prior_variance=9.0)
    draws = normal.sample_prior({}, key, (20_000, 2))
    assert stats.kstest(np.asarray(draws).ravel() / 3, "norm").pvalue > 1e-6
