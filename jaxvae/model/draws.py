"""Draws of z for a batch: a key for each example and draw, and how gradients flow through them."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch, rows_of
from jaxvae.model.latents import Latent
from jaxvae.model.networks import Training
from jaxvae.numerics import random, sharding


def example_keys(key: jax.Array, batch: Batch) -> jax.Array:
    """A key for each example, by its place in the global batch.

    Args:
      key: one typed key.
      batch: its positions, or its rows.

    Returns:
      Keys [B].
    """
    rows = rows_of(batch)
    position = jnp.arange(rows) if batch.position is None else batch.position
    position, _ = sharding.aligned(position, jax.tree.leaves(batch.x)[0])
    return jax.vmap(random.fold_in, in_axes=(None, 0))(key, position)


def draw_keys(keys: jax.Array, draws: int, first: Any) -> jax.Array:
    """The example's own key for the only draw, else one by the draw's number.

    Args:
      keys: of the examples [B].
      draws: k, how many.
      first: the number of the first of them; None where there are no others.

    Returns:
      Keys [k, B].
    """
    if draws == 1 and first is None:
        return keys[None]
    start = jnp.uint32(0) if first is None else jnp.asarray(first, jnp.uint32)
    number = jnp.arange(draws, dtype=jnp.uint32) + start
    by_example = jax.vmap(random.fold_in, (0, None))
    return jax.vmap(by_example, (None, 0))(keys, number)


def draw(latent: Latent, keys: jax.Array, q: Any) -> Any:
    """u for each example, by its key.

    Args:
      latent: the family.
      keys: of the examples [B].
      q: the posterior's parameters, each leaf [B, ...].

    Returns:
      u, each leaf [B, ...].
    """
    return jax.vmap(latent.sample)(keys, q)


def drawn(key: jax.Array, latent: Latent, p: Any) -> Any:
    """u for each row of parameters, from one key.

    Args:
      key: one typed key.
      latent: the family.
      p: the parameters, each leaf [..., K] with the same leading axes.

    Returns:
      u, of the same leading axes.
    """
    if latent.batched:
        return latent.sample(key, p)
    leading = jnp.shape(jax.tree.leaves(p)[0])[:-1]
    one = latent.sample
    for _ in leading:
        one = jax.vmap(one)
    return one(jax.random.split(key, leading), p)


def split_alike(tree: Any) -> Any:
    """Arrays whose rows are split over Explicit mesh axes alike, for a `vmap` over them.

    Args:
      tree: of arrays [B, ...].

    Returns:
      The same values.
    """
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, sharding.aligned(*leaves))


def noise_of(training: Training | None, keys: jax.Array, side: int) -> Training | None:
    """What one half of the network is told in training: the examples' keys for noise of its own.

    Args:
      training: what the step says; None in evaluation.
      keys: of the examples [B].
      side: the number of the half, folded into them.

    Returns:
      The same with the keys; None in evaluation.
    """
    if training is None:
        return None
    own = jax.vmap(random.fold_in, (0, None))(keys, jnp.uint32(side))
    return training._replace(keys=own)


@jax.custom_vjp
def scaled_path(u: jax.Array, share: jax.Array) -> jax.Array:
    """u itself; what flows back through it is multiplied, for each example.

    Args:
      u: [B, ...].
      share: [B].

    Returns:
      u.
    """
    return u


def _forward(u: jax.Array, share: jax.Array) -> tuple[jax.Array, jax.Array]:
    return u, share


def _backward(share: jax.Array, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    shape = share.shape + (1,) * (cotangent.ndim - share.ndim)
    wide = jnp.broadcast_to(share.reshape(shape), cotangent.shape)
    return wide * cotangent, jnp.zeros_like(share)


scaled_path.defvjp(_forward, _backward)
