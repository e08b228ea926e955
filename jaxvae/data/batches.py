"""`Batch`: the examples of one step, or all of a data set."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data.sparse import SparseRows
from jaxvae.numerics import sharding

Array = jax.Array | np.ndarray


@door("datasets")
class Batch(NamedTuple):
    """One batch of examples, as a loss takes it.

    Attributes:
      x: examples [B, ...], of any rank; or any pytree of such arrays.
      y: integer labels [B], -1 where one is missing; or None.
      weight: weights [B]; 0 marks padding. None weighs all alike.
      position: each example's place in the global batch [B], which keys its noise, so that a
        batch split over devices gets the noise it gets on one. None means 0 ... B-1.
      condition: what encoder and decoder see beside x and z: any pytree of arrays [B, ...].
      mask: of x's shape, True or 1 where a value of x was seen. None means that all were.

    Example:
      >>> batch = Batch(np.zeros((5, 64)), y=np.arange(5))
      >>> batch.x.shape, batch.weight
      ((5, 64), None)
    """

    x: Any = None
    y: Any = None
    weight: Any = None
    position: Any = None
    condition: Any = None
    mask: Any = None


def as_batch(x: Any) -> Batch:
    """A batch of examples that may be one already.

    Args:
      x: examples [B, ...], a pytree of such arrays, or a `Batch`.

    Returns:
      The `Batch`; anything else as the x of one.

    Raises:
      TypeError: if it is a list or a tuple, which JAX takes for a tree of numbers.

    Example:
      >>> as_batch(np.zeros((5, 64))).x.shape
      (5, 64)
    """
    if type(x) in (list, tuple):
        raise TypeError(
            f"x must be an array [B, ...], a tree of such or a Batch, got a {type(x).__name__}"
        )
    return x if isinstance(x, Batch) else Batch(x)


def rows_of(batch: Batch) -> int:
    """How many rows a batch has.

    Args:
      batch: arrays, sparse rows or traced values.

    Returns:
      B, the length of the first leaf of x.

    Raises:
      ValueError: if x holds no array, or one without rows.

    Example:
      >>> rows_of(Batch({"counts": np.zeros((5, 64)), "size": np.zeros((5, 1))}))
      5
    """
    for leaf in _leaves(batch.x):
        if getattr(leaf, "shape", ()):
            return leaf.shape[0]
        raise ValueError(f"x must hold arrays [B, ...], got {type(leaf).__name__}")
    raise ValueError("x must hold at least one array, got none")


def take(data: Batch, index: Any) -> Batch:
    """Some rows of a data set, for use in compiled code too.

    Args:
      data: all examples, on the device.
      index: which rows, integers [B].

    Returns:
      Their x, y, weight, condition and mask; sparse rows as a dense array, whose `dense` says what
      index it takes. A place in the data set is none in a batch: position is None.

    Example:
      >>> take(Batch(jnp.zeros((5, 64)), y=jnp.arange(5)), jnp.array([3, 0])).y.tolist()
      [3, 0]
    """

    def rows(leaf: Any) -> Any:
        if isinstance(leaf, SparseRows):
            return leaf.dense(index)
        return sharding.rows(jnp.asarray(leaf), index)

    return jax.tree.map(rows, data._replace(position=None), is_leaf=is_packed)


def floating(leaf: Any) -> jax.Array:
    """An array of floats, as a model computes with.

    Args:
      leaf: of x, of any type of numbers.

    Returns:
      The array itself where it holds floats, else as float32.

    Example:
      >>> floating(np.array([True, False])).tolist()
      [1.0, 0.0]
    """
    array = jnp.asarray(leaf)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.float32)


def is_packed(node: Any) -> bool:
    """Whether a node of a pytree is packed sparse rows, which stand for one array.

    Args:
      node: of x.

    Returns:
      True for `SparseRows`.
    """
    return isinstance(node, SparseRows)


def _leaves(tree: Any) -> list[Any]:
    return jax.tree.leaves(tree, is_leaf=is_packed)
