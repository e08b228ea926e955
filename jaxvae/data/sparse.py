"""Sparse examples: packed on the device, made dense a batch at a time.

Most counts are zero. Kept as its entries a data set takes a tenth of the memory or less, and a
dense batch costs one gather and one scatter. SciPy is not imported: its objects are known by what
they can do.
"""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.numerics import checks

# What stays as it came, on the device too: all of it is a float32 exactly.
NARROW = tuple(map(np.dtype, ("bool", "int8", "uint8", "int16", "uint16")))


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["values", "columns", "offsets"],
    meta_fields=["width", "batch_size", "capacity", "longest"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows [N, D] of which the entries are kept: a pytree of three arrays, made by `pack`.

    Attributes:
      values: the entries [E], row after row: float32, booleans, or integers of at most 16 bits.
      columns: the column of each [E], int32.
      offsets: where each row starts among them, and the end, int32 [N + 1].
      width: D.
      batch_size: for batches of how many rows `capacity` was counted.
      capacity: the most entries that a batch of so many different rows can hold.
      longest: the most entries that a row holds.

    Example:
      >>> from scipy.sparse import csr_array
      >>> rows = pack(csr_array([[0, 2, 0], [0, 0, 0], [1, 0, 3]]), batch_size=2)
      >>> rows.shape, rows.capacity, rows.dense(jnp.array([2, 1])).tolist()
      ((3, 3), 3, [[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    """

    values: Any
    columns: Any
    offsets: Any
    width: int
    batch_size: int
    capacity: int
    longest: int

    def __len__(self) -> int:
        return self.offsets.shape[0] - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), self.width

    @property
    def ndim(self) -> int:
        """2, as of an array [N, D]."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """That of the dense rows."""
        return np.dtype(np.float32)

    def dense(self, index: Any) -> jax.Array:
        """Some rows as a dense array; of fixed size, so that it compiles once for all indices.

        Args:
          index: which rows, integers [B], as for an array. Up to `batch_size` of them fit whatever
            they are, so long as they differ; more than that take room for the longest row each.
            Of rows that come again and again, the entries beyond the room are left out, those of
            the last rows first: padding at the end of a batch may hold anything.

        Returns:
          float32 [B, D].
        """
        values, columns, offsets = map(jnp.asarray, (self.values, self.columns, self.offsets))
        index = jnp.asarray(index)
        if not index.shape[0]:
            return jnp.zeros((0, self.width), self.dtype)
        index = jnp.where(index < 0, index + len(self), index).clip(0, len(self) - 1)
        room = max(1, index.shape[0] * self.longest)
        slots = jnp.arange(
            min(room, self.capacity if index.shape[0] <= self.batch_size else values.shape[0]),
            dtype=offsets.dtype,
        )
        starts = offsets[index]
        ends = jnp.cumsum(offsets[index + 1] - starts, dtype=offsets.dtype)
        row = _rows_of(ends, slots.shape[0])  # B from the end of the last row on
        # From a slot to its entry; the rows before it fill the slots up to `ends` of the last.
        shift = starts - jnp.pad(ends[:-1], (1, 0))
        entry = slots + shift.at[row].get(mode="clip")
        value = values.at[entry].get(mode="clip").astype(self.dtype)
        column = columns.at[entry].get(mode="clip")
        dense = jnp.zeros((index.shape[0], self.width), self.dtype)
        return dense.at[row, column].add(value, mode="drop")


def _rows_of(ends: jax.Array, slots: int) -> jax.Array:
    """`jnp.searchsorted(ends, jnp.arange(slots), side="right")`, on a CPU in a tenth of its time.

    Only the first slot of every 32 is looked up; from there on the ends are counted, by a product.
    """
    blocks = -(-slots // 32)
    found = jnp.zeros(32 * blocks, jnp.float32).at[ends].add(1, mode="drop").reshape(blocks, 32)
    upper = jnp.triu(jnp.ones((32, 32), jnp.float32))
    counted = jnp.dot(found, upper, precision="highest").astype(ends.dtype)
    first = jnp.searchsorted(ends, 32 * jnp.arange(blocks, dtype=ends.dtype))
    return (first.astype(ends.dtype)[:, None] + counted).reshape(-1)[:slots]


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse matrix or array of SciPy's kind.

    Args:
      value: anything.

    Returns:
      True if it can be made compressed rows.

    Example:
      >>> is_sparse(np.zeros((2, 3)))
      False
    """
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def compressed(name: str, matrix: Any) -> Any:
    """A sparse matrix as compressed rows of entries that differ, of a dtype that we keep.

    Args:
      name: of the argument.
      matrix: sparse [N, D], of any of SciPy's formats.

    Returns:
      Its CSR: float32, or as it came if of booleans or of integers of at most 16 bits. Entries
      for one place are summed: float32 too where a sum has no room in these. The user's own is
      left as it is and shared where it is so already.

    Raises:
      ValueError, TypeError: if it is not of rank 2, empty, or not of real numbers.

    Example:
      >>> from scipy.sparse import coo_array
      >>> compressed("x", coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(1, 3))).data.tolist()
      [3.0]
    """
    if len(matrix.shape) != 2:
        raise ValueError(
            f"{name} must have the shape [N, D] where it is sparse, got {matrix.shape}"
        )
    if 0 in matrix.shape:
        raise ValueError(f"{name} must not be empty, got the shape {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {matrix.dtype}")
    rows = summed(matrix)
    if rows.dtype in NARROW or rows.dtype == np.float32:
        return rows
    with np.errstate(over="ignore"):  # it becomes inf, which is refused with the others
        data = rows.data.astype(np.float32)
    rows = type(rows)((data, rows.indices, rows.indptr), shape=rows.shape, copy=False)
    rows.has_canonical_format = True  # or SciPy looks again
    return rows


def summed(matrix: Any) -> Any:
    """A sparse matrix as compressed rows, the entries for one place summed.

    SciPy adds them up in the matrix's own dtype, where 300 bytes of 1 are 44, and 300 booleans 1.

    Args:
      matrix: sparse, of real numbers, of any of SciPy's formats.

    Returns:
      Its CSR, sorted, of its dtype; int64 where a sum has no room in that. The user's own is left
      as it is and shared where it is so already.

    Example:
      >>> from scipy.sparse import coo_array
      >>> ones = np.ones(300, np.uint8), (np.zeros(300, int), np.zeros(300, int))
      >>> summed(coo_array(ones, shape=(1, 2))).toarray().tolist()
      [[300, 0]]
    """
    own = matrix.dtype.newbyteorder("=")  # SciPy sums no other order of bytes
    narrow = own in NARROW and not getattr(matrix, "has_canonical_format", True)
    wide = np.dtype(np.int64) if narrow else own
    if wide != matrix.dtype and hasattr(matrix, "coords"):  # whose own `astype` sorts all entries
        matrix = type(matrix)((matrix.data.astype(wide), matrix.coords), shape=matrix.shape)
    elif wide != matrix.dtype:
        matrix = matrix.astype(wide)
    rows = matrix.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if narrow and (rows.data.astype(own) == rows.data).all():
        rows = rows.astype(own)
    return rows


def fill(space: np.ndarray, rows: Any) -> None:
    """Write compressed rows where zeros are: no second dense array is made.

    Args:
      space: zeros [N, D].
      rows: of `compressed` [N, D].

    Example:
      >>> from scipy.sparse import csr_array
      >>> space = np.zeros((1, 3), np.float32)
      >>> fill(space, csr_array([[0, 2, 0]]))
      >>> space.tolist()
      [[0.0, 2.0, 0.0]]
    """
    space[np.repeat(np.arange(len(space)), np.diff(rows.indptr)), rows.indices] = rows.data


def pack(matrix: Any, batch_size: int) -> SparseRows:
    """Pack a sparse matrix for the device.

    Args:
      matrix: sparse [N, D], of any of SciPy's formats, of finite numbers.
      batch_size: B, how many rows a batch will have at most. The room of a batch is that of the B
        longest rows: no batch needs more, all batches share one shape, and one long row adds no
        more than itself.

    Returns:
      The rows, NumPy arrays as yet.

    Raises:
      ValueError, TypeError: if the matrix is not of rank 2, empty, not of real numbers, or has
        2^31 entries or more; if batch_size is no integer of at least 1.

    Example:
      >>> from scipy.sparse import eye_array
      >>> pack(eye_array(100), batch_size=8).capacity
      8
    """
    batch_size = checks.positive_int("batch_size", batch_size)
    rows = compressed("matrix", matrix)
    if rows.nnz >= 2**31:  # JAX counts in int32
        raise ValueError(
            f"matrix must have less than 2^31 entries to lie on a device, got {rows.nnz}; "
            "give it in batches"
        )
    lengths = np.diff(rows.indptr)
    batch_size = min(batch_size, len(lengths))
    others = len(lengths) - batch_size
    longest_rows = np.partition(lengths, others)[others:] if others else lengths
    values, columns = rows.data, rows.indices
    if not len(values):  # there is nothing to gather from an array without elements
        values, columns = np.zeros(1, rows.dtype), np.zeros(1, np.int32)
    return SparseRows(
        values,
        columns.astype(np.int32, copy=False),
        rows.indptr.astype(np.int32, copy=False),
        width=int(rows.shape[1]),
        batch_size=batch_size,
        capacity=max(1, int(longest_rows.sum(dtype=np.int64))),
        longest=int(lengths.max()),
    )


def split(rows: SparseRows, parts: int) -> SparseRows:
    """Packed rows in parts of equal size, one for each device.

    Args:
      rows: of `pack`, N of them.
      parts: how many.

    Returns:
      The same rows in order, each array with a leading axis of `parts`. Each part has N / parts
      rows, rounded up, and one more that is empty: what the place of another part's row stands for.

    Example:
      >>> from scipy.sparse import csr_array
      >>> both = split(pack(csr_array([[0, 2, 0], [0, 0, 0], [1, 0, 3]]), batch_size=2), 2)
      >>> both.values.tolist(), both.offsets.tolist()
      ([[2.0, 0.0], [1.0, 3.0]], [[0, 1, 1, 1], [0, 2, 2, 2]])
    """
    share = -(-len(rows) // parts)
    bounds = np.minimum(np.arange(parts + 1) * share, len(rows))
    starts = rows.offsets[bounds]
    room = max(1, int(np.diff(starts).max()))
    values, columns = (np.zeros((parts, room), of.dtype) for of in (rows.values, rows.columns))
    offsets = np.zeros((parts, share + 2), np.int32)
    for part, (first, last) in enumerate(itertools.pairwise(starts)):
        values[part, : last - first] = rows.values[first:last]
        columns[part, : last - first] = rows.columns[first:last]
        own = rows.offsets[bounds[part] : bounds[part + 1] + 1] - first
        offsets[part] = np.pad(own, (0, share + 2 - len(own)), mode="edge")
    return dataclasses.replace(rows, values=values, columns=columns, offsets=offsets)
