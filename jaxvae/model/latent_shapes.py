"""The shapes of z that a caller asks for, where there are no examples that would tell."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch
from jaxvae.model.latents import Latent
from jaxvae.numerics import checks


def shapes_of(latent: Latent, own: Any, of: Any) -> Any:
    """The shapes of the parameters of z that is asked for.

    Args:
      latent: the family.
      own: the network's `latent_shape`.
      of: how many; or a shape [..., K], of a product one by part; or a `Batch` without x.

    Returns:
      Shapes, in the place of q.

    Raises:
      ValueError, TypeError: if it is none of what may be asked for, the width is not known, or the
        latent does not know them.
    """
    shape = _latent_shape(own, of)
    if latent.shapes is None:
        raise ValueError(
            f"shape must be a Batch of examples for a latent without shapes, got {shape}"
        )
    return latent.shapes(shape)


def _latent_shape(own: Any, of: Any) -> Any:
    """The shape of z, or shapes by part of a product."""
    if isinstance(of, Mapping):
        return {name: checks.shape(f"shape[{name!r}]", shape) for name, shape in of.items()}
    if isinstance(of, Batch):
        held = jax.tree.leaves((of.y, of.condition))
        if not held:
            raise ValueError("batch must hold x, y or a condition, got none of them")
        count = jnp.shape(held[0])[0]
    elif isinstance(of, tuple | list):
        return checks.shape("shape", of)
    else:
        count = checks.positive_int("shape", of)
    if own is None:
        raise ValueError(
            f"shape must be given with the latent's width, [..., K], as the network does not say "
            f"it, got {count} rows"
        )
    if own and isinstance(own[0], tuple):
        return {name: (count, *shape) for name, shape in own}
    return (count, *own)
