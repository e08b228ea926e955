"""Labels as people have them become codes from 0 on, and names."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxvae.numerics import checks

Names = tuple[str, ...]
MISSING = -1  # the code of a label that is missing


def encode_labels(
    y: Any, names: Sequence[str] | None = None, *, allow_none: bool = False
) -> tuple[np.ndarray, Names]:
    """Encode labels by one rule: the number of a name in the sorted names.

    Strings, booleans, numbers with gaps, columns [N, 1], one-hot rows [N, K] and categories of
    pandas are taken. None, NaN, NaT, an empty string and -1 are missing labels; -1 is a label where
    the labels are -1 and 1, or one is lower still.

    Args:
      y: labels [N], or one of the forms above.
      names: those that a model knows, in its order; None finds them in y.
      allow_none: whether all labels may be missing, or there be as many as examples.

    Returns:
      Codes, int32 [N], -1 where a label is missing; and the names in the order of their codes:
      numbers by size, strings by the alphabet, categories in their own order.

    Raises:
      ValueError: if a label is not of `names`, if all are missing, or if there are as many labels
        as a measurement has values.
      TypeError: if y holds what names no category, as dates or fractions.

    Example:
      >>> codes, names = encode_labels(["dog", "cat", None, "dog"])
      >>> codes.tolist(), names
      ([1, 0, -1, 1], ('cat', 'dog'))
      >>> encode_labels([0, 100, 900])[1]
      ('0', '100', '900')
    """
    values, own = _values("y", y)
    order = own if names is None else tuple(map(str, names))
    values = _without_missing(values, order)
    return _encoded("y", values, order, found=names is None and not allow_none)


def encode_together(
    named: dict[str, Any],
    order: Names | None = None,
    known: Names | None = None,
    *,
    rows: bool = False,
) -> tuple[list[np.ndarray], Names]:
    """Encode several arrays of labels alike, as those to train on and those held out.

    Args:
      named: the arrays by the names of the arguments that they are.
      order: the names in the order that the source has; None sorts them. A name that no example
        has gets no number.
      known: the names that a model knows, and there are no others; None: those that are there.
      rows: whether a label that is refused is of a table: then its row is named, the first one 1.

    Returns:
      Their codes, and the names of all.

    Raises:
      ValueError, TypeError: as `encode_labels`; the argument is named.

    Example:
      >>> encode_together({"y": ["b"], "y_test": ["a", "b"]})[1]
      ('a', 'b')
    """
    each = {name: _values(name, value) for name, value in named.items()}
    values = [values for values, _ in each.values()]
    joined = np.concatenate(values)
    order = known or order or next((own for _, own in each.values() if own is not None), None)
    joined = _without_missing(joined, order)  # of all at once: -1 is the same in each
    codes, names = _encoded(next(iter(named)), joined, order, order is None, rows)
    used = np.unique(codes[codes != MISSING])
    if known is None and len(used) < len(names):  # categories that no example has
        place = np.full(len(names) + 1, MISSING, np.int32)
        place[used] = np.arange(len(used))
        codes, names = place[codes], tuple(names[k] for k in used)
    ends = np.cumsum([len(value) for value in values])[:-1]
    return np.split(codes, ends), names


def plain_labels(name: str, value: Any, examples: int) -> np.ndarray:
    """Labels that are codes already, in whatever form: nothing is renamed.

    Args:
      name: of the argument.
      value: integers, whole floats, booleans, a column [N, 1] or one-hot rows [N, K]; None, NaN
        and -1 are missing labels.
      examples: N.

    Returns:
      int32 [N].

    Raises:
      ValueError, TypeError: if they are no such labels; names are to be encoded first.

    Example:
      >>> plain_labels("y", [[0.0, 1.0], [1.0, 0.0]], 2).tolist()
      [1, 0]
    """
    array = _array(name, value)
    if array.dtype.kind in "iu" and array.ndim != 2:
        return checks.label_array(name, array, examples, missing=True)
    values, _ = _values(name, value)
    text = next((one for one in values if isinstance(one, str)), None)
    if text is not None:
        raise TypeError(
            f"{name} must hold integers from 0 on, got names such as {text!r}: "
            "`jaxvae.datasets.encode_labels(y)` makes numbers of them"
        )
    codes = np.array([MISSING if one is None else one for one in values])
    if codes.dtype == bool:
        codes = codes.astype(np.int32)
    return checks.label_array(name, codes, examples, missing=True)


def names_of(classes: Any) -> Names:
    """What labels are called where each stands once, in whatever order.

    Args:
      classes: [K], an array.

    Returns:
      Their names [K], as `encode_labels` has them: whole floats are integers.

    Example:
      >>> names_of(np.array([2.0, 1.0]))
      ('2', '1')
    """
    each = np.asarray(classes).tolist()
    return tuple(
        str(int(one) if isinstance(one, float) and one.is_integer() else one) for one in each
    )


def _values(name: str, value: Any) -> tuple[np.ndarray, Names | None]:
    """Each label as an int, a bool, a string, or None where it is missing, dtype object [N]; and
    the names of all, where what was given has an order of its own.
    """
    order = _categories(value)
    if order is not None:
        codes = np.asarray(value.cat.codes if hasattr(value, "cat") else value.codes)
        each = [None if code < 0 else order[code] for code in codes]
        return _objects(each), order
    columns = getattr(value, "columns", None)
    array = _array(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if (hot := _one_hot(array)) is not None:
        names: list[Any] = list(range(array.shape[1]) if columns is None else map(str, columns))
        each = [None if code < 0 else names[code] for code in hot]
        return _objects(each), tuple(map(str, names))
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be labels [N], a column [N, 1] or one-hot rows [N, K], "
            f"got the shape {array.shape}"
        )
    return _plain(name, array), None


def _categories(value: Any) -> Names | None:
    """The categories of a pandas Categorical or of a Series of one."""
    dtype = getattr(value, "dtype", None)
    categories = getattr(dtype, "categories", None)
    if categories is None or not (hasattr(value, "cat") or hasattr(value, "codes")):
        return None
    return tuple(map(str, categories))


def _array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "toarray"):  # a sparse one-hot
        value = value.toarray()
    if np.ma.is_masked(value):
        masked = np.ma.getmaskarray(value)
        value = np.ma.getdata(value).astype(object)
        value[masked] = None
    plain = isinstance(value, list | tuple)
    if plain and any(one is None or isinstance(one, str | bytes) for one in value):
        return _objects(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array, got rows that differ: {error}") from None
    return array


def _one_hot(array: np.ndarray) -> np.ndarray | None:
    """The codes of rows that are one-hot, -1 where all of a row is 0 or NaN; else None."""
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return None
    values = np.where(np.isnan(array), 0, array) if array.dtype.kind == "f" else array
    if not np.isin(values, (0, 1)).all() or (sums := values.sum(axis=1)).max(initial=0) > 1:
        return None
    return np.where(sums == 1, values.argmax(axis=1), MISSING)


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """The labels [N] of an array as objects: None where one is missing."""
    kind = array.dtype.kind
    if kind in "Mm":
        raise TypeError(
            f"{name} must name categories, got dates or durations, {array.dtype}; as text they are "
            "names"
        )
    if kind == "b":
        return array.astype(object)
    if kind in "iu":
        return _objects(array.tolist())
    if kind == "f":
        return _whole(name, array)
    if kind in "SUTO":
        return _objects([_one(name, value) for value in array.tolist()])
    raise TypeError(f"{name} must hold names, integers or booleans, got dtype {array.dtype}")


def _whole(name: str, array: np.ndarray) -> np.ndarray:
    """Floats as integers; NaN as a marker below all of them."""
    known = array[~np.isnan(array)]
    if (bad := known != np.round(known)).any() or (np.abs(known) >= 2**53).any():
        shown = known[bad][0] if bad.any() else known[np.abs(known).argmax()]
        raise TypeError(
            f"{name} must name categories, got {shown}: a measurement is no label; "
            "for bins use names, as text"
        )
    out = np.full(array.shape, None, object)
    out[~np.isnan(array)] = [int(one) for one in known]
    return out


def _without_missing(values: np.ndarray, names: Names | None) -> np.ndarray:
    """Labels with None for -1 where it stands for a missing one: by the names, where they are
    known, else by the other labels.
    """
    each = values.tolist()
    known = {one for one in each if one is not None}
    numbers = {one for one in known if type(one) is int}
    if names is None:
        stands = min(numbers, default=0) == MISSING and known != {-1, 1}
    else:
        stands = str(MISSING) not in names
    return _objects(None if stands and one == MISSING else one for one in each)


def _one(name: str, value: Any) -> Any:
    """One label of an array of objects or strings."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas's own
        return None
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and value == round(value):
        return int(value)
    raise TypeError(f"{name} must hold names, integers or booleans, got {value!r}")


def _objects(values: Iterable[Any]) -> np.ndarray:
    each = list(values)
    out = np.empty(len(each), object)
    out[:] = each
    return out


def _encoded(
    name: str, values: np.ndarray, order: Names | None, found: bool, rows: bool = False
) -> tuple[np.ndarray, Names]:
    present = {value for value in values.tolist() if value is not None}
    if not present:
        if found:
            raise ValueError(f"{name} must hold a label, got {len(values)} that are missing")
        return np.full(len(values), MISSING, np.int32), order or ()
    if order is None:
        if found and len(present) > 100 and 2 * len(present) > len(values):
            raise ValueError(
                f"{name} must name categories, got {len(present)} different ones for "
                f"{len(values)} examples, such as {next(iter(present))!r}"
            )
        order = _sorted(present)
    place = {one: code for code, one in enumerate(order)}
    if len(place) < len(order):
        twice = next(one for one in order if order.count(one) > 1)
        raise ValueError(f"{name} must have names that differ, got {twice!r} twice")
    codes = np.empty(len(values), np.int32)
    for i, value in enumerate(values.tolist()):
        code = MISSING if value is None else place.get(str(value))
        if code is None:
            where = f"in row {i + 1}" if rows else f"at index {i}"
            raise ValueError(f"{name} must hold labels of {_list(order)}, got {value!r} {where}")
        codes[i] = code
    return codes, order


def _sorted(present: set[Any]) -> Names:
    """Numbers by size, booleans as False and True, all else by the alphabet."""
    if all(isinstance(one, bool) for one in present):
        return ("False", "True")
    if all(isinstance(one, int) for one in present):
        return tuple(str(one) for one in sorted(present))
    names = sorted({str(one) for one in present})
    if all(_is_number(one) for one in names):
        names.sort(key=float)
    return tuple(names)


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _list(names: Names, most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"
