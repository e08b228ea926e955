"""The implicit derivative of a Beta draw, elementwise, for float32 and float64.

The Beta is the law of one component of a Dirichlet. One integral by a fixed quadrature, the same
on both sides of the mean; `docs/sampler.md` derives it. Arguments are taken as checked:
`distributions` is the public face.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvae.numerics import elementary
from jaxvae.numerics.elementary import shared
from jaxvae.numerics.flat import elementwise, in_halves
from jaxvae.numerics.gamma import first_derivative_only


@first_derivative_only
@elementwise
def logit_beta_grad(a: jax.Array, b: jax.Array, logit: jax.Array) -> jax.Array:
    """d logit(z) / d a at a fixed quantile of z ~ Beta(a, b), b held."""
    return in_halves(_logit_beta_grad, a, b, logit)


def _logit_beta_grad(a: jax.Array, b: jax.Array, logit: jax.Array) -> jax.Array:
    double = a.dtype == jnp.float64
    largest, shift, series = (1e5, 12, _SERIES) if double else (100.0, 1, _FITTED_SERIES)
    # Where both are above `largest` the derivative is taken at shapes scaled down to it, at the
    # same z, and carried over to first order in 1 / a around its limit (see `leading`).
    share = jnp.minimum(1, largest / jnp.minimum(a, b))
    whole_a, a, b = a, a * share, b * share
    # -(dF/da) / (dF/d logit) is the integral of (log z - E log z) times the density, over the tail
    # of z or of 1 - z; by parts the shape of that tail, a or b, goes up by one, so that it decays
    # fast even at small shapes. Let w be z below (1 - z above), rho = w / (1 - w), w e^t the
    # variable of integration and d = log((1 - w e^t) / (1 - w)) = log(1 + rho (1 - e^t)). With
    # gap = digamma(a + 1) - digamma(a + b + 1) - log z, which is positive below, negative above:
    #   below    a h = gap + 1 / n      + n rho int (gap - t) e^((a + 1) t + (b - 1) d) dt
    #   above  b a h = b / n - a gap    + n rho int (1 - a gap + a d) e^((b + 1) t + (a - 1) d) dt
    # where n = a + b and t runs from minus infinity to 0. No two terms of a line cancel.
    gap, logs, odds, inverse_h = _gap(a, b, logit, shift, series)
    a, b = jnp.minimum(a, HUGE), jnp.minimum(b, HUGE)
    n, lower = a + b, logit < 0
    if double:
        below = gap >= 0
    else:
        # Nearly the same without the digammas in gap, for which all else would have to wait. Either
        # line does near the mean.
        below = jnp.where(lower, b * odds, b) <= (a + 0.53) * jnp.where(lower, 1, odds)
    grow, rest = jnp.where(below, a, b) + 1, jnp.where(below, b, a) - 1
    rho = shared(jnp.where(below == lower, odds, 1 / odds))
    inverse_n, rival = shared(1 / n), jnp.where(below, 1, b)
    inverse_rival = shared(1 / rival)
    edge = jnp.where(below, gap, -a * gap)
    start, step = edge + jnp.where(below, 0, 1), jnp.where(below, -LOG2, a)
    length, nodes = (_gauss_legendre if double else _fitted)(grow, rest, rho)
    to_2, rest_2 = length * (-1 / LOG2), rest * (1 / LOG2)
    integral = jnp.zeros_like(a)
    for point, weight in nodes:
        t = to_2 * point  # in units of log 2
        d = elementary.log1p_undivided(-rho * elementary.exp2m1(t))
        factor = start + step * jnp.where(below, t, d)
        integral += weight * factor * elementary.exp2(jnp.maximum(grow * t + rest_2 * d, -120))
    edge += rival * inverse_n
    times_a = edge * inverse_rival + (n * rho * length * inverse_rival) * integral
    # r = log(z / (a / n)). Only large shapes ask for it: what gap has for log(a / n), the logarithm
    # of h / (h + b), is then near enough for a few terms of a series.
    near = shared((shift + 0.5) * b * inverse_n * inverse_h)
    apart = near * (1 + near * (1 / 2 + near * (1 / 3 + near * (1 / 4 + near * (1 / 5)))))
    r = jnp.clip(apart - logs, -80, 80)
    leading = jnp.where(r == 0, 1, r / elementary.exp2m1(r * (1 / LOG2)))
    times_a = jnp.where(share < 1, leading + share * (times_a - leading), times_a)
    return jnp.minimum(times_a * (1 / whole_a), float(jnp.finfo(a.dtype).max))


LOG2 = float(np.log(2))
# Beyond it squares overflow. Nothing changes any more but the scale of z, or of 1 - z.
HUGE = 1e12

# digamma(h + 1/2) = log h + 1/24 h^-2 - 7/960 h^-4 + ..., and four terms fitted for h >= 3/2 by
# `tests/data/make_series.py`, where they are right to 5e-8.
_SERIES = (1 / 24, -7 / 960, 31 / 8064, -127 / 30720, 511 / 67584)
_FITTED_SERIES = (0.0416632846, -0.00720709523, 0.00313677088, -0.00127090459)


def _gap(
    a: jax.Array, b: jax.Array, logit: jax.Array, shift: int, series: Sequence[float]
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """digamma(a + 1) - digamma(a + b + 1) - log z, and what it is made of.

    With h = a + shift + 1/2 that is log(h / (h + b)) - log z, with all digits at small b and at
    small z, the odds of the rarer of z and 1 - z, and 1 / h.
    """
    lower, whole_b = logit < 0, b
    scale = jnp.maximum(jnp.where(lower, b, a) * (1 / HUGE), 1)
    a, b = jnp.minimum(a, HUGE), jnp.minimum(b, HUGE)
    # Below 2e-22 odds count for nothing.
    odds = jnp.clip(scale * elementary.exp(-jnp.minimum(jnp.abs(logit), 80)), 2e-22, 1)
    h = a + (shift + 0.5)
    higher = h + b
    inverse_h, inverse_higher = shared(1 / h), shared(1 / higher)
    # -log z is log(1 + odds), plus -logit below z = 1/2. Near the mean the latter cancels with the
    # logarithm of h / (h + b): one logarithm of their ratio does not.
    ratio = higher * inverse_h * odds
    together = lower & (ratio > 0.1)
    log = elementary.log1p_undivided(jnp.where(together, ratio - 1, whole_b * inverse_h))
    logs = jnp.where(together, 0, jnp.clip(-logit, 0, 1e37)) - log
    logs += elementary.log1p_undivided(odds)
    r, s = inverse_h * inverse_h, inverse_higher * inverse_higher
    value: Any = series[-1]
    divided: Any = 0.0  # the difference of the series in r and in s, over r - s
    for coefficient in series[-2::-1]:
        value, divided = value * r + coefficient, divided * s + value
    divided = divided * s + value
    steps: Any = sum(b / ((a + k) * (a + b + k)) for k in range(2, shift + 1))
    # The last of the steps, b / last, is not subtracted but brought under one fraction.
    last = (a + 1) * (a + b + 1)
    gap = (last * (logs + b * (h + higher) * r * s * divided - steps) - b) / last
    return shared(gap), logs, odds, inverse_h


Nodes = list[tuple[jax.Array, jax.Array]]


def _fitted(grow: jax.Array, rest: jax.Array, rho: jax.Array) -> tuple[jax.Array, Nodes]:
    """A length, and five nodes and weights in its units, of float32's accuracy.

    No rule of theory: they are fitted to the integrands that occur (see `_RULE`).
    """
    # The length is 8 / pace, where the first two terms in t of the exponent
    # grow t + rest log(1 + rho (1 - e^t)) have brought it down by 4.
    bend = jnp.maximum(rest, 0) * rho
    slope = jnp.maximum(grow - bend, 0)
    pace = shared(slope + jnp.sqrt(slope * slope + 8 * (1 + rho) * bend))
    length = shared(8 / pace)
    # Nodes and weights follow two numbers: the form, 1 where the exponent falls along a line, and
    # one that is small where the integrand begins with a layer of width 1 / rho, short of length.
    form, layer = shared(pace / (2 * grow)), shared(lax.rsqrt(1 + 0.3 * rho * length))
    square = layer * layer

    def combined(row: tuple[float, float, float, float]) -> jax.Array:
        return row[0] + row[1] * square + row[2] * layer + row[3] * form

    return length, [(combined(point), combined(weight)) for point, weight in _RULE]


# Of each node the coefficients of 1, square, layer and form, in its place and in its weight. From
# `tests/data/make_beta_rule.py`: they leave a relative error of 1.3e-6 at most.
_RULE = (
    (
        (0.0098761385, 0.0352077972, 0.0101200708, -0.0098441155),
        (0.0233476194, 0.0790526865, 0.0372135591, -0.0230606392),
    ),
    (
        (0.0414668743, 0.1096135956, 0.1235019562, -0.0331559917),
        (0.0410320374, 0.0452648456, 0.2045795052, -0.0123664404),
    ),
    (
        (0.1102346705, 0.1074184488, 0.4037062795, -0.0073351606),
        (0.1096422222, -0.047347986, 0.3347182149, 0.0792331334),
    ),
    (
        (0.2807245288, 0.0225422515, 0.7615441529, 0.160274023),
        (0.2362849903, -0.1203658707, 0.3769260382, 0.2779226365),
    ),
    (
        (0.5890615651, -0.1287599767, 1.1719284408, 0.6190919541),
        (0.3907182757, -0.1729712163, 0.4566357787, 0.7043877077),
    ),
)


def _gauss_legendre(grow: jax.Array, rest: jax.Array, rho: jax.Array) -> tuple[jax.Array, Nodes]:
    """The same with 32 nodes, of float64's accuracy."""
    end = _end(grow, rest, rho, 34.0)
    # Gauss-Legendre on [0, 1]. Where rho is large the integrand has a layer of width 1 / rho at its
    # start: there, the nodes x are drawn towards it, to c x + (1 - c) (x^4 + x^5) / 2.
    x, weights = np.polynomial.legendre.leggauss(32)
    x, weights = (x + 1) / 2, weights / 2
    drawn = (x**4 + x**5) / 2
    slopes = weights * (4 * x**3 + 5 * x**4) / 2
    tables = (drawn, x - drawn, slopes, weights - slopes)
    c = shared(0.8 / (1 + 0.05 * rho * end))
    rows = zip(*map(np.ndarray.tolist, tables), strict=True)
    return end, [(p + c * p_c, weight + c * weight_c) for p, p_c, weight, weight_c in rows]


def _end(grow: jax.Array, rest: jax.Array, rho: jax.Array, depth: float) -> jax.Array:
    """Where -t has brought the exponent grow t + rest log(1 + rho (1 - e^t)) down by `depth`."""
    bend = jnp.maximum(rest, 0)
    slope = jnp.maximum(grow - bend * rho, 0)
    curve = bend * rho * (1 + rho)
    # From its first two terms, which is too soon; one step of Newton from there is too late, by
    # little; and a bound.
    t = 2 * depth / (slope + jnp.sqrt(slope * slope + 2 * depth * curve))
    v = -jnp.expm1(-t)
    excess = depth - grow * t + bend * jnp.log1p(rho * v)
    t += excess / (grow - bend * rho * (1 - v) / (1 + rho * v))
    return jnp.minimum(jnp.minimum(grow * t, depth + bend * jnp.log1p(rho)), 80 * grow) / grow
