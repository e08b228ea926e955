"""Rows of others' data sets, torch's and Hugging Face's, as a stream of batches."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae._door import door
from jaxvae.data.formats import row_values
from jaxvae.data.formats.passes import Passes
from jaxvae.data.formats.source import LABEL_NAMES, NO_LABEL, brief, listed
from jaxvae.data.labels import MISSING, plain_labels
from jaxvae.numerics import checks

ONCE = (
    "source must be readable once an epoch: a data set, or a function that returns an iterator "
    "(lambda: ...); got {}, which can be read once only"
)
Fetch = Callable[[Sequence[int]], Any]


@door("datasets")
class RowStream(Passes):
    """Batches of a source's rows, read as they are needed: what `stream_rows` gives.

    It can be read again and again, as `fit` does. Each pass gives every row once, and one batch is
    made at a time.

    Args:
      source, batch_size, x, y: as `stream_rows` takes them.

    Attributes:
      shape: of an example.
      label_names: in the order of the labels' numbers, where the source has names; else None.

    Raises:
      ValueError, TypeError: as `stream_rows`.

    Example:
      >>> stream = RowStream([(np.zeros(3), 0), (np.ones(3), 1)], batch_size=2)
      >>> [(x.shape, y.tolist()) for x, y in stream], len(stream)
      ([((2, 3), [0, 1])], 2)
    """

    def __init__(self, source: Any, *, batch_size: int, x: str | None = None, y: str | None = None):
        self._batch_size = checks.positive_int("batch_size", batch_size)
        _refuse(source)
        self._source = source
        self._fetch, first = _first(source)
        first = _plain(first)
        self._paired = isinstance(first, tuple) and len(first) == 2
        fields = _fields(first)
        if fields is not None:
            features = getattr(source, "features", None)
            features = features if isinstance(features, Mapping) else {}
            self._y = _label_field(fields, features, x, y)
            self._x: str | None = _example_field(fields, x, self._y)
            kept = [name for name in (self._x, self._y) if name is not None]
            if len(kept) < len(fields) and hasattr(source, "select_columns"):
                self._source = source.select_columns(kept)  # no other column is decoded
                self._fetch = self._fetch and _first(self._source)[0]
        else:
            for name, value in (("x", x), ("y", y)):
                if value is not None and (name, value) != ("y", NO_LABEL):
                    raise ValueError(
                        f"{name} names a field, and the rows of source have none; got {value!r}"
                    )
            self._x, self._y = None, "y" if self._paired and y != NO_LABEL else None
            features = {}
        self.label_names: tuple[str, ...] | None = None
        names = _names(source, features.get(self._y))
        if self._y is not None and isinstance(names, list | tuple):
            self.label_names = tuple(map(str, names))
        value, label = self._pair(0, first)
        self.shape = row_values.example("row 0 of source", value).shape
        if self._y is not None:
            self._labels([label])

    def _check_numbered(self) -> None:
        if self._fetch is None:
            raise TypeError(
                "source must have a length and rows by number to be shuffled, "
                f"got {brief(self._source)}; what shuffles it itself may be given instead"
            )

    def __len__(self) -> int:
        if self._fetch is None:
            raise TypeError("the rows of this stream cannot be counted before they are read")
        return len(self._source)

    def __iter__(self) -> Iterator[Any]:
        counted = self._fetch is not None
        return self._batches(self._next_order(len(self)) if counted else None)

    def _batches(self, order: Sequence[int] | None) -> Iterator[Any]:
        blocks = self._numbered(order) if order is not None else self._passed()
        for numbers, rows in blocks:
            if isinstance(rows, Mapping):  # a slice of columns
                examples, labels = rows[self._x], None if self._y is None else rows[self._y]
            else:
                pairs = [self._pair(n, row) for n, row in zip(numbers, rows, strict=True)]
                examples, labels = (list(part) for part in zip(*pairs, strict=True))
            x = self._stacked(numbers, examples)
            yield x if self._y is None else (x, self._labels(labels))

    def _numbered(self, order: Sequence[int]) -> Iterator[tuple[Sequence[int], Any]]:
        assert self._fetch is not None
        for start in range(0, len(order), self._batch_size):
            numbers = order[start : start + self._batch_size]
            yield numbers, self._fetch(numbers)

    def _passed(self) -> Iterator[tuple[Sequence[int], Any]]:
        rows, start = _opened(self._source), 0
        while block := list(itertools.islice(rows, self._batch_size)):
            yield range(start, start + len(block)), block
            start += len(block)

    def _pair(self, number: int, row: Any) -> tuple[Any, Any]:
        """A row's example and label."""
        where, row = f"row {number} of source", _plain(row)
        if self._x is not None:
            fields = _fields(row)
            for name in (self._x, self._y):
                if fields is None or (name is not None and name not in fields):
                    got = brief(row) if fields is None else listed(list(fields))
                    raise ValueError(f"{where} must have the field {name!r}, got {got}")
            assert fields is not None
            return fields[self._x], None if self._y is None else fields[self._y]
        if (isinstance(row, tuple) and len(row) > 2) or _fields(row) is not None:
            raise TypeError(
                f"{where} must be x, a pair (x, y), or a mapping of fields as row 0, "
                f"got {type(row).__name__} of {len(row)}"
            )
        if (isinstance(row, tuple) and len(row) == 2) != self._paired:
            wanted = "a pair (x, y)" if self._paired else "x alone"
            raise TypeError(f"{where} must be {wanted} as row 0, got {brief(row)}")
        if self._paired:
            return row
        return (row[0] if isinstance(row, tuple) and len(row) == 1 else row), None

    def _stacked(self, numbers: Sequence[int], values: Any) -> np.ndarray:
        """x of a batch [B, ...], of a list or of an array."""
        if not isinstance(values, list):
            whole = row_values.array(values)
            if whole.dtype.kind in "biuf" and whole.shape[1:] == self.shape:
                return whole
        each = [
            row_values.example(f"row {number} of source", value)
            for number, value in zip(numbers, values, strict=True)
        ]
        for number, one in zip(numbers, each, strict=True):
            if one.shape != self.shape:
                raise ValueError(
                    f"row {number} of source must have the shape of row 0, {self.shape}, "
                    f"got {one.shape}"
                )
        return np.stack(each)

    def _labels(self, values: Any) -> np.ndarray:
        """y of a batch, int32 [B]."""
        each, names = [row_values.label(value) for value in values], self.label_names
        if names is None:
            return plain_labels("y", each, len(each))
        place = {name: code for code, name in enumerate(names)}
        for i, one in enumerate(each):
            if isinstance(one, str):
                if one and one not in place:
                    raise ValueError(f"y must hold labels of {listed(names)}, got {one!r}")
                each[i] = place.get(one, MISSING)
        codes = plain_labels("y", each, len(each))
        if codes.max() >= len(names):
            raise ValueError(f"y must be below {len(names)}, the names there are: {codes.max()}")
        return codes


def stream_rows(
    source: Any, *, batch_size: int, x: str | None = None, y: str | None = None
) -> RowStream:
    """Make a stream of batches of a data set of torch or of Hugging Face, or of any rows.

    Args:
      source: what has a length and rows by number (torch's `Dataset`, Hugging Face's), any
        iterable of rows that can be read again (Hugging Face's `IterableDataset`), or a function
        that returns an iterator. A row is x, a pair (x, y), or a mapping of fields. x is an array,
        a tensor, a list of numbers or a picture of Pillow; y a number, -1 or None where it is
        missing, or a name where the source says all names (`ClassLabel`, `classes`).
      batch_size: B; the last batch may be smaller.
      x: the field of the examples; None: the one field that holds arrays or pictures.
      y: the field of the labels; None: the one that is called label, labels, target, class or y,
        else the one `ClassLabel`; "none": labels are not read.

    Returns:
      A stream that gives (x [B, ...], y int32 [B]), or x where there are no labels. Pictures are
      uint8 [B, H, W] where they are grey, else RGB [B, H, W, 3]; what is transparent is laid on
      white. `shuffled(key)` gives it in random order.

    Raises:
      ValueError: if the source is empty, fields are not there or ambiguous, or, when it is read, a
        row's shape differs from the first's.
      TypeError: if the source can be read once only, or a row is no example.

    Example:
      >>> rows = [{"image": np.full((2, 2), i, np.uint8), "label": i} for i in range(3)]
      >>> for x, y in stream_rows(rows, batch_size=2):
      ...     print(x.dtype, x.shape, y)
      uint8 (2, 2, 2) [0 1]
      uint8 (1, 2, 2) [2]
    """
    return RowStream(source, batch_size=batch_size, x=x, y=y)


def _refuse(source: Any) -> None:
    """Refuse what is no source of rows, and say what to do with it."""
    if hasattr(source, "__next__"):
        raise TypeError(ONCE.format(brief(source)))
    if isinstance(source, str | bytes):
        raise TypeError(f"source must hold rows, got {brief(source)}: `load` reads files")
    if hasattr(source, "columns") and (hasattr(source, "iloc") or hasattr(source, "get_columns")):
        raise TypeError("source must hold rows, got a DataFrame: `from_arrays` takes it whole")
    if isinstance(source, Mapping):
        names = listed(list(source))
        raise TypeError(f"source must be one data set, got a mapping: give one of {names}")
    if hasattr(source, "dataset") and getattr(source, "batch_size", None) is not None:
        raise TypeError(
            f"source must give rows, got {type(source).__name__}, which gives batches: "
            "give it to fit as it is, or its dataset here"
        )


def _first(source: Any) -> tuple[Fetch | None, Any]:
    """How to get rows by their numbers, where that can be; and the first row."""
    if hasattr(source, "__len__") and hasattr(source, "__getitem__"):
        try:
            if not len(source):
                raise ValueError("source must hold at least one row, got none")
            return _fetcher(source), source[0]
        except NotImplementedError:  # torch's IterableDataset has the method, and refuses
            if not hasattr(source, "__iter__"):
                raise
    if not callable(source) and not hasattr(source, "__iter__"):
        raise TypeError(
            "source must have a length and rows by number (__len__ and __getitem__), "
            f"be iterable, or be a function, got {brief(source)}"
        )
    rows, again = _opened(source), _opened(source)
    if again is rows:
        raise TypeError(ONCE.format(brief(rows)))
    try:
        for row in rows:
            return None, row
    finally:
        for opened in (rows, again):
            if hasattr(opened, "close"):
                opened.close()
    raise ValueError("source must give at least one row, got none")


def _opened(source: Any) -> Iterator[Any]:
    return iter(source) if hasattr(source, "__iter__") else iter(source())


def _fetcher(source: Any) -> Fetch:
    """A function that gets the rows of some numbers: a list, or a mapping of columns."""
    if hasattr(source, "column_names"):  # Hugging Face's: a slice gives columns

        def columns(numbers: Sequence[int]) -> Any:
            if isinstance(numbers, range):
                return source[numbers.start : numbers.stop]
            return source[numbers]

        return columns
    if hasattr(source, "__getitems__"):  # torch's own way to ask for a batch
        return lambda numbers: source.__getitems__(list(numbers))
    return lambda numbers: [source[number] for number in numbers]


def _fields(row: Any) -> Mapping[str, Any] | None:
    """A row's fields by name, or None where it has none."""
    if isinstance(row, tuple) and hasattr(row, "_asdict"):
        return row._asdict()
    return row if isinstance(row, Mapping) else None


def _names(source: Any, feature: Any) -> Any:
    """Of the labels: Hugging Face's, of a field, or torch's, of a data set or of its subset."""
    of_whole = getattr(getattr(source, "dataset", None), "classes", None)
    return getattr(feature, "names", getattr(source, "classes", of_whole))


def _plain(row: Any) -> Any:
    """A pair (x, y) as a tuple where it came as a list, which torch makes of tuples."""
    if isinstance(row, list) and len(row) == 2 and _has_axes(row[0]) and not _has_axes(row[1]):
        return tuple(row)
    return row


def _has_axes(value: Any) -> bool:
    is_picture = hasattr(value, "convert") and hasattr(value, "mode")
    return is_picture or isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def _label_field(
    fields: Mapping[str, Any], features: Mapping[str, Any], x: str | None, y: str | None
) -> str | None:
    if y == NO_LABEL:
        return None
    if y is not None:
        _check_field("y", y, fields)
        return y
    found = [name for name in fields if str(name).lower() in LABEL_NAMES and name != x]
    if not found:
        found = [name for name in fields if hasattr(features.get(name), "names") and name != x]
    if len(found) > 1:
        raise ValueError(
            f'y must name the field of the labels, or be "{NO_LABEL}": any of {listed(found)} may '
            "be it"
        )
    return found[0] if found else None


def _example_field(fields: Mapping[str, Any], x: str | None, y: str | None) -> str:
    if x is not None:
        _check_field("x", x, fields)
        return x
    found = [name for name, value in fields.items() if name != y and _is_example(value)]
    if len(found) > 1:
        raise ValueError(f"x must name the field of the examples: any of {listed(found)} may be it")
    if not found:
        kinds = [f"{name} ({type(value).__name__})" for name, value in fields.items()]
        raise ValueError(
            f"source must have a field of arrays or pictures, got {listed(kinds)}; a table of "
            "numbers is taken by `from_arrays` as a DataFrame"
        )
    return found[0]


def _check_field(argument: str, name: str, fields: Mapping[str, Any]) -> None:
    if name not in fields:
        raise ValueError(f"{argument} must name one of {listed(list(fields))}, got {name!r}")


def _is_example(value: Any) -> bool:
    try:
        row_values.example("", value)
    except (TypeError, ValueError):
        return False
    return True
