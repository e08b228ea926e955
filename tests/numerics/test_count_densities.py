"""Log-probabilities of counts against mpmath, over all sizes of counts, means and dispersions."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.special

from jaxvae.numerics.count_densities import (
    log_factorial,
    log_negative_binomial,
    log_poisson,
    poisson_deviance,
)

mp.mp.dps = 50
SIZE = 400


def cases(dtype):
    """Counts to 3e6, half of them near their mean; r from 1e-12 to 1e9."""
    rng = np.random.default_rng(0)
    x = np.floor(10 ** rng.uniform(-0.5, 6.5, SIZE))
    x[:40] = 0
    r = (10 ** rng.uniform(-12, 9, SIZE)).astype(dtype)
    near = np.maximum(x, 1) * np.exp(rng.normal(size=SIZE) / np.sqrt(np.maximum(x, 1)))
    mean = np.where(rng.random(SIZE) < 0.5, near, 10 ** rng.uniform(-6, 6.5, SIZE))
    return x.astype(dtype), r, (mean / r).astype(dtype), mean.astype(dtype)


def exact_negative_binomial(x, r, odds):
    """Its value, its slope by log r, its slope by the log of the odds."""
    x, r, odds = (mp.mpf(float(value)) for value in (x, r, odds))
    value = mp.loggamma(x + r) - mp.loggamma(r) - mp.loggamma(x + 1)
    value += x * mp.log(odds / (1 + odds)) - r * mp.log1p(odds)
    by_r = r * (mp.digamma(x + r) - mp.digamma(r) - mp.log1p(odds))
    return [float(number) for number in (value, by_r, (x - r * odds) / (1 + odds))]


def exact_poisson(x, m):
    x, m = mp.mpf(float(x)), mp.mpf(float(m))
    return float(x * mp.log(m) - m - mp.loggamma(x + 1)), float(x - m)


def close(found, exact, within):
    """Relative to what is exact, or to 1 where that is less."""
    found, exact = np.float64(found), np.float64(exact)
    assert np.isfinite(found).all()
    assert (np.abs(found - exact) / np.maximum(np.abs(exact), 1)).max() < within


# A float32 of a mean near 1e6 is itself 0.03 off: that is most of what is left.
@pytest.mark.parametrize(("dtype", "within", "slopes"), [("f4", 5e-5, 1e-3), ("f8", 2e-13, 1e-11)])
def test_against_mpmath(dtype, within, slopes):
    with jax.enable_x64(dtype == "f8"):
        x, r, odds, mean = (jnp.asarray(value) for value in cases(dtype))

        def negative_binomial(log_r, log_odds):
            return log_negative_binomial(x, r, log_r, odds, log_odds)

        logs = jnp.log(r), jnp.log(odds)
        exact = np.array([exact_negative_binomial(*row) for row in zip(x, r, odds, strict=True)]).T
        close(negative_binomial(*logs), exact[0], within)
        for found, slope in zip(
            jax.grad(lambda *logs: jnp.sum(negative_binomial(*logs)), (0, 1))(*logs),
            exact[1:],
            strict=True,
        ):
            close(found, slope, slopes)

        exact = np.array([exact_poisson(*row) for row in zip(x, mean, strict=True)]).T
        close(log_poisson(x, mean, jnp.log(mean)), exact[0], within)
        slope = jax.grad(lambda log_m: jnp.sum(log_poisson(x, mean, log_m)))(jnp.log(mean))
        close(slope, exact[1], 1e-6)


def test_small_counts_are_within_rounding_of_float32():
    x, r, odds, mean = (jnp.asarray(value) for value in cases("f4"))
    few = (x < 1000) & (mean < 1000)
    exact = [exact_negative_binomial(*row)[0] for row in zip(x, r, odds, strict=True)]
    found = log_negative_binomial(x, r, jnp.log(r), odds, jnp.log(odds))
    close(found[few], np.array(exact)[few], 1e-6)


def test_what_underflows_is_known_by_its_log():
    """r = exp(-200): the log-probability of a count is log r - log x + x log(odds / (1 + odds))."""
    x, zero, one = jnp.array([3.0]), jnp.zeros(1), jnp.ones(1)
    found = log_negative_binomial(x, zero, -200 * one, one, zero)
    np.testing.assert_allclose(found, -200 - np.log(3) - 3 * np.log(2), rtol=1e-6)
    # Odds of exp(-200), r = 1: x log(odds).
    found = log_negative_binomial(x, one, zero, zero, -200 * one)
    np.testing.assert_allclose(found, -600.0, rtol=1e-6)
    np.testing.assert_allclose(log_poisson(x, zero, -200 * one), -600 - np.log(6), rtol=1e-6)
    assert log_negative_binomial(zero, zero, -200 * one, one, zero) == 0
    assert log_poisson(zero, zero, -200 * one) == 0


def test_a_deviance_is_never_negative():
    x = jnp.arange(1.0, 2000.0)
    for m in (x, x * (1 + 1e-7), x * (1 - 1e-7), x + 1e-3):
        deviance = poisson_deviance(x, m, jnp.log(m))
        assert (deviance >= 0).all()
        assert deviance.max() < 1e-6


def test_log_factorial_is_exact_for_counts_and_right_for_fractions():
    x = np.concatenate([np.arange(300), [1e3, 1e5, 1e7], np.linspace(0.01, 40.3, 200)])
    exact = scipy.special.gammaln(x.astype(np.float32).astype(float) + 1)
    found = log_factorial(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=2e-6)
    assert found[0] == found[1] == 0
    slope = jax.vmap(jax.grad(log_factorial))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(slope, scipy.special.digamma(x + 1), rtol=1e-4, atol=1e-5)
