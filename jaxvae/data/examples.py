"""What `fit` and its kin are given becomes one checked `Batch`, and that becomes batches."""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxvae.data import fields, sparse
from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.labels import plain_labels
from jaxvae.numerics import checks


def is_stream(x: Any) -> bool:
    """Whether x is read batch by batch.

    Args:
      x: what `fit` was given. In this order it is taken for: a sparse matrix; a mapping or a
        NamedTuple of arrays (a `Batch` included); an array, a list or a tuple of rows; an AnnData;
        a source of batches.

    Returns:
      True for an iterable or a function that is none of the others.

    Example:
      >>> is_stream({"image": np.zeros((2, 3))}), is_stream(lambda: iter([np.zeros((2, 3))]))
      (False, True)
    """
    if isinstance(x, list | tuple | str | bytes) or hasattr(x, "__array__"):
        return False
    if sparse.is_sparse(x) or fields.is_tree(x) or fields.is_annotated(x):
        return False
    return callable(x) or hasattr(x, "__iter__")


def examples(
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    condition: Any = None,
    mask: Any = None,
    name: str = "x",
) -> Batch:
    """A data set, checked.

    Args:
      x: examples [N, ...] of any rank from 2 on: an array, a sparse matrix [N, D], an AnnData (its
        X), or a mapping or NamedTuple of these. A `Batch` stands for all of its fields.
      y: labels [N] from 0 on, -1, None or NaN where one is missing; also as a column [N, 1] or
        one-hot rows [N, K]; or None.
      weight: examples' weights [N], finite, at least 0 and not all 0; None weighs all alike.
      condition: finite numbers [N, ...], or a mapping, NamedTuple or tuple of such.
      mask: of x's shape, True or 1 where a value was seen. Only elsewhere x may be not finite.
      name: what x is called in errors; the other arguments are called alike, "validation y" where
        x is "validation x".

    Returns:
      A `Batch` of NumPy arrays; sparse parts of x are CSR matrices. x is float32; booleans and
      integers of at most 16 bits stay as they came. What was not finite and not seen is 0. Arrays
      that are so already are shared with the caller.

      Examples of weight 0 are left out: they count for nothing at all, not in a batch's size, nor
      in the number of steps. `position` then has the places that the others had, so that what
      draws noise by position draws what it did; else it is None, or what a `Batch` had. The weights
      have a mean of 1, so that no sum of them is beyond float32; they are None where all are equal,
      which is no weighing.

    Raises:
      ValueError, TypeError: if one cannot be used; the argument is named.

    Example:
      >>> data = examples(np.zeros((3, 8, 8), np.uint8), [0, -1, 2], weight=[1.0, 0.0, 3.0])
      >>> data.x.shape, data.x.dtype, data.y.tolist(), data.weight.tolist(), data.position.tolist()
      ((2, 8, 8), dtype('uint8'), [0, 2], [0.5, 1.5], [0, 2])
    """
    given = Batch(x, y, weight, None, condition, mask)
    if isinstance(x, Batch):
        for field, value in given._asdict().items():
            if field != "x" and value is not None:
                raise ValueError(f"{field} must be None where {name} is a Batch, which holds it")
        given = x
    prefix = name.removesuffix("x")
    names = Batch(name, *(prefix + field for field in Batch._fields[1:]))
    data = checked(given, names)
    rows = rows_of(data)
    if given.position is not None:
        data = data._replace(position=_places(names.position, given.position, rows))
    if given.weight is None:
        return data
    return _weighed(data, checks.weight_array(names.weight, given.weight, rows))


def unweighted(x: Any) -> Any:
    """What a function is given that returns a value for each example: none may be left out.

    Args:
      x: of `examples`.

    Returns:
      x; of a `Batch` all but its weights.

    Example:
      >>> unweighted(Batch(np.zeros((2, 3)), weight=np.array([0.0, 1.0]))).weight is None
      True
    """
    return x._replace(weight=None) if isinstance(x, Batch) else x


def checked(given: Batch, names: Batch) -> Batch:
    """x, y, condition and mask of a user's batch, checked.

    Args:
      given: what the user gave.
      names: what to call its fields in errors.

    Returns:
      The four as `examples` says, without weight and position.

    Raises:
      ValueError, TypeError: if one cannot be used; it is named.
    """
    x = fields.x_arrays(names.x, given.x)
    mask = None if given.mask is None else fields.mask_arrays(names.mask, given.mask, x)
    x = fields.finite(names.x, x, mask)
    rows = rows_of(Batch(x))
    y = None if given.y is None else plain_labels(names.y, given.y, rows)
    condition = given.condition
    if condition is not None:
        condition = fields.condition_arrays(names.condition, condition, rows)
    return Batch(x, y, None, None, condition, mask)


def first(data: Batch, n: int = 1) -> Batch:
    """The first examples, for their shapes.

    Args:
      data: of `examples`.
      n: how many; all where there are fewer.

    Returns:
      A `Batch` as `take` would give it, sparse parts dense, on the host.

    Example:
      >>> first(examples(np.zeros((5, 64)))).x.shape
      (1, 64)
    """
    return dense_rows(data._replace(position=None), np.arange(min(n, rows_of(data))))


# Batch sizes to which fewer examples are brought up, so that calls with ever other numbers of them
# do not each compile anew. Many stay as they are: what is added would cost more than it saves.
FEW_SIZES = (1, *sorted(part << n for n in range(9) for part in (2, 3)), 1024)
VERY_FEW_SIZES = (16, 64, 256, 1024)


def host_batches(data: Batch, batch_size: int, sizes: Sequence[int] = ()) -> Iterator[Batch]:
    """All examples in order, in batches of one size.

    Args:
      data: of `examples`.
      batch_size: B; N where there are fewer, or the least of `sizes` that is no less.
      sizes: ascending: `FEW_SIZES`, or `VERY_FEW_SIZES` for what takes long to compile.

    Yields:
      Batches of NumPy arrays [B, ...], sparse parts dense, with weight and position. The last one
      is padded by weight 0.

    Raises:
      ValueError, TypeError: if batch_size is no integer of at least 1.

    Example:
      >>> batches = host_batches(examples(np.zeros((5, 64))), batch_size=3)
      >>> [(batch.weight.tolist(), batch.position.tolist()) for batch in batches]
      [([1.0, 1.0, 1.0], [0, 1, 2]), ([1.0, 1.0, 0.0], [3, 4, 5])]
    """
    rows = rows_of(data)
    enough = next((size for size in sizes if size >= rows), rows)
    batch_size = min(checks.positive_int("batch_size", batch_size), enough)
    for start in range(0, rows, batch_size):
        position = np.arange(start, start + batch_size, dtype=np.int32)
        batch = dense_rows(data, np.minimum(position, rows - 1))
        weight = (position < rows).astype(np.float32)
        if batch.weight is not None:
            weight *= batch.weight
        if batch.position is not None:
            position = batch.position
        yield batch._replace(weight=weight, position=position)


def by_batches(
    function: Callable[..., Any],
    data: Batch,
    batch_size: int,
    sizes: Sequence[int] = (),
    *,
    beside: Any = None,
) -> Any:
    """What a function gives of each example, called with one batch after another.

    Args:
      function: `function(batch)` -> a tree of arrays [B, ...]; or `function(batch, beside)`.
      data: of `examples`.
      batch_size: B, as of `host_batches`.
      sizes: as there.
      beside: a tree of arrays [N, ...] of which the function is given the batch's rows, or None.

    Returns:
      The tree of NumPy arrays [N, ...], in order.

    Raises:
      ValueError, TypeError: if batch_size is no integer of at least 1.

    Example:
      >>> data = examples(np.eye(5))
      >>> by_batches(lambda batch: batch.x.argmax(axis=1), data, 3).tolist()
      [0, 1, 2, 3, 4]
    """
    rows, start, made = rows_of(data), 0, []
    for batch in host_batches(data, batch_size, sizes):
        given = [batch]
        if beside is not None:
            own = np.minimum(np.arange(start, start := start + len(batch.weight)), rows - 1)
            given.append(jax.tree.map(operator.itemgetter(own), beside))
        made.append(jax.device_get(function(*jax.device_put(given))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:rows], *made)


def on_device_form(data: Batch, batch_size: int) -> Batch:
    """A data set as it lies on the device.

    Args:
      data: of `examples`.
      batch_size: how many rows `take` will take at once.

    Returns:
      The same with sparse parts packed, for `jax.device_put`; the rest as it is. It has no
      position, which training sets.

    Raises:
      ValueError: if sparse parts have too many entries to lie on a device.

    Example:
      >>> from scipy.sparse import csr_array
      >>> type(on_device_form(examples(csr_array(np.eye(3))), batch_size=2).x).__name__
      'SparseRows'
    """

    def packed(leaf: Any) -> Any:
        return sparse.pack(leaf, batch_size) if sparse.is_sparse(leaf) else leaf

    return data._replace(x=jax.tree.map(packed, data.x), position=None)


def dense_rows(data: Batch, index: np.ndarray | slice) -> Batch:
    """Some rows of a data set on the host.

    Args:
      data: of `examples`.
      index: which rows, integers [B] or a slice.

    Returns:
      All of their fields; sparse parts as dense arrays, float32.
    """

    def rows(leaf: Any) -> np.ndarray:
        own = leaf[index]
        return own.toarray().astype(np.float32, copy=False) if sparse.is_sparse(own) else own

    return jax.tree.map(rows, data)


def _places(name: str, value: Any, rows: int) -> np.ndarray:
    """A user's own positions [N] as int32."""
    array = checks.real_array(name, value)
    checks.one_a_row((rows,), **{name: array})
    if array.dtype.kind not in "iu" or (array < 0).any() or (array >= 2**31).any():
        raise ValueError(f"{name} must hold integers from 0 to 2^31 - 1, got {array}")
    return array.astype(np.int32, copy=False)


def _weighed(data: Batch, weight: np.ndarray) -> Batch:
    """The examples without those of weight 0, the weights of mean 1; None where all are equal."""
    keep = weight > 0
    if not keep.all():
        position = np.arange(len(keep), dtype=np.int32) if data.position is None else data.position
        data = jax.tree.map(lambda leaf: leaf[keep], data._replace(position=position))
        weight = weight[keep]
    weight = weight / weight.max()
    if (weight == 1).all():
        return data
    return data._replace(weight=(weight / weight.mean()).astype(np.float32))
