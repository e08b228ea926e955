"""The log-gamma draw and its implicit derivative, elementwise, for float32 and float64.

The draw is Marsaglia and Tsang's rejection in log space, every candidate of an element from a
Threefry counter of its own; the derivative is one integral by a fixed quadrature. `docs/sampler.md`
derives both. Arguments are taken as checked: `distributions` is the public face.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvae.numerics import elementary, random, sharding
from jaxvae.numerics.flat import elementwise, in_halves
from jaxvae.numerics.random import threefry_2x32

# A round offers two candidates, each accepted with a probability of at least 0.95: after eight
# rounds an element is left without a draw once in 1e21. It then keeps its last candidate.
MAX_ROUNDS = 8
# Elements of which one at a time is tried again. Nearly always the whole group is done by then.
GROUP = 16


def first_derivative_only(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`function` is a derivative; asking for its own raises, as JAX would give a wrong one."""
    wrapped = jax.custom_jvp(function)

    @wrapped.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        raise NotImplementedError(
            "a gamma or Dirichlet draw has a first derivative only; its second derivative in the "
            "concentration (hessian, grad of grad, jvp of grad) is not implemented"
        )

    return wrapped


@first_derivative_only
def log_gamma_grad(concentration: jax.Array, log_x: jax.Array) -> jax.Array:
    """d log x / d concentration at a fixed quantile of Gamma(concentration, 1)."""
    return _log_gamma_grad(concentration, log_x)


@elementwise
def _log_gamma_grad(a: jax.Array, log_x: jax.Array) -> jax.Array:
    # With t = x e^s, the derivative -(dF/da) / (x f(x)) is either of the two integrals
    #   -int_{-inf}^0 (log t - digamma(a)) e^(a s - x (e^s - 1)) ds,   the same of +int_0^inf:
    # the lower one below the mean, the upper one above it, where neither cancels. For the lower
    # one e^(a s) decays too slowly at small a; by parts a becomes a + 1 and the boundary term is
    # the exact limit (digamma(a + 1) - log x) / a of x -> 0.
    if a.dtype == jnp.float64:
        nodes, depth, largest, shift = 24, 30.0, 1e5, 12
    else:
        nodes, depth, largest, shift = 12, 16.5, 64.0, 4
    # Gauss-Legendre on [0, 1], the nodes drawn towards 0, where the integrand begins steepest.
    points, weights = np.polynomial.legendre.leggauss(nodes)
    points, weights = (points + 1) / 2, weights / 2
    points, weights = (points + points**3) / 2, weights * (1 + 3 * points**2) / 2

    # Above `largest` the derivative times a is taken there, at the same log(x / a), and carried
    # over to first order in 1 / a around its limit (see `leading`).
    b = jnp.minimum(a, largest)
    ratio = log_x - jnp.log(a)
    y = jnp.where(a > largest, ratio + float(np.log(largest)), log_x)
    y = jnp.minimum(y, 40.0)  # no draw is near; keeps exp finite
    x = jnp.exp(y)
    digamma_1 = _digamma_plus_one(b, shift)
    lower = x < b + 1
    shape = jnp.where(lower, b + 1, b)
    offset = y - jnp.where(lower, digamma_1, digamma_1 - 1 / b)
    # Where the exponent has fallen by `depth`, from its leading terms.
    half = depth / 2 - jnp.abs(shape - x)
    larger = jnp.maximum(shape, x)
    end = (half + jnp.sqrt(half * half + 2 * depth * larger)) / larger
    end = jnp.where(lower, -end, jnp.log1p(end))
    # A loop of two rounds, not one long expression: XLA would fuse that with what the derivative is
    # multiplied by, at the end of the backward pass. A loop it can run beside the decoder.
    halves = tuple(jnp.asarray(v.reshape(2, -1), a.dtype) for v in (points, weights))

    def add(i: jax.Array, integral: jax.Array) -> jax.Array:
        for point, weight in zip(*(half[i] for half in halves), strict=True):
            s = end * point
            integral += weight * (offset + s) * jnp.exp(shape * s - x * (jnp.exp(s) - 1))
        return integral

    integral = lax.fori_loop(0, 2, add, jnp.zeros_like(x))
    integral *= end
    times_a = jnp.where(lower, digamma_1 - y + x * integral, b * integral)
    leading = jnp.where(ratio == 0, 1.0, ratio / jnp.expm1(ratio))
    times_a = jnp.where(a > largest, leading + largest / a * (times_a - leading), times_a)
    return jnp.minimum(times_a / a, float(jnp.finfo(a.dtype).max))


def _digamma_plus_one(a: jax.Array, shift: int) -> jax.Array:
    """digamma(a + 1) for a >= 0: `shift` steps of the recurrence, then its series at a + shift."""
    h = a + (shift + 0.5)
    r = 1 / (h * h)
    series = r * (1 / 24 - r * (7 / 960 - r * (31 / 8064 - r * (127 / 30720 - r * 511 / 67584))))
    return jnp.log(h) + series - sum(1 / (a + k) for k in range(1, shift + 1))


@jax.custom_jvp
def log_gamma(key: jax.Array, concentration: jax.Array) -> jax.Array:
    """Draw log x, x ~ Gamma(concentration, 1); NaN for a concentration outside (0, inf)."""
    words = random.bits(key, (2,))
    lane = lax.iota(jnp.uint32, concentration.size).reshape(concentration.shape)
    k0, k1 = (jnp.broadcast_to(word[(None,) * lane.ndim], lane.shape) for word in words)
    return _log_gamma(concentration, k0, k1, lane)


@log_gamma.defjvp
def _log_gamma_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    key, concentration = primals
    log_x = log_gamma(key, concentration)
    return log_x, log_gamma_grad(concentration, log_x) * tangents[1]


@elementwise
def _log_gamma(a: jax.Array, k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
    # On a NaN or an infinity the rejection would never end; below the least normal float a
    # compiled program may take a for zero.
    valid = (a >= jnp.finfo(a.dtype).tiny) & (a < jnp.inf)
    a = jnp.where(valid, a, 1)

    def first(a: jax.Array, k0: jax.Array, k1: jax.Array, lane: jax.Array) -> jax.Array:
        return _attempt(a, k0, k1, lane, jnp.uint32(0))

    log_x = in_halves(first, a, k0, k1, lane)

    # Infinity is what has no draw yet, one element in 400 at most. To try them all again would
    # cost as much as the first time: a group of elements is tried by one of them, the last that
    # waits, until none does.
    shape = log_x.shape
    whole = sharding.is_split(log_x) or not isinstance(log_x.size, int)
    grouped = (1, *shape) if whole else (GROUP, -(-log_x.size // GROUP))

    def groups(x: jax.Array) -> jax.Array:
        more = 0 if whole else math.prod(grouped) - x.size
        return (jnp.pad(x, (0, more)) if more else x).reshape(grouped)

    members = tuple(groups(x) for x in (a, k0, k1, lane))
    number, _ = sharding.aligned(lax.broadcasted_iota(jnp.int32, grouped, 0), members[0])

    def waiting(log_x: jax.Array) -> jax.Array:
        return jnp.max(jnp.where(log_x == jnp.inf, number, -1), axis=0)

    def body(state: Any) -> Any:
        round_, last, log_x = state
        here = number == last[None]
        a, k0, k1, lane = (jnp.sum(jnp.where(here, x, 0), 0, dtype=x.dtype) for x in members)
        new = elementary.kept(_attempt(a, k0, k1, lane, round_))
        log_x = jnp.where(here, new[None], log_x)
        still = waiting(log_x)
        return jnp.where(still == last, round_ + 1, 1), still, log_x

    log_x = groups(log_x)
    last = waiting(log_x)
    state = (last ^ last).astype(jnp.uint32) + 1, last, log_x  # ones that vary where log_x does
    log_x = lax.while_loop(lambda state: jnp.any(state[1] >= 0), body, state)[2]
    log_x = log_x.reshape(shape) if whole else log_x.reshape(-1)[: a.size]
    return jnp.where(valid, jnp.maximum(log_x, float(jnp.finfo(a.dtype).min)), jnp.nan)


def _attempt(
    a: jax.Array, k0: jax.Array, k1: jax.Array, lane: jax.Array, round_: jax.Array
) -> jax.Array:
    """The draw of each element in its own round; infinity where that accepts no candidate."""
    d = a + 2 / 3  # of the shape a + 1, whose draw is brought down to the shape a below
    log1p_e, left = _round((k0, k1), (lane, round_), d)
    # Gamma(a) = Gamma(a + 1) U^(1/a). What an accepted candidate leaves of its exponential is,
    # an exponential having no memory, a fresh one: -log U for free.
    new = jnp.log(d) + 3 * log1p_e - jnp.maximum(left, 0) / a
    return jnp.where((left >= 0) | (round_ == MAX_ROUNDS - 1), new, jnp.inf)


def _round(
    key: tuple[jax.Array, jax.Array], counter: tuple[jax.Array, jax.Array], d: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Two candidates from four random words; the first that is accepted, else the second."""
    lane, round_ = counter
    w0, w1 = threefry_2x32(key, (lane, 2 * round_))
    w2, w3 = threefry_2x32(key, (lane, 2 * round_ + 1))
    radius = elementary.shared(jnp.sqrt(2 * _exponential(w0, d.dtype)))
    cosine, sine = _cosine_sine(w1, d.dtype)
    first, first_left = _candidate(radius * cosine, _exponential(w2, d.dtype), d)
    second, second_left = _candidate(radius * sine, _exponential(w3, d.dtype), d)
    accepted = first_left >= 0
    return jnp.where(accepted, first, second), jnp.where(accepted, first_left, second_left)


def _candidate(
    normal: jax.Array, exponential: jax.Array, d: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Marsaglia and Tsang's candidate d (1 + e)^3 with e = normal / (3 sqrt(d)).

    Returns log(1 + e), and what is left of the exponential after the acceptance test
    exponential >= 3 d (e - e^2 / 2 + e^3 / 3 - log(1 + e)); below zero it is rejected.
    """
    e = elementary.shared(normal / (3 * elementary.shared(jnp.sqrt(d))))
    inside = e > -0.999999
    log1p_e = elementary.log1p(jnp.where(inside, e, 0))
    # Near zero the difference is a small rest of large terms: there, its own series.
    tail = 1 / 4 - e * (1 / 5 - e * (1 / 6 - e * (1 / 7 - e * (1 / 8 - e * (1 / 9 - e / 10)))))
    direct = e * (1 - e * (1 / 2 - e / 3)) - log1p_e
    excess = jnp.where(jnp.abs(e) < 0.1, e**4 * tail, direct)
    return log1p_e, jnp.where(inside, exponential - 3 * d * excess, -1)


def _exponential(bits: jax.Array, dtype: Any) -> jax.Array:
    """-log((bits + 1/2) / 2^32), with all its digits in both tails."""
    small = jnp.minimum(bits, ~bits).astype(dtype) * 2.0**-32 + 2.0**-33
    return -elementary.log_of_either(bits >> 31 == 0, small)


def _cosine_sine(bits: jax.Array, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of an angle that is uniform on the circle."""
    # Two bits choose the quarter, the others an angle in [-pi/4, pi/4], where Taylor's series do.
    angle = ((bits << 2).astype(jnp.int32).astype(dtype) + 2.0) * (np.pi / 2**33)
    z = angle * angle
    sine = angle * (1 - z * (1 / 6 - z * (1 / 120 - z * (1 / 5040 - z / 362880))))
    cosine = 1 - z * (1 / 2 - z * (1 / 24 - z * (1 / 720 - z * (1 / 40320 - z / 3628800))))
    swap = (bits >> 30) & 1 == 1
    sign = jnp.where(bits >> 31 == 0, 1.0, -1.0).astype(dtype)
    return sign * jnp.where(swap, sine, cosine), sign * jnp.where(swap, cosine, sine)
