"""What a user gave as x, mask or condition, made arrays and checked."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.tree_util import keystr

from jaxvae.data import sparse
from jaxvae.numerics import checks

INT32 = np.iinfo(np.int32)


def x_arrays(name: str, value: Any) -> Any:
    """Examples as arrays, not yet known to be finite.

    Args:
      name: of the argument.
      value: sparse, a mapping or NamedTuple of arrays, an array, a list, or an AnnData.

    Returns:
      A CSR or an array [N, ...], or dicts and NamedTuples of these, all of one length. Booleans
      and integers of at most 16 bits stay such; all else is float32.

    Raises:
      ValueError, TypeError: what is wrong, with the name of the leaf.

    Example:
      >>> x_arrays("x", {"counts": [[1, 2], [0, 3]]})["counts"].dtype
      dtype('float32')
    """
    tree = _tree(name, value, _x_array)
    leaves = jax.tree.leaves_with_path(tree)
    if not leaves:
        raise ValueError(f"{name} must hold at least one array, got {value!r}")
    (first_path, first), *others = leaves
    for path, leaf in others:
        if leaf.shape[0] != first.shape[0]:
            raise ValueError(
                f"{name}{keystr(path)} must have as many examples as {name}{keystr(first_path)}, "
                f"{first.shape[0]}, got {leaf.shape[0]}"
            )
    return tree


def mask_arrays(name: str, value: Any, x: Any) -> Any:
    """A mask as booleans.

    Args:
      name: of the argument.
      value: of x's shape, of True and False or of 1 and 0; where x is a pytree, one like it.
      x: of `x_arrays`.

    Returns:
      Booleans in the form of x.

    Raises:
      ValueError, TypeError: what is wrong, with the name of the leaf.

    Example:
      >>> mask_arrays("mask", [[1, 0]], np.zeros((1, 2))).tolist()
      [[True, False]]
    """
    tree = _tree(name, value, lambda name, leaf: checks.real_array(name, leaf, boolean=True))
    masks, arrays = jax.tree.leaves_with_path(tree), jax.tree.leaves_with_path(x)
    expected, found = ([keystr(path) for path, _ in own] for own in (arrays, masks))
    if expected != found:
        # An array that is alone has no path.
        parts = [", ".join(own) or "an array" for own in (expected, found)]
        raise ValueError(f"{name} must have the parts of x, {parts[0]}, got {parts[1]}")

    def booleans(name: str, mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        if mask.shape != shape:
            raise ValueError(f"{name} must have the shape of x, {shape}, got {mask.shape}")
        bad = (mask != 0) & (mask != 1)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name} must hold True and False or 1 and 0, got {mask[place]} at index {place}"
            )
        return mask.astype(bool, copy=False)

    each = [
        booleans(name + keystr(path), mask, leaf.shape)
        for (path, mask), (_, leaf) in zip(masks, arrays, strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(x), each)


def finite(name: str, x: Any, mask: Any = None) -> Any:
    """Refuse examples that are not finite where they were seen.

    Args:
      name: of the argument.
      x: of `x_arrays`.
      mask: of `mask_arrays`, or None.

    Returns:
      x, with 0 where the mask is False and a value was not finite.

    Raises:
      ValueError: if a value was seen and is NaN or infinite.

    Example:
      >>> finite("x", np.array([[1.0, np.nan]]), np.array([[True, False]])).tolist()
      [[1.0, 0.0]]
    """

    def checked(path: Any, leaf: Any, seen: np.ndarray | None = None) -> Any:
        own = name + keystr(path)
        if sparse.is_sparse(leaf):
            return _finite_entries(own, leaf, seen)
        if leaf.dtype in sparse.NARROW:
            return leaf
        if seen is not None and not (good := np.isfinite(leaf)).all():
            leaf = np.where(good | seen, leaf, np.float32(0))
        checks.finite_array(own, leaf)
        return leaf

    return jax.tree.map_with_path(checked, x, *([] if mask is None else [mask]))


def condition_arrays(name: str, value: Any, examples: int) -> Any:
    """A condition as arrays of finite numbers.

    Args:
      name: of the argument.
      value: an array [N, ...], or a mapping, NamedTuple or tuple of such.
      examples: N.

    Returns:
      The same pytree of float32; integers and booleans as int32.

    Raises:
      ValueError, TypeError: what is wrong, with the name of the leaf.

    Example:
      >>> condition_arrays("condition", (np.zeros(2), np.array([3, 4])), 2)[1].dtype
      dtype('int32')
    """

    def array(name: str, leaf: Any) -> np.ndarray:
        if sparse.is_sparse(leaf):
            raise TypeError(f"{name} must be a dense array, got a sparse one of {leaf.shape}")
        array = checks.real_array(name, leaf, boolean=True)
        if array.shape[:1] != (examples,):
            raise ValueError(
                f"{name} must have one row for each of {examples} examples, the shape "
                f"({examples}, ...), got {array.shape}"
            )
        if array.size == 0:
            raise ValueError(f"{name} must not be empty, got the shape {array.shape}")
        if array.dtype.kind in "biu":
            bad = (array < INT32.min) | (array > INT32.max)
            if bad.any():
                raise ValueError(
                    f"{name} must be from -2^31 to 2^31 - 1 where it holds integers, "
                    f"got {array[bad][0]}"
                )
            return array.astype(np.int32, copy=False)
        array = _float32(array)
        checks.finite_array(name, array)
        return array

    tree = _tree(name, value, array, tuples=True)
    if not jax.tree.leaves(tree):
        raise ValueError(f"{name} must hold at least one array, got {value!r}")
    return tree


def is_tree(value: Any) -> bool:
    """Whether a value is a pytree of parts by our rules: a mapping or a NamedTuple.

    Args:
      value: anything.

    Returns:
      False for a list or a plain tuple, which are rows.

    Example:
      >>> is_tree({"a": 1}), is_tree(([1], [2]))
      (True, False)
    """
    return isinstance(value, Mapping) or (isinstance(value, tuple) and hasattr(value, "_fields"))


def is_annotated(value: Any) -> bool:
    """Whether a value is an AnnData, by what it has.

    Args:
      value: anything.

    Returns:
      True if it has X, obs and var, and is no array (a table may have columns of these names).

    Example:
      >>> is_annotated(np.zeros((2, 3)))
      False
    """
    parts = ("X", "obs", "var")
    return not hasattr(value, "__array__") and all(hasattr(value, part) for part in parts)


def is_frame(value: Any) -> bool:
    """Whether a value is a DataFrame, of pandas or of polars, by what it has.

    Args:
      value: anything.

    Returns:
      True if it has columns, and gives them one by one.

    Example:
      >>> is_frame({"a": [1]})
      False
    """
    return hasattr(value, "columns") and (hasattr(value, "iloc") or hasattr(value, "get_columns"))


def _tree(name: str, value: Any, leaf: Callable[[str, Any], Any], *, tuples: bool = False) -> Any:
    """The arrays of a value by `leaf(name, value)`, in the dicts and NamedTuples that hold them."""

    def part(name: str, value: Any) -> Any:
        return _tree(name, value, leaf, tuples=tuples)

    if sparse.is_sparse(value):
        return leaf(name, value)
    if isinstance(value, Mapping):
        strange = [key for key in value if not isinstance(key, str)]
        if strange:  # JAX sorts the keys
            raise TypeError(f"{name} must have strings for keys, got {strange[0]!r}")
        return {key: part(f"{name}[{key!r}]", value[key]) for key in value}
    if is_tree(value):
        return type(value)(*(part(f"{name}.{f}", v) for f, v in value._asdict().items()))
    if tuples and isinstance(value, tuple):
        return tuple(part(f"{name}[{i}]", own) for i, own in enumerate(value))
    if is_annotated(value):
        return part(f"{name}.X", value.X)
    return leaf(name, value)


def _x_array(name: str, value: Any) -> Any:
    if sparse.is_sparse(value):
        return sparse.compressed(name, value)
    array = checks.real_array(name, value, boolean=True)
    if array.ndim < 2:
        hint = "; reshape(-1, 1) makes each of its numbers an example" if array.ndim else ""
        raise ValueError(
            f"{name} must have the shape [N, D] (rank 2), got {array.shape}, or more axes{hint}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got the shape {array.shape}")
    return array if array.dtype in sparse.NARROW else _float32(array)


def _float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which is refused
        return array.astype(np.float32, copy=False)


def _finite_entries(name: str, rows: Any, seen: np.ndarray | None) -> Any:
    """`finite` of a CSR."""
    bad = np.flatnonzero(~np.isfinite(rows.data))
    if not len(bad):
        return rows
    row = np.searchsorted(rows.indptr, bad, side="right") - 1
    column = rows.indices[bad]
    counts = np.ones(len(bad), bool) if seen is None else seen[row, column]
    if counts.any():
        first = int(np.argmax(counts))
        place = (int(row[first]), int(column[first]))
        value = rows.data[bad[first]]
        raise ValueError(
            f"{name} must be finite, got {value} at index {place}{checks.beyond(value)}"
        )
    rows = rows.copy()
    rows.data[bad] = 0
    return rows
