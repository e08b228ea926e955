"""log(1 + exp(x)), which a Bernoulli takes of each logit and a negative binomial of each rate."""

import jax
import jax.numpy as jnp


@jax.custom_jvp
def softplus(x: jax.Array) -> jax.Array:
    """log(1 + exp(x)), in its stable form.

    `jax.nn.softplus` is a `logaddexp`, which also knows what two infinite arguments give. On a CPU
    this takes two to ten times as long, and was half of the price of a Bernoulli's likelihood.

    Args:
      x: of any shape.

    Returns:
      Of the same shape; NaN where x is.

    Example:
      >>> round(float(softplus(jnp.zeros(()))), 4)
      0.6931

    Source: max(x, 0) + log1p(exp(-|x|)); the derivative is the logistic function.
    """
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


softplus.defjvps(lambda tangent, _, x: tangent * jax.nn.sigmoid(x))
