"""exp, expm1 and log1p on the ranges that a quadrature needs, in float32 a third of XLA's work.

XLA's own handle what cannot occur there (infinities, subnormals, NaN, the whole line) and take up
to 60 instructions; an integrand is little else. In float64 they are JAX's.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# log 2 in two parts, the first with so few bits that its products by small integers are exact.
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


def _scale_and_rest(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """2^k and expm1(x - k log 2), with k the integer that brings the latter next to zero."""
    k = jnp.round(x * np.float32(1 / np.log(2)))
    r = x - k * _LOG2_HIGH - k * _LOG2_LOW
    tail = 1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720))))
    # The last bits of 1.5 2^23 + 127 + k are the exponent of 2^k. A conversion to integers would
    # check for NaN and for integers too large.
    bits = lax.bitcast_convert_type(k + np.float32(1.5 * 2**23 + 127), jnp.int32)
    return lax.bitcast_convert_type(bits << 23, jnp.float32), r + r * r * tail


def exp(x: jax.Array) -> jax.Array:
    """e^x for x in [-80, 88], to 3e-7."""
    if x.dtype != jnp.float32:
        return jnp.exp(x)
    scale, rest = _scale_and_rest(x)
    return scale + scale * rest


def expm1(x: jax.Array) -> jax.Array:
    """e^x - 1 for x in [-80, 88], to a relative 4e-7."""
    if x.dtype != jnp.float32:
        return jnp.expm1(x)
    scale, rest = _scale_and_rest(x)
    return (scale - 1) + scale * rest


def log1p(x: jax.Array) -> jax.Array:
    """log(1 + x) for x in (-1, 1e38], to a relative 3e-7; NaN and infinity become numbers."""
    return jnp.log1p(x) if x.dtype != jnp.float32 else _log(1 + x, x)


def log(x: jax.Array) -> jax.Array:
    """log(x) for x in [1e-37, 1e38], to 3e-7, near 1 relative; NaN and infinity become numbers."""
    return jnp.log(x) if x.dtype != jnp.float32 else _log(x, x - 1)


def log_of_either(which: jax.Array, x: jax.Array) -> jax.Array:
    """log(x) where `which` is true, else log(1 - x), for x in [1e-37, 1/2]; by one logarithm."""
    if x.dtype != jnp.float32:
        return jnp.where(which, jnp.log(x), jnp.log1p(-x))
    return _log(jnp.where(which, x, 1 - x), jnp.where(which, x - 1, -x))


def shared(x: jax.Array) -> jax.Array:
    """x itself: for a quotient, a root or a logarithm that more than one operation reads.

    On a CPU, XLA fuses one of these into what reads it only where a single operation does. Else it
    cuts the chain there, and what is cheap before the cut, Threefry too, is computed anew on either
    side. With this between them, which costs no instruction, a whole chain becomes one loop.
    """
    info = jnp.finfo(x.dtype)
    return lax.reduce_precision(x, info.nexp, info.nmant)


def _log(x: jax.Array, x_minus_1: jax.Array) -> jax.Array:
    # x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)). Where k is 0,
    # m - 1 is what was given for it, with digits that x itself may not have.
    bits = lax.bitcast_convert_type(x, jnp.int32)
    k = (bits - np.float32(np.sqrt(0.5)).view(np.int32)) >> 23
    m = lax.bitcast_convert_type(bits - (k << 23), jnp.float32)
    near = k == 0
    s = shared(jnp.where(near, x_minus_1, m - 1) / jnp.where(near, 2 + x_minus_1, m + 1))
    z = s * s
    series = 2 + z * (2 / 3 + z * (2 / 5 + z * (2 / 7)))
    return k.astype(jnp.float32) * np.float32(np.log(2)) + s * series
