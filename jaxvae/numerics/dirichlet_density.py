"""The log-density of the Dirichlet, its large log-gammas taken together.

Arguments are taken as checked: `distributions` is the public face.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from jaxvae.numerics import sharding


# Compiled even where the caller's code is not: a dozen operations are then one call.
@functools.partial(jax.jit, inline=True)
def log_prob_dirichlet(a: jax.Array, log_z: jax.Array) -> jax.Array:
    """The log-density of Dirichlet(a) at exp(log_z), both [..., K]; NaN where a is not allowed."""
    a, log_z = sharding.aligned(a, log_z)
    valid = jnp.all((a >= jnp.finfo(a.dtype).tiny) & (a < jnp.inf), axis=-1)
    # The largest alpha's log-gamma is taken together with that of the sum: each alone may be large
    # where their difference is not.
    main = sharding.first_largest(a)
    largest = jnp.sum(jnp.where(main, a, 0), axis=-1)
    rise = _log_gamma_rise(largest, jnp.sum(jnp.where(main, 0, a), axis=-1))
    others = jnp.sum(jnp.where(main, 0, gammaln(jnp.where(main, 1, a))), axis=-1)
    # 0 log 0 = 0, on the left and in the derivative.
    log_z = jnp.where((a == 1) & (log_z == -jnp.inf), 0, log_z)
    return jnp.where(valid, rise - others + jnp.sum((a - 1) * log_z, axis=-1), jnp.nan)


def _log_gamma_rise(x: jax.Array, rise: jax.Array) -> jax.Array:
    """log Gamma(x + rise) - log Gamma(x), by Stirling's formula some steps higher."""
    steps = 3 if x.dtype == jnp.float32 else 12
    low, high = x + steps, x + rise + steps

    def series(x: jax.Array) -> jax.Array:
        r = 1 / (x * x)
        tail = r * (1 / 1680 - r * (1 / 1188 - r * 691 / 360360))
        return (1 / 12 - r * (1 / 360 - r * (1 / 1260 - tail))) / x

    stirling = (low - 0.5) * jnp.log1p(rise / low) + rise * (jnp.log(high) - 1)
    down = _log1p_ratio(rise, x) + sum(jnp.log1p(rise / (x + j)) for j in range(1, steps))
    return stirling + (series(high) - series(low)) - down


@jax.custom_jvp
def _log1p_ratio(rise: jax.Array, x: jax.Array) -> jax.Array:
    """log(1 + rise / x); its derivative in x, as JAX has it, squares x, which may underflow."""
    return jnp.log1p(rise / x)


@_log1p_ratio.defjvp
def _log1p_ratio_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (rise, x), (d_rise, d_x) = primals, tangents
    share = rise / (x + rise)
    return _log1p_ratio(rise, x), d_rise / (x + rise) - d_x * (share / x)
