"""Log-probabilities of counts, with no small difference of large numbers in them.

log Gamma(1e6) is 1.3e7, and neighbouring float32 of that size lie 1 apart. So a log-probability is
put together here of its deviance, which is 0 where the count is the mean, and of what Stirling's
formula leaves of log Gamma, which is small. All are elementwise; arguments are taken as checked.

Source: Loader, 2000, Fast and accurate computation of binomial probabilities.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln, xlogy

from jaxvae.numerics import elementary
from jaxvae.numerics.softplus import softplus

# log Gamma(z + 1) = z log z - z + log(2 pi z) / 2 + c_1 / z + c_2 / z^3 + ...
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
STIRLING_SLOPES = tuple(-(2 * k + 1) * c for k, c in enumerate(STIRLING))
NEAREST = -0.9  # log1p below it: 1 + w has lost digits
FACTORIALS = tuple(math.lgamma(k + 1) for k in range(8))
SMALLEST = 1e-30  # odds below it are only known by their log


def _from(dtype: Any) -> int:
    """Where Stirling's series begins to be exact."""
    return 4 if jnp.finfo(dtype).bits <= 32 else 16


def _series(z: jax.Array, coefficients: tuple[float, ...]) -> jax.Array:
    r = 1 / (z * z)
    value = jnp.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * r + coefficient
    return value


def _left(z: jax.Array) -> jax.Array:
    """What Stirling's first terms leave: log Gamma(z + 1) - z log z + z, for z from 0 on."""
    least = _from(z.dtype)
    low, high = jnp.minimum(z, least), jnp.maximum(z, least)
    direct = gammaln(low + 1) - xlogy(low, low) + low
    series = 0.5 * jnp.log(2 * math.pi * high) + _series(high, STIRLING) / high
    return jnp.where(z < least, direct, series)


@jax.custom_jvp
def log_factorial(x: jax.Array) -> jax.Array:
    """log x!, for x from 0 on, of fractions too: log Gamma(x + 1).

    Nearly all counts are small integers, whose values are chosen: log 0! and log 1! are 0 to the
    bit. To look them up in a table, which is one element at a time, took twice as long.
    """
    if jnp.finfo(x.dtype).bits > 32:
        value = gammaln(x + 1)
    else:
        above = x + 4  # log Gamma(x + 4), where the series is exact, less what lies between
        inverse = 1 / above
        between = ((x + 1) * inverse) * ((x + 2) * inverse) * ((x + 3) * inverse)
        value = elementary.log(above) * (above - 3.5) - above + 0.5 * math.log(2 * math.pi)
        value = value + _series(above, STIRLING[:4]) * inverse - elementary.log(between)
    for k, factorial in enumerate(FACTORIALS):
        value = jnp.where(x == k, factorial, value)
    return value


@log_factorial.defjvp
def _log_factorial_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    return log_factorial(x), dx * digamma(x + 1)


def poisson_deviance(x: jax.Array, m: jax.Array, log_m: jax.Array) -> jax.Array:
    """Half of the deviance of a Poisson, x log(x / m) - (x - m); of no count it is m."""
    some = jnp.maximum(x, 1)
    off = (m - some) / some
    log_ratio = -jnp.log1p(jnp.maximum(off, NEAREST))
    log_ratio = jnp.where(off > NEAREST, log_ratio, jnp.log(some) - log_m)
    return jnp.maximum(x * log_ratio - (x - m), 0)


@jax.custom_jvp
def log_poisson(x: jax.Array, m: jax.Array, log_m: jax.Array) -> jax.Array:
    """The log-probability of a count x of mean m. Its derivative goes through log m alone."""
    return -poisson_deviance(x, m, log_m) - jnp.where(x > 0, _left(jnp.maximum(x, 1)), 0)


@log_poisson.defjvp
def _log_poisson_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, m, _ = primals
    return log_poisson(*primals), (x - m) * tangents[2]


def _log_ratio(
    x: jax.Array, r: jax.Array, log_r: jax.Array, odds: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The count, at least 1; and log((r + m) / (r + x)), where m = r odds is the mean."""
    some = jnp.maximum(x, 1)
    off = jnp.where(x > 0, (r * odds - x) / (r + some), odds)
    far = log_r + jnp.log1p(odds) - jnp.log(r + some)
    return some, jnp.where(off > NEAREST, jnp.log1p(jnp.maximum(off, NEAREST)), far)


@jax.custom_jvp
def log_negative_binomial(
    x: jax.Array, r: jax.Array, log_r: jax.Array, odds: jax.Array, log_odds: jax.Array
) -> jax.Array:
    """The log-probability of a count x of mean r odds and variance r odds (1 + odds).

    The logs say what r and the odds are where these underflow to 0. The derivative goes through the
    logs alone.
    """
    some, log_ratio = _log_ratio(x, r, log_r, odds)
    # The deviance is x log(x (r + m) / (m (r + x))) + r log((r + m) / (r + x)). Both parts have the
    # same rounded m in them, so that its error cancels.
    off = (some - r * odds) / ((r + some) * jnp.maximum(odds, SMALLEST))
    near = (off > NEAREST) & (odds > SMALLEST)
    far = softplus(-log_odds) - jnp.log1p(r / some)
    log_part = jnp.where(near, jnp.log1p(jnp.where(near, off, 0)), far)
    deviance = x * log_part + jnp.where(r > 0, r * log_ratio, 0)
    # Gamma(x + r) / (Gamma(r) x!), without what is in the deviance.
    least = _from(r.dtype)
    low, high = jnp.minimum(r, least), jnp.maximum(r, least)
    series = _series(high + some, STIRLING) / (high + some) - _series(high, STIRLING) / high
    small = log_r - jnp.log(low + some) + _left(low + some) - _left(low)
    ways = jnp.where(r < least, small, series - 0.5 * jnp.log1p(some / high)) - _left(some)
    return jnp.where(x > 0, ways, 0) - deviance


@log_negative_binomial.defjvp
def _log_negative_binomial_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, r, log_r, odds, _ = primals
    some, log_ratio = _log_ratio(x, r, log_r, odds)
    least = _from(r.dtype)
    low, high = jnp.minimum(r, least), jnp.maximum(r, least)

    def slope(z: jax.Array) -> jax.Array:
        """digamma(z + 1) - log z, of large z."""
        return (0.5 + _series(z, STIRLING_SLOPES) / z) / z

    small = low * (digamma(low + some + 1) - digamma(low + 1) - jnp.log1p(odds))
    large = high * (slope(high + some) - slope(high) - log_ratio)
    by_r = jnp.where(r < least, small, large) + some / (r + some)
    by_r = jnp.where(x > 0, by_r, -r * jnp.log1p(odds))
    by_odds = (x - r * odds) / (1 + odds)
    return log_negative_binomial(*primals), by_r * tangents[2] + by_odds * tangents[4]
