"""From log-gammas to a point of the simplex, and the derivative of its Beta marginals.

A component near 1 is computed as 1 minus what the others have: from e^x / sum(e^x) it would be
rounded twice, and its logarithm lost.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.numerics.beta import logit_beta_grad


def _sum_of_others(x: jax.Array) -> jax.Array:
    """For each component of x >= 0 the sum of the row's others, with all its digits.

    sum(x) - x would leave nothing of small others beside one that has most. The least normal float
    stands for zero, so that it has a logarithm.
    """
    total = jnp.sum(x, axis=-1, keepdims=True)
    most = x > 0.5 * total
    others = jnp.where(most, jnp.sum(jnp.where(most, 0, x), axis=-1, keepdims=True), total - x)
    return jnp.maximum(others, float(jnp.finfo(x.dtype).tiny))


@jax.custom_jvp
def normalise(log_x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """z = x / sum(x) over the last axis, and log z."""
    return _normalise(log_x)


# Compiled even where the caller's code is not: two dozen operations are then one call.
@functools.partial(jax.jit, inline=True)
def _normalise(log_x: jax.Array) -> tuple[jax.Array, jax.Array]:
    log_e = log_x - jnp.max(log_x, axis=-1, keepdims=True)
    e = jnp.exp(log_e)
    total = jnp.sum(e, axis=-1, keepdims=True)
    z = e / total
    most = z > 0.5
    rest = jnp.sum(jnp.where(most, 0, z), axis=-1, keepdims=True)
    return jnp.where(most, 1 - rest, z), jnp.where(most, jnp.log1p(-rest), log_e - jnp.log(total))


@normalise.defjvp
def _normalise_jvp(primals: Any, tangents: Any) -> Any:
    z, log_z = normalise(*primals)
    return (z, log_z), _tangents(z, *tangents)


@functools.partial(jax.jit, inline=True)
def _tangents(z: jax.Array, moved: jax.Array) -> tuple[jax.Array, jax.Array]:
    # d log z = m - sum(z m) for m and for m + constant. With that of a component above 1/2 taken
    # away, no difference of nearly equal numbers is left where z is nearly 1.
    moved -= jnp.sum(jnp.where(z > 0.5, moved, 0), axis=-1, keepdims=True)
    d_log_z = moved - jnp.sum(z * moved, axis=-1, keepdims=True)
    return z * d_log_z, d_log_z


@jax.custom_jvp
def with_beta_gradient(concentration: jax.Array, log_x: jax.Array) -> jax.Array:
    """log_x as it is, with the concentration's derivative that belongs to its `normalise`.

    The sum of the gammas tells nothing about z, and is noise in the derivative of z by each of
    them. Given z, the mean of that derivative is the one of z's Beta marginals: z_k at a fixed
    quantile, the others in fixed proportions. It moves logit z_k, as a move of log x_k alone does.
    """
    return log_x


@with_beta_gradient.defjvp
def _with_beta_gradient_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    concentration, log_x = primals
    return log_x, logit_beta_grad(*_marginals(concentration, log_x)) * tangents[0]


@functools.partial(jax.jit, inline=True)
def _marginals(
    concentration: jax.Array, log_x: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The two parameters of each component's Beta, and its logit."""
    log_e = log_x - jnp.max(log_x, axis=-1, keepdims=True)
    logit = log_e - jnp.log(_sum_of_others(jnp.exp(log_e)))
    return concentration, _sum_of_others(concentration), logit
