"""Covariates: what encoder and decoder see of a document beside its counts."""

import numbers
from typing import Any, NamedTuple, Self

import numpy as np

from jaxvae.numerics import checks

EPSILON = 10 * np.finfo(np.float64).eps  # a spread of so much of the largest number is rounding


class Column(NamedTuple):
    """One column of covariates, as the documents that were fitted had it.

    Attributes:
      name: in a frame; None elsewhere.
      levels: the names in it, in order; None where it holds numbers.
      loc: the mean of its numbers.
      scale: their standard deviation; 1 where they are all alike.
    """

    name: str | None
    levels: tuple[Any, ...] | None
    loc: float = 0.0
    scale: float = 1.0


class Covariates(NamedTuple):
    """The columns that a model knows.

    Attributes:
      columns: one for each that was given.
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, covariates: Any, counted: np.ndarray) -> Self:
        """Learn what the columns are.

        Args:
          covariates: [N] or [N, C], numbers or names; or a frame of both.
          counted: which documents have a say in means and spreads [N].

        Returns:
          What is known of the columns from now on.

        Raises:
          ValueError, TypeError: if a value is missing, not finite, or neither number nor name.
        """
        found = []
        for i, given in enumerate(_columns(covariates)):
            where = _where(i, given.name)
            if given.is_names:
                found.append(Column(given.name, _levels(where, given.values)))
                continue
            values = _numbers(where, given.values)
            own = values[counted] if len(values) == len(counted) else values
            loc, spread = (float(own.mean()), float(own.std())) if len(own) else (0.0, 0.0)
            alike = not len(own) or spread <= EPSILON * np.abs(own).max()
            found.append(Column(given.name, None, loc, 1.0 if alike else spread))
        return cls(tuple(found))

    @classmethod
    def of_before(cls, known: list[Any]) -> Self:
        """What a pickle of before knows: names, or None for numbers, which had no scale.

        Args:
          known: of each column.

        Returns:
          The columns.
        """
        return cls(tuple(Column(None, None if own is None else tuple(own)) for own in known))

    def read(self, covariates: Any) -> np.ndarray:
        """Covariates as numbers: standardised, and a column for each name.

        Args:
          covariates: as for `of`.

        Returns:
          float32 [N, C'].

        Raises:
          ValueError, TypeError: as `of`; or if the columns are others, or a name is new.
        """
        given = _columns(covariates)
        if len(given) != len(self.columns):
            raise ValueError(f"covariates must have {len(self.columns)} columns, got {len(given)}")
        names = [[column.name for column in own] for own in (self.columns, given)]
        if None not in names[0] and None not in names[1] and names[0] != names[1]:
            raise ValueError(
                f"covariates must have the columns {names[0]}, in their order, got {names[1]}"
            )
        parts = []
        for i, (known, own) in enumerate(zip(self.columns, given, strict=True)):
            where = _where(i, known.name)
            if known.levels is None:
                if own.is_names:
                    raise ValueError(
                        f"covariates must hold numbers {where}, got {own.values[0]!r:.80}"
                    )
                values = (_numbers(where, own.values) - known.loc) / known.scale
                parts.append(checks.data_array(f"covariates {where}", values[:, None]))
                continue
            new = {*_names(where, own.values)} - {*known.levels}
            if new:
                raise ValueError(
                    f"covariates must be of {list(known.levels)} {where}, "
                    f"got {min(new, key=str)!r:.80}"
                )
            levels = np.empty(len(known.levels), object)
            levels[:] = known.levels
            hot = own.values.astype(object)[:, None] == levels[None]
            parts.append(hot.astype(np.float32))
        return np.concatenate(parts, axis=1)


class _Given(NamedTuple):
    name: str | None
    values: np.ndarray
    is_names: bool


def _columns(covariates: Any) -> list[_Given]:
    """Each column by its own dtype."""
    if hasattr(covariates, "iloc"):  # a frame or series of pandas'
        is_frame = covariates.ndim == 2
        frame = covariates if is_frame else covariates.to_frame()
        labels = [name if is_frame and isinstance(name, str) else None for name in frame.columns]
        series = [frame.iloc[:, i] for i in range(frame.shape[1])]
        categories = [hasattr(own.dtype, "categories") for own in series]
        arrays = [own.to_numpy() for own in series]
    elif hasattr(covariates, "get_columns"):  # of polars'
        labels, arrays = list(covariates.columns), [c.to_numpy() for c in covariates.get_columns()]
        categories = [False] * len(arrays)
    elif hasattr(covariates, "column_names"):  # of Arrow's
        labels = list(covariates.column_names)
        arrays = [covariates.column(i).to_numpy() for i in range(len(labels))]
        categories = [False] * len(arrays)
    else:
        array = _array(covariates)
        arrays = [array] if array.ndim == 1 else list(array.T)
        labels, categories = [None] * len(arrays), [False] * len(arrays)
    if not arrays:
        raise ValueError("covariates must have at least one column, got none")
    return [
        _Given(name, values, named or not _is_number(values))
        for name, values, named in zip(labels, arrays, categories, strict=True)
    ]


def _array(covariates: Any) -> np.ndarray:
    if np.ma.is_masked(covariates):
        raise ValueError("covariates must have no masked values")
    try:
        array = np.asarray(covariates)
        if array.dtype.kind in "US" and isinstance(covariates, list | tuple):
            array = np.array(covariates, dtype=object)  # else numbers beside names become texts
    except ValueError as error:
        raise ValueError(f"covariates must be an array, got rows that differ: {error}") from None
    if array.ndim not in (1, 2):
        raise ValueError(f"covariates must have the shape [N] or [N, C], got {array.shape}")
    return array


def _is_number(values: np.ndarray) -> bool:
    if values.dtype.kind != "O":
        return values.dtype.kind in "biuf"
    return all(isinstance(value, numbers.Real | np.bool_) for value in values.tolist())


def _where(place: int, name: str | None) -> str:
    return f"in column {place if name is None else repr(name)}"


def _numbers(where: str, values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    checks.data_array(f"covariates {where}", values[:, None])  # finite as a float32 too
    return values


def _levels(where: str, values: np.ndarray) -> tuple[Any, ...]:
    names = _names(where, values)
    texts = [isinstance(name, str | bytes) for name in names]
    if any(texts) and not all(texts):
        raise TypeError(
            f"covariates must be all numbers or all names {where}, got "
            f"{names[texts.index(True)]!r:.80} beside {names[texts.index(False)]!r:.80}"
        )
    return tuple(sorted({*names}))


def _names(where: str, values: np.ndarray) -> list[Any]:
    """The names in a column; a category may be a number."""
    if values.dtype.kind in "Mm":
        raise TypeError(
            f"covariates must be numbers or names {where}, got dtype {values.dtype}; give dates "
            "as numbers, as years"
        )
    names = values.tolist()
    for row, value in enumerate(names):
        missing = value is None or type(value).__name__ in ("NAType", "NaTType")
        if missing or (isinstance(value, numbers.Real) and value != value):
            raise ValueError(
                f"covariates must not be missing {where}, got {value!r} in row {row}; give what "
                "is unknown a name of its own"
            )
        if not isinstance(value, str | bytes | numbers.Real):
            raise TypeError(
                f"covariates must be numbers or names {where}, got {value!r:.80} in row {row}"
            )
    return names
