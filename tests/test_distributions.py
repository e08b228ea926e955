"""Draws and divergences against TFP, SciPy, mpmath's values and closed forms.

Every statistical test uses a fixed key and states the rate at which it would fail a right sampler.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import jaxvae
from jaxvae.distributions import tfp_distributions

DECADES = [1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e3]


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


def ks_distance(values, cdf):
    """The largest distance between the empirical distribution and the exact one."""
    u = np.sort(cdf(np.sort(np.asarray(values, np.float64))))
    n = len(u)
    return max((np.arange(1, n + 1) / n - u).max(), (u - np.arange(n) / n).max())


def log_gamma_cdf(alpha):
    """P(log X <= t): where exp(t) underflows, x^alpha / Gamma(alpha + 1)."""

    def cdf(t):
        small = np.exp(np.minimum(alpha * t - special.gammaln(alpha + 1), 0))
        return np.where(t < -30, small, special.gammainc(alpha, np.exp(t)))

    return cdf


@pytest.mark.parametrize("alpha", DECADES)
def test_log_gamma_law(key, alpha):
    """DKW: a right sampler strays by 0.0327 with probability 2 exp(-2 n d^2) = 1e-9 at n = 1e4."""
    draws = jax.jit(jaxvae.sample_log_gamma)(key, jnp.full(10_000, alpha, jnp.float32))
    bound = np.sqrt(np.log(2 / 1e-9) / (2 * 10_000))
    assert ks_distance(draws, log_gamma_cdf(np.float64(np.float32(alpha)))) < bound
    wrong = log_gamma_cdf(1.2 * alpha)
    assert ks_distance(draws, wrong) > bound, "the test must see a concentration that is 20% off"


def test_log_gamma_grad_against_mpmath():
    with np.load(Path(__file__).parent / "data" / "log_gamma_grad.npz") as file:
        alpha, log_x, expected = file["alpha"], file["log_x"], file["dlogx_dalpha"]
    keep = (alpha > 1e-4) & (alpha < 1e4)
    actual = jaxvae.log_gamma_grad(jnp.float32(alpha[keep]), jnp.float32(log_x[keep]))
    np.testing.assert_allclose(actual, expected[keep], rtol=2e-3)


@pytest.mark.parametrize("alpha", [1e-3, 1e-2, 0.1, 1.0, 10.0])
def test_dirichlet_gradient_is_right_in_expectation(alpha):
    """d E[z_0] / d alpha_0 = (A - a) / A^2, within 5 standard errors: 6e-7 false alarms."""
    c = jnp.array([alpha, 2 * alpha, 0.5], jnp.float32)
    n = 100_000

    def z0(c, key):
        return jaxvae.sample_dirichlet(key, c)[0]

    grads = jax.vmap(jax.grad(z0), (None, 0))(c, jax.random.split(jax.random.key(1), n))[:, 0]
    total = float(c.sum())
    exact = (total - alpha) / total**2
    error = float(jnp.std(grads)) / n**0.5
    assert abs(float(grads.mean()) - exact) < 5 * error
    assert abs(float(grads.mean()) * 1.5 - exact) > 5 * error, "a gradient 50% off must be seen"


def test_dirichlet_is_never_nan(key):
    """Mixed rows over twelve decades: values and gradients stay finite; TFP's do not."""
    exponent = jax.random.uniform(key, (20_000, 10), minval=-6, maxval=6)
    c = 10.0**exponent

    def loss(c):
        z = jaxvae.sample_dirichlet(jax.random.key(1), c)
        return jnp.sum(z**2), z

    grads, z = jax.jit(jax.grad(loss, has_aux=True))(c)
    assert np.isfinite(z).all()
    assert np.isfinite(grads).all()
    np.testing.assert_allclose(np.asarray(z, np.float64).sum(axis=-1), 1, atol=3e-7)


def test_tfps_own_gradient_is_nan(key):
    """Why the draw has a derivative of its own. When this fails, TFP has been mended."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        grads = jax.grad(lambda c: (tfp_distributions().Dirichlet(c).sample(seed=key) ** 2).sum())(
            jnp.full((2000, 10), 0.05)
        )
    assert np.isnan(grads).any()


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_bad_concentration_stays_in_its_row_inside_compiled_code(key, bad):
    c = jnp.ones((3, 4)).at[1, 2].set(bad)
    z = jax.jit(jaxvae.sample_dirichlet)(key, c)
    assert np.isnan(z[1]).all()
    assert np.isfinite(z[jnp.array([0, 2])]).all()


def test_draws_under_transformations(key):
    c = jnp.full((3, 4), 0.7)
    keys = jax.random.split(key, 3)
    alone = jnp.stack([jaxvae.sample_dirichlet(k, row) for k, row in zip(keys, c, strict=True)])
    mapped = jax.jit(jax.vmap(jaxvae.sample_dirichlet))(keys, c)
    devices = jax.pmap(jaxvae.sample_dirichlet)(keys, c)
    _, scanned = jax.lax.scan(lambda _, kc: (None, jaxvae.sample_dirichlet(*kc)), None, (keys, c))
    for other in (mapped, devices, scanned):
        np.testing.assert_allclose(other, alone, rtol=2e-6)


def test_draws_are_float64_where_asked(key):
    with jax.enable_x64(True):
        c = jnp.full((4, 3), 0.5, jnp.float64)
        assert jaxvae.sample_dirichlet(key, c).dtype == jnp.float64
        assert jaxvae.kl_dirichlet(c, 2 * c).dtype == jnp.float64
        assert jaxvae.sample_normal(key, c, c).dtype == jnp.float64


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
    z = vae.sample_prior(key, (20_000, 3))
    # The standard deviation of z_0 is below 0.3: 5 standard errors are 0.011.
    np.testing.assert_allclose(z.mean(axis=0), 1 / 3, atol=0.011)
    normal = jaxvae.normal_vae(jaxvae.dense_normal_network(4, 2), prior_variance=9.0)
    draws = normal.sample_prior(key, (20_000, 2))
    assert stats.kstest(np.asarray(draws).ravel() / 3, "norm").pvalue > 1e-6
