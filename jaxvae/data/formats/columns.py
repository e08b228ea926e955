"""The columns of a table in memory, pandas' or polars': as numbers, as labels, as texts."""

import decimal
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxvae.data.formats.source import brief, each_once, label_strings, needed

COARSE = 1e5  # deviations from 0, beyond which the seven digits of float32 are too few


class Table(NamedTuple):
    """A table in memory, of either kind.

    Attributes:
      columns: pandas' or polars' series by their names.
      row_names: where the table has such, or None.
      rows: how many.

    Example:
      >>> import pandas as pd
      >>> opened(pd.DataFrame({"a": [1, 2]})).names
      ['a']
    """

    columns: dict[str, Any]
    row_names: tuple[str, ...] | None
    rows: int

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self.columns)


class NotNumbers(NamedTuple):
    """Why a column is not of numbers: a value of it, as it is shown, and its row.

    Example:
      >>> NotNumbers("'Paris'", 1).row
      1
    """

    value: str
    row: int
    long: bool = False  # a text of several words


def opened(frame: Any) -> Table:
    """A data frame as a table.

    Args:
      frame: pandas' or polars' DataFrame, or an Arrow table.

    Returns:
      The table, sharing the frame's memory.

    Raises:
      TypeError: if it is none of these.

    Example:
      >>> import pandas as pd
      >>> opened(pd.DataFrame({0: [1], 1: [2]}, index=["first"])).row_names
      ('first',)
    """
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        pandas = needed("pandas", "a DataFrame")
        index = frame.index
        plain = isinstance(index, pandas.RangeIndex) and index.start == 0 and index.step == 1
        names = None if plain else tuple(" ".join(map(str, _parts(name))) for name in index)
        series = (frame.iloc[:, i] for i in range(frame.shape[1]))
        return Table(dict(zip(_names(frame.columns), series, strict=True)), names, len(frame))
    if hasattr(frame, "get_columns") and hasattr(frame, "height"):
        columns = zip(_names(frame.columns), frame.get_columns(), strict=True)
        return Table(dict(columns), None, frame.height)
    if hasattr(frame, "collect") and hasattr(frame, "lazy"):
        raise TypeError("frame must be a DataFrame, got a lazy one: collect() it first")
    if hasattr(frame, "to_pandas") and hasattr(frame, "column_names"):
        return opened(frame.to_pandas())
    raise TypeError(f"frame must be a DataFrame of pandas or polars, got {type(frame).__name__}")


def numbers(column: Any) -> np.ndarray | NotNumbers:
    """A column as numbers.

    Args:
      column: of a `Table`.

    Returns:
      A NumPy array [N] of booleans, integers or floats, NaN where a cell is missing; the column's
      own memory where that can be. Or what is not a number in it.

    Example:
      >>> import pandas as pd
      >>> numbers(pd.Series([True, None])).tolist(), numbers(pd.Series(["1", "?"])).value
      ([1.0, nan], "'?'")
    """
    if _is_polars(column):
        dtype = column.dtype
        if dtype.is_numeric() and not dtype.is_decimal():
            return column.to_numpy()
        if str(dtype).partition("(")[0] in ("Boolean", "Null", "Decimal"):
            return column.cast(float).to_numpy()
        return _first_bad(column)
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return column.to_numpy()
    types = needed("pandas", "a DataFrame").api.types
    if hasattr(column, "cat"):
        categories = numbers(column.cat.categories.to_series())
        if isinstance(categories, NotNumbers):
            return _first_bad(column)
        codes = column.cat.codes.to_numpy()
        return np.append(categories.astype(np.float64), np.nan)[codes]  # -1 is the last
    if not isinstance(dtype, np.dtype) and (
        types.is_bool_dtype(dtype) or types.is_numeric_dtype(dtype)
    ):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if types.is_object_dtype(dtype) and _are_numbers(column, types.infer_dtype(column)):
        seen = column.notna().to_numpy()
        found = np.full(len(column), np.nan)
        found[seen] = column.to_numpy()[seen].astype(np.float64)
        return found
    return _first_bad(column)


# What pandas calls objects that are numbers.
NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal", "empty")
REAL = (int, float, decimal.Decimal, np.bool_, np.integer, np.floating)


def labels(column: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A column as labels.

    Args:
      column: of a `Table`.

    Returns:
      The labels [N] as they stand there, missing ones None or NaN, and their names in order where
      the column has one: categories of pandas, an Enum of polars. Then the labels are such names.

    Raises:
      TypeError: if a cell is a list or the like.

    Example:
      >>> import pandas as pd
      >>> labels(pd.Series(["b", None], dtype=pd.CategoricalDtype(["b", "a"])))
      (array(['b', None], dtype=object), ('b', 'a'))
    """
    if _is_polars(column):
        kind = str(column.dtype).partition("(")[0]
        names = tuple(column.dtype.categories) if kind == "Enum" else None
        if column.dtype.is_numeric() and (column.dtype.is_float() or not column.null_count()):
            return column.to_numpy(), None
        return _objects(column.to_list()), names
    if hasattr(column, "cat"):
        names = tuple(str(name) for name in column.cat.categories)
        table = np.array([*names, None], dtype=object)
        codes = column.cat.codes.to_numpy()
        return (table[codes] if (codes < 0).any() else label_strings(table[codes])), names
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.to_numpy(), None
    seen = column.notna().to_numpy()
    values = column.to_numpy(dtype=object)
    if seen.all():
        return _objects(values.tolist()), None
    return _objects([v if s else None for v, s in zip(values.tolist(), seen, strict=True)]), None


def strings(column: Any) -> list[str | None]:
    """A column as strings.

    Args:
      column: of a `Table`.

    Returns:
      The string of each cell [N], None where it is missing.

    Example:
      >>> import pandas as pd
      >>> strings(pd.Series(["a", None, 3]))
      ['a', None, '3']
    """
    cells = column.to_list() if _is_polars(column) else column.astype(object).tolist()
    return [None if is_missing(cell) else str(cell) for cell in cells]


def is_missing(cell: Any) -> bool:
    """Whether a cell is empty.

    Args:
      cell: any value.

    Returns:
      True for None, NaN, and pandas' NA and NaT.

    Example:
      >>> is_missing(float("nan")), is_missing("")
      (True, False)
    """
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float | np.floating) and math.isnan(cell)


def is_coarse(column: Any) -> bool:
    """Whether a column lies so far from 0, beside its spread, that float32 loses what it says.

    Args:
      column: an array [N] of numbers, as they stand in the table; NaN where a cell is missing.

    Returns:
      True where the mean is beyond 1e5 standard deviations: float32 has seven digits. False for
      one number alone.

    Example:
      >>> is_coarse(np.array([1.7e9, 1.7e9 + 1])), is_coarse(np.array([1.7e9, 1.7e9]))
      (True, False)
    """
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "iuf":
        return False
    low, high = float(np.fmin.reduce(column)), float(np.fmax.reduce(column))  # NaN left out
    # The deviation is at least the range over the square root of 2 N: most columns end here.
    least = (high - low) / (2 * len(column)) ** 0.5
    if not -np.inf < low < high < np.inf or max(-low, high) <= COARSE * least:
        return False
    values = column.astype(np.float64)
    values = values[np.isfinite(values)] - low
    return bool(abs(low + values.mean()) > COARSE * values.std())


def filled(columns: list[np.ndarray], rows: int) -> np.ndarray:
    """Columns side by side, in one float32 array.

    Args:
      columns: D arrays [N] of numbers.
      rows: N.

    Returns:
      float32 [N, D], in rows.

    Example:
      >>> filled([np.array([1, 2]), np.array([0.5, np.nan])], 2).tolist()
      [[1.0, 0.5], [2.0, nan]]
    """
    x = np.empty((rows, len(columns)), np.float32)
    step = max(256, 2**17 // max(1, len(columns)))  # rows that fit in a processor's cache
    with np.errstate(over="ignore"):  # it becomes inf, which is refused with the others
        for start in range(0, rows, step):
            part = x[start : start + step]
            for i, column in enumerate(columns):
                part[:, i] = column[start : start + step]
    return x


def _is_polars(column: Any) -> bool:
    return hasattr(column, "null_count")


def _parts(name: Any) -> tuple[Any, ...]:
    return name if isinstance(name, tuple) else (name,)


def _names(columns: Iterable[Any]) -> tuple[str, ...]:
    """Names as strings, each once; one of several levels by all of them."""
    return each_once((" ".join(map(str, _parts(name))) for name in columns), ".")


def _objects(values: list[Any]) -> np.ndarray:
    """Labels as an array: of strings or booleans where they all are such, else of objects."""
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.array(values, dtype=bool)
    if all(isinstance(value, str) for value in values):
        return label_strings(values)
    for row, value in enumerate(values):
        if isinstance(value, list | dict | set | np.ndarray):
            raise TypeError(f"a label must be one value, got {brief(value)} in row {row + 1}")
    if all(isinstance(value, int | np.integer) for value in values):
        return np.array(values)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _are_numbers(column: Any, kind: str) -> bool:
    """Whether objects are numbers, of one or several kinds."""
    if kind in NUMBERS or not kind.startswith("mixed"):
        return kind in NUMBERS
    return all(isinstance(cell, REAL) or is_missing(cell) for cell in column)


def _first_bad(column: Any) -> NotNumbers:
    """The first cell of a column that is no number."""
    first = None
    for row, cell in enumerate(column):
        if is_missing(cell):
            continue
        shown = brief(
            cell if isinstance(cell, str) or not hasattr(cell, "isoformat") else str(cell)
        )
        long = isinstance(cell, str) and len(cell.split()) > 5
        found = NotNumbers(shown, row + 1, long)
        first = first or found
        if not _reads_as_number(cell):
            return found
    return first or NotNumbers("no value", 0)


def _reads_as_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True
