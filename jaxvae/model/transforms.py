"""From the user's units to the model's and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


@door("transforms")
class Transform(NamedTuple):
    """What makes model units of data as they come, and turns them back.

    Attributes:
      forward: `forward(x)`, from the user's units to the model's.
      inverse: `inverse(x)`, back.
      log_jacobian: `log_jacobian(x) -> scalar` for one example, of `forward` at x: what is added to
        a log-density in model units for one in the user's. None where there is no such number.

    Example:
      >>> scaled = divided_by(255)
      >>> scaled.forward(jnp.array([255.0])).tolist(), scaled.inverse(jnp.array([1.0])).tolist()
      ([1.0], [255.0])
    """

    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    log_jacobian: Callable[[Any], jax.Array] | None = None


def _size(x: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(x))


@made_by
def identity() -> Transform:
    """Data that are in model units already.

    Returns:
      The transform.

    Example:
      >>> identity().forward(jnp.ones(2)).tolist()
      [1.0, 1.0]
    """
    return Transform(lambda x: x, lambda x: x, lambda x: jnp.float32(0))


@made_by
def divided_by(number: Any) -> Transform:
    """x / number: bytes by 255 lie in [0, 1].

    Args:
      number: above zero.

    Returns:
      The transform.

    Raises:
      ValueError, TypeError: if the number is not finite and positive.

    Example:
      >>> divided_by(4).forward(jnp.array([2.0])).tolist()
      [0.5]
    """
    number = checks.positive_float("number", number)
    return Transform(
        lambda x: jax.tree.map(lambda leaf: leaf / number, x),
        lambda x: jax.tree.map(lambda leaf: leaf * number, x),
        lambda x: jnp.float32(-_size(x) * np.log(number)),
    )


@made_by
def standardized(mean: Any, scale: Any) -> Transform:
    """(x - mean) / scale, by numbers or by arrays of an example's shape.

    Args:
      mean: what is taken away.
      scale: what is divided by, above zero.

    Returns:
      The transform.

    Raises:
      ValueError, TypeError: if one is not finite, or the scale not above zero.

    Example:
      >>> standardized(1.0, 2.0).forward(jnp.array([5.0])).tolist()
      [2.0]
    """
    mean = checks.real_array("mean", mean).astype(np.float32)
    scale = checks.real_array("scale", scale).astype(np.float32)
    checks.finite_array("mean", mean)
    checks.finite_array("scale", scale, positive=True)

    def forward(x: Any) -> Any:
        return (x - jnp.broadcast_to(mean, x.shape)) / jnp.broadcast_to(scale, x.shape)

    def inverse(x: Any) -> Any:
        return x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(mean, x.shape)

    def log_jacobian(x: Any) -> jax.Array:
        return -jnp.sum(jnp.log(jnp.broadcast_to(scale, x.shape)))

    return Transform(forward, inverse, log_jacobian)
