"""Values of a data set that are refused, and where they stand in what the user gave."""

from typing import Any

import numpy as np

from jaxvae.data import sparse
from jaxvae.data.labels import Names
from jaxvae.numerics import checks

NEW_MODEL = "with missing=mask (--missing mask) a model is trained on the values that are there"
TRAINED_MODEL = "a run that was trained with --missing mask takes NaN"


def check_finite(
    name: str,
    x: Any,
    shape: tuple[int, ...],
    columns: Names | None,
    *,
    missing: str,
    way_out: str = NEW_MODEL,
) -> None:
    """Refuse what is infinite, and NaN unless it is to be masked.

    Args:
      name: of the argument.
      x: examples [N, D], an array or a CSR, before any of them is held out.
      shape: of an example.
      columns: the names of its values, or None.
      missing: "refuse" or "mask".
      way_out: what can be done about NaN that is refused.

    Raises:
      ValueError: the column and the row are named, or the place in the array.

    Example:
      >>> check_finite("x", np.array([[1.0, np.inf]]), (2,), ("a", "b"), missing="mask")
      Traceback (most recent call last):
      ValueError: column 'b' must be finite, got inf in row 1
    """
    entries = x.data if sparse.is_sparse(x) else x
    if entries.dtype.kind != "f" or (good := np.isfinite(entries)).all():
        return
    if missing == "mask":
        if sparse.is_sparse(x) and np.isnan(entries).any():
            raise ValueError(
                f"{name} must be dense with missing=mask (--missing mask), got a sparse matrix "
                "that holds nan"
            )
        good |= np.isnan(entries)
        if good.all():
            return
    row, column, value = _first(x, ~good)
    what, where = _place(name, row, column, shape, columns)
    hint = checks.beyond(value)
    if np.isnan(value) and not sparse.is_sparse(x):
        hint = f"; {way_out}"
    raise ValueError(f"{what} must be finite, got {value} {where}{hint}")


def check_counts(
    name: str,
    x: Any,
    shape: tuple[int, ...],
    columns: Names | None,
    *,
    whose: str = "",
    whole: bool = True,
) -> None:
    """Refuse what is no count. NaN, which is missing, passes.

    Args:
      name: of the argument.
      x: examples [N, D], an array or a CSR.
      shape: of an example.
      columns: the names of its values, or None.
      whose: what needs the counts, as " for a poisson likelihood".
      whole: whether the rows are those that the user gave, so that one can be named.

    Raises:
      ValueError: the column and the row are named, or the place in the array.

    Example:
      >>> check_counts("x", np.array([[1.0], [0.5]]), (1,), None)
      Traceback (most recent call last):
      ValueError: x must hold counts, integers of at least 0, got 0.5 at index (1, 0)
    """
    entries = x.data if sparse.is_sparse(x) else x
    bad = entries < 0
    if entries.dtype.kind == "f":
        bad |= ~np.isnan(entries) & (entries != np.floor(entries))
    if not bad.any():
        return
    row, column, value = _first(x, bad)
    what, where = _place(name, row, column, shape, columns)
    where = f" {where}" if whole else ""
    raise ValueError(
        f"{what} must hold counts, integers of at least 0,{whose} got {value:g}{where}"
    )


def _first(x: Any, bad: np.ndarray) -> tuple[int, int, Any]:
    """Row, column and value of the first entry that is bad."""
    if not sparse.is_sparse(x):
        row, column = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        return row, column, x[row, column]
    entry = int(bad.argmax())
    row = int(np.searchsorted(x.indptr, entry, side="right")) - 1
    return row, int(x.indices[entry]), x.data[entry]


def _place(
    name: str, row: int, column: int, shape: tuple[int, ...], columns: Names | None
) -> tuple[str, str]:
    """What a value is of, and where it stands: by its column, or by its index."""
    if columns is not None and column < len(columns):
        return f"column {columns[column]!r}", f"in row {row + 1}"
    inside = (int(i) for i in np.unravel_index(column, shape))
    return name, f"at index {(row, *inside)}"
