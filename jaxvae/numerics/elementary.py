"""Exponentials and log1p on the ranges that a quadrature needs, in float32 a third of XLA's work.

XLA's own handle what cannot occur there (infinities, subnormals, NaN, the whole line) and take up
to 60 instructions; an integrand is little else. In float64 they are JAX's.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# log 2 in two parts, the first with so few bits that its products by small integers are exact.
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


# Fitted: (2^x - 1) / x on [-1/2, 1/2], so that 2^x is right to 1e-7; what is left of it after the
# first term, over x, so that 2^x - 1 is right to a relative 2e-8; and (log(1 + x) - x) / x^2 on
# [sqrt(1/2) - 1, sqrt(2) - 1], so that log(1 + x) is right to a relative 3e-8.
_EXP2 = (0.693147215, 0.240222346, 0.0555030813, 0.00967187704, 0.00134073117)
_EXP2M1 = (0.240226498, 0.0555036992, 0.00961825287, 0.00133866447, 0.000153962252)
_LOG1P = (
    *(-0.499999916, 0.333339504, -0.250017579, 0.199620692),
    *(-0.165704607, 0.149179533, -0.143078009, 0.0873522507),
)


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    """The sum of coefficient k times x^k, by Estrin's scheme.

    Horner's has fewer products, but each of its steps waits for the last.
    """
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [low + high * x for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms, x = pairs + terms[2 * len(pairs) :], x * x
    return terms[0]


def _power_of_2(k: jax.Array) -> jax.Array:
    # The last bits of 1.5 2^23 + 127 + k are the exponent of 2^k. A conversion to integers would
    # check for NaN and for integers too large.
    bits = lax.bitcast_convert_type(k + np.float32(1.5 * 2**23 + 127), jnp.int32)
    return lax.bitcast_convert_type(bits << 23, jnp.float32)


def exp(x: jax.Array) -> jax.Array:
    """e^x for x in [-80, 88], to 3e-7."""
    if x.dtype != jnp.float32:
        return jnp.exp(x)
    k = jnp.round(x * np.float32(1 / np.log(2)))
    r = x - k * _LOG2_HIGH - k * _LOG2_LOW
    return _power_of_2(k) * _polynomial((1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720), r)


def exp2(x: jax.Array) -> jax.Array:
    """2^x for x in [-126, 126], to 3e-7."""
    if x.dtype != jnp.float32:
        return jnp.exp2(x)
    k = jnp.round(x)
    scale = _power_of_2(k)
    return scale + scale * ((x - k) * _polynomial(_EXP2, x - k))


def exp2m1(x: jax.Array) -> jax.Array:
    """2^x - 1 for x in [-126, 126], to a relative 4e-7."""
    if x.dtype != jnp.float32:
        return jnp.expm1(x * np.log(2))
    k = jnp.round(x)
    scale = _power_of_2(k)
    r = x - k
    return (scale - 1) + scale * (r * np.float32(np.log(2)) + r * r * _polynomial(_EXP2M1, r))


def log1p(x: jax.Array) -> jax.Array:
    """log(1 + x) for x in (-1, 1e38], to a relative 3e-7; NaN and infinity become numbers."""
    return jnp.log1p(x) if x.dtype != jnp.float32 else _log(1 + x, x)


def log1p_undivided(x: jax.Array) -> jax.Array:
    """As `log1p`, to a relative 4e-7, with no division and so in less time; other last digits."""
    if x.dtype != jnp.float32:
        return jnp.log1p(x)
    # 1 + x = 2^k (1 + m). Both terms of m are exact, and so is m itself where k is 0.
    bits = lax.bitcast_convert_type(1 + x, jnp.int32)
    k = (bits - np.float32(np.sqrt(0.5)).view(np.int32)) >> 23
    scale = lax.bitcast_convert_type(np.int32(127 << 23) - (k << 23), jnp.float32)
    m = x * scale + (scale - 1)
    return k.astype(jnp.float32) * np.float32(np.log(2)) + (m + m * m * _polynomial(_LOG1P, m))


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


@jax.custom_jvp
def kept(x: jax.Array) -> jax.Array:
    """x itself, made once and put into memory: for what many later operations read.

    On a CPU, XLA makes a sum, a maximum or a choice anew in each loop that reads it, with what it
    is made of, and element by element where their shapes differ. A quotient it keeps.
    """
    return x / jnp.where(x == x, 1, x).astype(x.dtype)


kept.defjvps(lambda tangent, _, x: tangent)
