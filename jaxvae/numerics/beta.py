"""The implicit derivative of a Beta draw, elementwise, for float32 and float64.

The Beta is the law of one component of a Dirichlet. One integral by a fixed quadrature, the same
on both sides of the mean; `docs/sampler.md` derives it. Arguments are taken as checked:
`distributions` is the public face.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.numerics import elementary
from jaxvae.numerics.elementary import shared
from jaxvae.numerics.gamma import elementwise, first_derivative_only, in_halves


@first_derivative_only
@elementwise
def logit_beta_grad(a: jax.Array, b: jax.Array, logit: jax.Array) -> jax.Array:
    """d logit(z) / d a at a fixed quantile of z ~ Beta(a, b), b held."""
    return in_halves(_logit_beta_grad, a, b, logit)


def _logit_beta_grad(a: jax.Array, b: jax.Array, logit: jax.Array) -> jax.Array:
    # -(dF/da) / (dF/d logit) is the integral of (log z - E log z) times the density, over the tail
    # of z or of 1 - z; by parts the shape of that tail, a or b, goes up by one, so that it decays
    # fast even at small shapes. Let w be z below (1 - z above), rho = w / (1 - w), w e^t the
    # variable of integration and d = log((1 - w e^t) / (1 - w)) = log(1 + rho (1 - e^t)). With
    # gap = digamma(a + 1) - digamma(a + b + 1) - log z, which is positive below, negative above:
    #   below    a h = gap + 1 / n      + n rho int (gap - t) e^((a + 1) t + (b - 1) d) dt
    #   above  b a h = b / n - a gap    + n rho int (1 - a gap + a d) e^((b + 1) t + (a - 1) d) dt
    # where n = a + b and t runs from minus infinity to 0. No two terms of a line cancel.
    if a.dtype == jnp.float64:
        nodes, depth, largest, shift = 32, 34.0, 1e5, 12
    else:
        nodes, depth, largest, shift = 12, 16.0, 64.0, 4
    # Where both are above `largest` the derivative is taken at shapes scaled down to it, at the
    # same z, and carried over to first order in 1 / a around its limit (see `leading`).
    share = jnp.minimum(1, largest / jnp.minimum(a, b))
    whole_a, a, b = a, a * share, b * share
    # Beyond 1e12 squares overflow. Nothing changes any more but the scale of z, or of 1 - z.
    logit += jnp.log(jnp.maximum(b / 1e12, 1)) - jnp.log(jnp.maximum(a / 1e12, 1))
    a, b = jnp.minimum(a, 1e12), jnp.minimum(b, 1e12)
    n = a + b
    size = jnp.minimum(jnp.abs(logit), 50)  # beyond it odds count for nothing
    odds = elementary.exp(-size)  # of the rarer side
    log1p_odds = elementary.log1p(odds)
    logs = _log_ratio(a + (shift + 0.5), b, logit, odds) + log1p_odds
    gap = _gap(a, b, logs, shift)
    below = gap >= 0
    grow, rest = jnp.where(below, a, b) + 1, jnp.where(below, b, a) - 1
    usual = below == (logit < 0)
    rho = jnp.where(usual, odds, 1 / odds)
    log1p_rho = log1p_odds + jnp.where(usual, 0, size)
    start, step = jnp.where(below, gap, 1 - a * gap), jnp.where(below, -1, a)
    end = _end(grow, rest, rho, log1p_rho, depth)
    # Gauss-Legendre on [0, 1]. Where rho is large the integrand has a layer of width 1 / rho at its
    # start: there, the nodes x are drawn towards it, to c x + (1 - c) (x^4 + x^5) / 2.
    x, weights = np.polynomial.legendre.leggauss(nodes)
    x, weights = (x + 1) / 2, weights / 2
    drawn = (x**4 + x**5) / 2
    slopes = weights * (4 * x**3 + 5 * x**4) / 2
    tables = (drawn, x - drawn, slopes, weights - slopes)
    c = shared(0.8 / (1 + 0.05 * rho * end))
    integral = jnp.zeros_like(a)
    for point, point_c, weight, weight_c in zip(*map(np.ndarray.tolist, tables), strict=True):
        t = -end * (point + c * point_c)
        d = elementary.log1p(-rho * elementary.expm1(t))
        factor = start + step * jnp.where(below, t, d)
        density = elementary.exp(jnp.maximum(grow * t + rest * d, -80))
        integral += (weight + c * weight_c) * factor * density
    integral *= end
    edge = jnp.where(below, gap + 1 / n, b / n - a * gap)
    times_a = shared((edge + n * rho * integral) / jnp.where(below, 1, b))
    # r = log(z / (a / n)). Only large shapes ask for it: what gap has for log(a / n), the logarithm
    # of (a + shift + 1/2) / (n + shift + 1/2), is then near enough for a few terms of a series.
    near = shared((shift + 0.5) * b / (a * (n + (shift + 0.5))))
    apart = near * (
        1 - near * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6))))
    )
    r = jnp.clip(apart - logs, -80, 80)
    leading = jnp.where(r == 0, 1, r / elementary.expm1(r))
    times_a = jnp.where(share < 1, leading + share * (times_a - leading), times_a)
    return jnp.minimum(times_a / whole_a, float(jnp.finfo(a.dtype).max))


# digamma(h + 1/2) = log h + 1/24 h^-2 - 7/960 h^-4 + ...
_SERIES = (1 / 24, -7 / 960, 31 / 8064, -127 / 30720, 511 / 67584)


def _log_ratio(h: jax.Array, b: jax.Array, logit: jax.Array, odds: jax.Array) -> jax.Array:
    """log(h / (h + b)) - log z - log(1 + odds), with all digits at small b and at small z.

    -log z is log(1 + odds), plus -logit below z = 1/2. Near the mean the latter cancels with the
    logarithm of h / (h + b): one logarithm of their ratio does not.
    """
    ratio = (h + b) / h * odds
    together = (logit < 0) & (ratio > 0.1)
    log = elementary.log1p(jnp.where(together, ratio - 1, b / h))
    return jnp.where(together, 0, jnp.maximum(-logit, 0)) - log


def _gap(a: jax.Array, b: jax.Array, logs: jax.Array, shift: int) -> jax.Array:
    """digamma(a + 1) - digamma(a + b + 1) - log z, given `logs`, its logarithms."""
    h = a + (shift + 0.5)
    higher = h + b
    r, s = shared(1 / (h * h)), shared(1 / (higher * higher))
    power, sums, series = jnp.ones_like(r), jnp.ones_like(r), jnp.zeros_like(r)
    for coefficient in _SERIES:  # sums is (r^k - s^k) / (r - s)
        series += coefficient * sums
        power *= r
        sums = sums * s + power
    steps: Any = sum(b / ((a + k) * (a + b + k)) for k in range(2, shift + 1))
    # The last of the steps, b / last, is not subtracted but brought under one fraction.
    last = (a + 1) * (a + b + 1)
    return shared((last * (logs + b * (h + higher) * r * s * series - steps) - b) / last)


def _end(
    grow: jax.Array, rest: jax.Array, rho: jax.Array, log1p_rho: jax.Array, depth: float
) -> jax.Array:
    """Where -t has brought the exponent grow t + rest log(1 + rho (1 - e^t)) down by `depth`."""
    bend = jnp.maximum(rest, 0)
    slope = jnp.maximum(grow - bend * rho, 0)
    curve = bend * rho * (1 + rho)
    # From its first two terms, which is too soon; one step of Newton from there is too late, by
    # little; and a bound.
    t = shared(2 * depth / (slope + jnp.sqrt(slope * slope + 2 * depth * curve)))
    v = -elementary.expm1(-t)
    excess = depth - grow * t + bend * elementary.log1p(rho * v)
    t += excess / (grow - bend * rho * (1 - v) / (1 + rho * v))
    return shared(jnp.minimum(jnp.minimum(grow * t, depth + bend * log1p_rho), 80 * grow) / grow)
