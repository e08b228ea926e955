"""KL(Dirichlet(a) || Dirichlet(b)) and its gradients, to a few rounding errors of the inputs.

The textbook formula subtracts log-gammas of the size of A log A, A = sum(a), from one another: in
float32 nothing is left of a small divergence at large concentrations. Here the large terms leave
in closed form. For x > 0, with n unit shifts and X = x + n,

    lgamma(x) = (X - 1/2) log X - X + series(1 / X) - sum_{j<n} log(x + j) + const
    D(y, x)   = lgamma(y) - lgamma(x) - (y - x) digamma(x)  >= 0,     its Bregman divergence

so that D is a sum of `gap(u) = u - log(1 + u)` >= 0, one for each logarithm, and

    KL = sum_k D(b_k, a_k) - D(B, A).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxvae.numerics import sharding
from jaxvae.numerics.elementary import kept, shared


class _Series(NamedTuple):
    """How far a shift and two series go, so that what they leave out stays below rounding.

    Attributes:
      shifts: unit shifts of a small argument.
      stirling: coefficient i of X^(1 - 2 i) in log Gamma(X) beside its closed part, i from 1; for X
        from `shifts` on.
      atanh: of q^i in (2 atanh(s) - 2 s) / s^3, q = s^2, i from 0; for q up to 1/9.
    """

    shifts: int
    stirling: tuple[float, ...]
    atanh: tuple[float, ...]


# For float32 fitted on those ranges by `tests/data/make_series.py`: D and its gradient are right to
# a relative 3e-8.
_FITTED = _Series(
    2,
    (0.0833309705, -0.00276025818, 0.000692303401, -0.000236411744),
    (0.666665335, 0.400152423, 0.280982671, 0.275635507),
)
# For float64 the first terms: B_2i / (2 i (2 i - 1)) with Bernoulli's numbers, and 2 / (2 i + 3).
_BERNOULLI = [(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510)]
_EXACT = _Series(
    10,
    tuple(n / (d * 2 * i * (2 * i - 1)) for i, (n, d) in enumerate(_BERNOULLI, start=1)),
    tuple(2.0 / (2 * i + 3) for i in range(17)),
)


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Splits `x = high + low` so that products of two halves are exact, whatever gets fused."""
    info = jnp.finfo(x.dtype)
    high = lax.stop_gradient(lax.reduce_precision(x, info.nexp, (info.nmant + 1) // 2 - 1))
    return high, x - high


def _unit(x: jax.Array) -> jax.Array:
    """For each row (last axis) the unit in whose multiples parts of `x` add up without rounding."""
    info = jnp.finfo(x.dtype)
    top = lax.reduce_precision(jnp.max(jnp.abs(x), -1, keepdims=True), info.nexp, 0)
    count = jnp.asarray(x.shape[-1], x.dtype)  # an array: `jax.export` may leave the size open
    near = lax.reduce_precision(count, info.nexp, 0)
    above = jnp.where(near > count, near, 2 * near)  # the next power of two
    return jnp.maximum(top * (above * 2.0 ** (1 - info.nmant)), float(info.tiny))


def _log_and_gap(u: jax.Array, ratio: jax.Array, series: _Series) -> tuple[jax.Array, jax.Array]:
    """`log(1 + u)` and `u - log(1 + u)`, given `ratio = 1 + u`, accurate at small `u` too."""
    near = jnp.abs(u) < 0.5
    u_near = jnp.where(near, u, 0.0)
    # log(1 + u) = 2 atanh(s); u - 2 s = u s, which leaves the odd powers from s^3 on.
    s = shared(u_near / (2.0 + u_near))
    square, odd = s * s, jnp.zeros_like(s)
    for coefficient in reversed(series.atanh):
        odd = odd * square + coefficient
    gap = s * (u_near - square * odd)
    log = jnp.where(near, u - gap, jnp.log(ratio))
    return log, jnp.where(near, gap, u - log)


def _gap(u: jax.Array, ratio: jax.Array, series: _Series) -> jax.Array:
    return _log_and_gap(u, ratio, series)[1]


def _stirling_pair(v: jax.Array, w: jax.Array, series: _Series) -> tuple[jax.Array, jax.Array]:
    """The tail of Stirling's series as divided differences at `v = 1 / X` and `w = 1 / Y`.

    Returns `(value, slope)`: D(Y, X) has the tail `(Y - X)^2 v^2 w (c_1 + value)`, and
    `digamma - log` differs between Y and X by `(Y - X) v w (1 / 2 + slope)`.
    """
    value, slope = jnp.zeros_like(v), jnp.zeros_like(v)
    power, g, h = v, v + w, jnp.ones_like(v)  # v^p; sum v^(p-i) w^i; sum (p-i) v^(p-1-i) w^i
    for i, coefficient in enumerate(series.stirling, start=1):
        if i > 1:
            for _ in range(2):
                h = v * h + g
                power = power * v
                g = power + w * g
            value = value + coefficient * h
        slope = slope + (2 * i - 1) * coefficient * g
    return value, slope


def _own_inverse(x: jax.Array) -> jax.Array:
    """1 / x, exactly as that is rounded, by an operation that the divergence does not read.

    What both it and a gradient read, a CPU would put into memory, and cut both chains there.
    """
    return 0.5 * shared(2.0 / x)


# Compiled even where the caller's code is not: its thousand operations would each be.
@functools.partial(jax.jit, inline=True)
def _kl_and_gradients(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """KL(Dir(a) || Dir(b)) over the last axis with its gradients.

    With t_k = (b_k / B) / (a_k / A), the `x log x - x` part of lgamma gives `sum_k b_k log t_k`
    alone: the large terms in a_k, b_k, A and B leave in closed form, not by subtraction. The rest
    is a sum of gaps. D(B, A) is taken together with the largest component ("main"), since when
    that dominates its row the two nearly cancel.
    """
    series = _FITTED if jnp.finfo(a.dtype).bits == 32 else _EXACT
    shifts = series.shifts
    a, b = sharding.aligned(a, b)
    low = jnp.finfo(a.dtype).tiny  # what is below it may count as zero
    valid = jnp.all((a >= low) & (b >= low) & (a < jnp.inf) & (b < jnp.inf), -1, keepdims=True)
    a, b = jnp.where(valid, a, 1.0), jnp.where(valid, b, 1.0)
    a, b = kept(a), kept(b)

    least = jnp.minimum(a, b)
    main = sharding.first_largest(least)
    shift = jnp.where(least < shifts, shifts, 0).astype(a.dtype)

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(x, -1, keepdims=True)

    def pick(x: jax.Array) -> jax.Array:
        return total(jnp.where(main, x, 0.0))

    def others(x: jax.Array) -> jax.Array:
        return total(jnp.where(main, 0.0, x))

    d = b - a
    a_main, b_main = pick(a), pick(b)
    d_main = b_main - a_main
    total_shift = jnp.where(jnp.minimum(a_main, b_main) < shifts, shifts, 0).astype(a.dtype)
    a_others, b_others, d_others = others(a), others(b), others(d)
    d_total = d_main + d_others
    a_total, b_total = a_main + a_others, b_main + b_others

    # cross = b_k A - a_k B to about 1.5 times the working precision, as A and B multiply its error
    # in KL; and as d_k A - a_k (B - A), with the rounding error of d_k, where that loses nothing.
    # For the main component A - a_k and B - b_k stand in for A and B: the same value.
    def whole(
        x: jax.Array, error: jax.Array, x_main: jax.Array, error_main: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        unit = _unit(x)
        inverse = 1 / unit

        def parts(x: jax.Array, error: jax.Array) -> tuple[jax.Array, jax.Array]:
            first = lax.stop_gradient(jnp.round(x * inverse) * unit)
            return first, (x - first) + error

        first, rest = (others(part) for part in parts(x, error))
        first_main, rest_main = parts(x_main, error_main)
        high, low = _halves(jnp.where(main, first, first + first_main))
        low = low + jnp.where(main, rest, rest + rest_main)
        return high, low, high + low

    sinks = b_total < 0.5 * a_total

    def move(a: jax.Array, b: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
        step = d - b
        error = jnp.where(sinks, 0.0, (b - (d - step)) - (a + step))
        return jnp.where(sinks, b, d), lax.stop_gradient(error)

    (moved, moved_error), main_moved = move(a, b, d), move(a_main, b_main, d_main)
    a_high, a_low = _halves(a)
    m_high, m_low = _halves(moved)
    m_low = m_low + moved_error
    p_high, p_low, p = whole(a, jnp.zeros_like(a), a_main, jnp.zeros_like(a_main))
    q_high, q_low, q = whole(moved, moved_error, *main_moved)
    cross = (m_high * p_high - a_high * q_high) + (
        (m_high * p_low + m_low * p) - (a_high * q_low + a_low * q)
    )

    def shifted(
        j: jax.Array,
    ) -> jax.Array:  # (b_k + j_k) (A + J) - (a_k + j_k) (B + J), j_k = J for the main component
        return cross + jnp.where(main, -j * d_others, total_shift * d - j * d_total)

    # The x log x part, at the shifted arguments.
    x, y = a + shift, b + shift
    x_total, y_total = a_total + total_shift, b_total + total_shift
    c = y_total / x_total
    c_log, c_gap = _log_and_gap(d_total / x_total, c, series)
    numerator = shifted(shift)
    t_minus_1 = shared(numerator / (x * y_total))
    # Two equal forms: the first loses 1 / a_k to the shift, the second log(c).
    tiny = (a < 0.3) & ~main
    u = shared(jnp.where(tiny, -d, -numerator) / jnp.where(tiny, y, y * x_total))
    ratio = jnp.where(tiny, x, x * c) / y
    kl = y * _gap(u, ratio, series) + jnp.where(
        tiny,
        a * c_gap - d * c_log,
        jnp.where(main, 0.0, -shift * c_gap),
    )

    # One gap for each remaining logarithm, of weight 1 (the unit shifts) or 1 / 2 (Stirling's).
    # For "main" it is the difference to that of (B, A): gap(r t - 1) = gap(r - 1) + (r - 1)(t - 1)
    # + gap(t - 1).
    slope_a = jnp.zeros_like(a)
    slope_b = jnp.zeros_like(a)
    slope_a_total = jnp.zeros_like(a_total)
    slope_b_total = jnp.zeros_like(a_total)
    for j in range(shifts):
        inverse, inverse_total = shared(1.0 / (a + j)), 1.0 / (a_total + j)
        other_total = 1.0 / (b_total + j)
        main_t = (cross - j * d_others) * (inverse * other_total)
        u = jnp.where(main, main_t, d * inverse)
        ratio = (b + j) * inverse * jnp.where(main, (a_total + j) * other_total, 1.0)
        gap = _gap(u, ratio, series)
        gap = gap + jnp.where(main, d_total * inverse_total * main_t, 0.0)
        kl = kl + jnp.where(shift > 0, gap, 0.0)
        inverse, other = _own_inverse(a + j), _own_inverse(b + j)
        slope_a = slope_a + jnp.where(shift > 0, inverse * inverse, 0.0)
        slope_b = slope_b + jnp.where(shift > 0, inverse * other, 0.0)
        slope_a_total += jnp.where(total_shift > 0, inverse_total * inverse_total, 0.0)
        slope_b_total += jnp.where(total_shift > 0, inverse_total * other_total, 0.0)

    v, w, v_total, w_total = shared(1.0 / x), shared(1.0 / y), 1.0 / x_total, 1.0 / y_total
    rise, rise_total = d * v, d_total * v_total
    u = jnp.where(main, t_minus_1, rise)
    ratio = y * v * jnp.where(main, x_total * w_total, 1.0)
    kl = kl + 0.5 * (_gap(u, ratio, series) + jnp.where(main, rise_total * u, 0.0))

    tail = _stirling_pair(v, w, series)[0]
    tail_total, slope_total = _stirling_pair(v_total, w_total, series)
    first_main = c * t_minus_1 * (rise + rise_total) * w + rise_total**2 * b_others * w * w_total
    first = jnp.where(main, first_main, rise * rise * w)
    rest_total = jnp.where(main, rise_total**2 * w_total * tail_total, 0.0)
    kl = kl + series.stirling[0] * first + (rise * rise * w * tail - rest_total)

    v, w = _own_inverse(x), _own_inverse(y)
    t_minus_1 = 0.5 * shared(numerator / (0.5 * (x * y_total)))  # twice a numerator may overflow
    slope_b = slope_b + v * w * (0.5 + _stirling_pair(v, w, series)[1])
    slope_b_total = slope_b_total + v_total * w_total * (0.5 + slope_total)
    slope_a = slope_a + v * v * (0.5 + _stirling_pair(v, v, series)[1])
    slope_a_total = slope_a_total + v_total**2 * (0.5 + _stirling_pair(v_total, v_total, series)[1])
    log_t = _log_and_gap(t_minus_1, y * v * (x_total * w_total), series)[0]
    grad_a = -c * t_minus_1 - d * slope_a + d_total * slope_a_total
    grad_b = log_t + d * slope_b - d_total * slope_b_total

    kl = jnp.maximum(jnp.sum(shared(kl), -1), 0.0)
    return (
        jnp.where(valid[..., 0], kl, jnp.nan),
        jnp.where(valid, grad_a, jnp.nan),
        jnp.where(valid, grad_b, jnp.nan),
    )


@jax.custom_jvp
def kl_dirichlet(a: jax.Array, b: jax.Array) -> jax.Array:
    """KL(Dirichlet(a) || Dirichlet(b)) over the last axis of two arrays of one shape and dtype."""
    return _kl_and_gradients(a, b)[0]


@kl_dirichlet.defjvp
def _kl_dirichlet_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    kl, grad_a, grad_b = _kl_and_gradients(*primals)
    return kl, jnp.sum(grad_a * tangents[0] + grad_b * tangents[1], -1)
