"""Data that are read as they are needed: any re-iterable of batches, in chunks of one shape."""

import ctypes
import math
import mmap
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.tree_util import keystr

from jaxvae._door import door
from jaxvae.data import fields, sparse
from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.examples import checked, dense_rows
from jaxvae.data.prefetch import prefetch as prefetch
from jaxvae.numerics import checks

CHUNK_BYTES = 32 * 2**20
LONGEST_CHUNK = 256  # steps
# Of wide rows a few steps may take more: each chunk costs a call, and new arrays for the state.
FEW_STEPS, MOST_BYTES = 4, 128 * 2**20
LARGEST_WEIGHT = 1e30  # a batch's sum stays a float32; the sum over all that come is not known
KEYS = ("x", "y", "weight", "condition", "mask")  # of a batch that is a mapping
PARTS = ("labels", "weights", "positions", "condition", "mask")  # the fields after x, in errors
ONCE = (
    "x must be readable once an epoch: an array, an iterable that starts anew, or a "
    "function that returns one; got {}, which can be read once only"
)


@door("streaming")
class Chunk(NamedTuple):
    """Some batches of one size, stacked.

    Attributes:
      batches: the leaves of x, condition and mask [S, B, ...], y [S, B] or None, weight [S, B] (0
        pads the end of the data, and only that).
      used: how many of the S hold examples.

    Example:
      >>> chunk = next(chunks([np.ones((3, 2))], batch_size=2, steps=4))
      >>> chunk.used, chunk.batches.weight.tolist()
      (2, [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    """

    batches: Batch
    used: int


def read(source: Any) -> Iterator[Batch]:
    """One pass over a source.

    Args:
      source: an iterable of batches that can be read again, as tf.data's and Grain's are, or a
        function that returns one (a generator function). A batch is x [b, ...], sparse or not,
        (x, y), a `Batch`, or a mapping of some of "x", "y", "weight", "condition" and "mask", of
        any size. In the last two x may be a mapping or NamedTuple of arrays.

    Yields:
      Batches of NumPy arrays as `examples` makes them, sparse parts dense; but weights are float32
      [b] or None, not changed, and 0 where they were.

    Raises:
      TypeError: if the source can be read once only.
      ValueError, TypeError: if a batch is not such, is not finite where it was seen, or differs
        from the first in shape, dtype, or in what it holds beside weights; it is named by its
        number.

    Example:
      >>> source = lambda: iter([np.zeros((2, 3)), np.zeros((5, 3))])
      >>> [batch.x.shape for batch in read(source)]
      [(2, 3), (5, 3)]
    """
    for batch in compressed(source):
        yield dense_rows(batch, slice(None))


def compressed(source: Any) -> Iterator[Batch]:
    """`read`, but sparse parts are left as CSR matrices: dense, a long batch may not fit.

    Args:
      source: as `read` takes it.

    Yields:
      Batches of NumPy arrays and CSR matrices.

    Raises:
      ValueError, TypeError: as `read`.

    Example:
      >>> from scipy.sparse import eye_array
      >>> [batch.x.format for batch in compressed([eye_array(3)])]
      ['csr']
    """
    if hasattr(source, "__next__"):
        raise TypeError(ONCE.format(repr(source)))
    first, opened = "", source() if callable(source) else source
    if not hasattr(opened, "__iter__") and not hasattr(opened, "__getitem__"):
        raise TypeError(f"x must be a function that returns batches, got one of {opened!r}")
    for number, item in enumerate(opened):
        name = f"batch {number} of x"
        names = Batch(name, *(f"the {part} of {name}" for part in PARTS))
        given = _given(name, item)
        batch = checked(given, names)
        form = _form(batch)
        first = first or form
        if form != first:
            raise ValueError(f"{name} must hold {first} as the first, got {form}")
        if given.weight is not None:
            weight = checks.weight_array(
                names.weight, given.weight, rows_of(batch), dtype=np.float32, all_zero=True
            )
            if weight.max(initial=0) > LARGEST_WEIGHT:
                raise ValueError(
                    f"{names.weight} must be at most {LARGEST_WEIGHT:g}, got {weight.max():g}"
                )
            batch = batch._replace(weight=weight)
        yield batch


def chunks(source: Any, batch_size: int, steps: int) -> Iterator[Chunk]:
    """One pass over a source as chunks of one shape, whatever the sizes of its batches.

    Args:
      source: as `read` takes it.
      batch_size: B, rows a step.
      steps: S, steps a chunk.

    Yields:
      Chunks of S x B rows in the order of the source, without those of weight 0. Only the end of
      the last one is padded: by zeros, as if they were seen.

    Raises:
      ValueError, TypeError: as `read`.

    Example:
      >>> source = lambda: iter([np.zeros((2, 8, 8)), np.zeros((5, 8, 8))])
      >>> [chunk.batches.x.shape for chunk in chunks(source, batch_size=2, steps=2)]
      [(2, 2, 8, 8), (2, 2, 8, 8)]
    """
    rows, filled, room = batch_size * steps, 0, None
    for batch in map(_weighed, compressed(source)):
        start, end = 0, rows_of(batch)
        while start < end:
            if room is None:  # the one before may still be on its way to the device
                room, filled = _room(batch, rows), 0
            stop = min(end, start + rows - filled)
            for space, leaf in zip(jax.tree.leaves(room), jax.tree.leaves(batch), strict=True):
                own, place = leaf[start:stop], space[filled : filled + stop - start]
                if sparse.is_sparse(own):
                    sparse.fill(place, own)
                else:
                    place[:] = own
            filled, start = filled + stop - start, stop
            if filled == rows:
                yield _stacked(room, filled, batch_size)
                room = None
    if room is not None:
        yield _stacked(room, filled, batch_size)


def chunk_steps(batch_size: int, row: Batch) -> int:
    """How many steps a chunk has.

    Args:
      batch_size: B, rows a step.
      row: a batch of `read`.

    Returns:
      As many as fit in 32 MiB with all that belongs to a row, at most 256; or up to 4 that fit in
      128 MiB; at least 1.

    Example:
      >>> chunk_steps(64, Batch(np.zeros((1, 28, 28), np.float32)))
      166
    """
    leaves = jax.tree.leaves(row._replace(weight=np.zeros(1, np.float32)))
    size = sum(leaf.dtype.itemsize * math.prod(leaf.shape[1:]) for leaf in leaves)
    step = batch_size * size
    few = min(FEW_STEPS, MOST_BYTES // step)
    return max(1, few, min(LONGEST_CHUNK, CHUNK_BYTES // step))


def empty_chunk(row: Batch, batch_size: int, steps: int) -> Chunk:
    """A chunk without an example.

    Args:
      row: a batch of `read`.
      batch_size: B, rows a step.
      steps: S, steps a chunk.

    Returns:
      A chunk of the shapes of `chunks`, none of it used.

    Example:
      >>> empty_chunk(Batch(np.ones((3, 2), np.float32)), batch_size=2, steps=4).batches.x.shape
      (4, 2, 2)
    """
    weighed = row._replace(weight=np.zeros(rows_of(row), np.float32))
    return _stacked(_room(weighed, batch_size * steps), 0, batch_size)


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library can be asked to.

    Of the large arrays that come and go with each chunk glibc keeps some for each thread, in pieces
    that none of the next fits: over thousands of chunks that is more than all that is in use.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def _given(name: str, item: Any) -> Batch:
    """What a source gave as a batch, its fields not yet checked."""
    if isinstance(item, Batch):
        if item.position is not None:
            raise ValueError(f"{name} must not set position, which training sets")
        return item
    if isinstance(item, Mapping):
        if "x" not in item or not set(item) <= set(KEYS):
            raise ValueError(
                f"{name} must have the keys x and perhaps {', '.join(KEYS[1:-1])} and {KEYS[-1]}, "
                f"got {sorted(map(str, item))}"
            )
        return Batch(**item)
    if isinstance(item, tuple | list) and len(item) == 2:
        return Batch(*item)
    if fields.is_tree(item):
        raise TypeError(
            f"{name} must be in a Batch or under the key x where it has parts, "
            f"got {type(item).__name__}"
        )
    return Batch(item)


def _form(batch: Batch) -> str:
    """What a batch holds: each leaf's name, dtype and shape, but for its length."""

    def of(path: Any, leaf: Any) -> str:
        dtype = np.dtype(np.float32) if sparse.is_sparse(leaf) else leaf.dtype
        return f"{keystr(path)[1:]} {dtype} [{', '.join(['b', *map(str, leaf.shape[1:])])}]"

    return ", ".join(of(*own) for own in jax.tree.leaves_with_path(batch))


def _weighed(batch: Batch) -> Batch:
    """The rows without those of weight 0; where they have no weights, 1 each."""
    if batch.weight is None:
        return batch._replace(weight=np.ones(rows_of(batch), np.float32))
    keep = batch.weight > 0
    return batch if keep.all() else jax.tree.map(lambda leaf: leaf[keep], batch)


def _room(batch: Batch, rows: int) -> Batch:
    """Space for rows like a batch's."""

    def space(leaf: Any) -> np.ndarray:
        dtype = np.dtype(np.float32) if sparse.is_sparse(leaf) else leaf.dtype
        return _zeros((rows, *leaf.shape[1:]), dtype)

    room = jax.tree.map(space, batch)
    # Nothing may be divided by how much was seen of what is padding.
    return room._replace(mask=jax.tree.map(np.ones_like, room.mask))


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros on pages of their own: JAX takes these on a CPU as they are, and none stay behind.

    What malloc gives does not start at a multiple of 64 bytes, so that JAX copies it; and freed, it
    is kept in pieces that grow.
    """
    size = math.prod(shape) * dtype.itemsize
    pages = mmap.mmap(-1, max(size, 1))
    return np.frombuffer(pages, np.uint8)[:size].view(dtype).reshape(shape)


def _stacked(room: Batch, filled: int, batch_size: int) -> Chunk:
    batches = jax.tree.map(lambda leaf: leaf.reshape(-1, batch_size, *leaf.shape[1:]), room)
    return Chunk(batches, -(-filled // batch_size))
