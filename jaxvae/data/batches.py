"""`Batch`: the examples of one step."""

from typing import NamedTuple

import jax
import numpy as np

from jaxvae._door import door

Array = jax.Array | np.ndarray


@door("datasets")
class Batch(NamedTuple):
    """One batch of examples, as a loss takes it.

    Attributes:
      x: examples [B, D].
      y: integer labels [B], or None.
      weight: weights [B]; 0 marks padding. None weighs all alike.
      position: each example's place in the global batch [B], which keys its noise, so that a
        batch split over devices gets the noise it gets on one. None means 0 ... B-1.

    Example:
      >>> batch = Batch(np.zeros((5, 64)), y=np.arange(5))
      >>> batch.x.shape, batch.weight
      ((5, 64), None)
    """

    x: Array
    y: Array | None = None
    weight: Array | None = None
    position: Array | None = None
