"""The parameters of a family of distributions as numbers without bounds, and back."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.model import latents
from jaxvae.model.latents import Latent


def unbounded(latent: Latent, q: Any) -> Any:
    """A posterior's parameters as numbers without bounds: the positive ones as their logarithms.

    Args:
      latent: the family.
      q: its parameters; of a product by part.

    Returns:
      The same structure.
    """
    return changed(jnp.log, latent, q)


def bounded(latent: Latent, free: Any) -> Any:
    """The way back from `unbounded`.

    Args:
      latent: the family.
      free: of numbers without bounds.

    Returns:
      The parameters.
    """
    return changed(jnp.exp, latent, free)


def changed(change: Callable[[Any], Any], latent: Latent, q: Any) -> Any:
    """Parameters of which those that must be above zero were changed.

    Args:
      change: of each of them.
      latent: the family.
      q: its parameters; of a product by part.

    Returns:
      The same structure.
    """
    if latent.parts:
        own = latents.parts_of(latent)
        return {name: changed(change, part, q[name]) for name, part in own.items()}

    def each(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path[-1:], simple=True)
        return change(leaf) if name in latent.positive else leaf

    return jax.tree.map_with_path(each, q)
