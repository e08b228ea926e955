"""What a reader gives, how it is asked, and what the readers share."""

import dataclasses
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# What a column or a field with the labels is called, in any case.
LABEL_NAMES = ("label", "labels", "target", "class", "y")
NO_LABEL = "none"  # of Reading.label: what could be taken for labels is not
# Which extra brings a package.
EXTRAS = {"pandas": "tables", "pyarrow": "tables", "anndata": "anndata"}
LONGEST_LABEL = 100  # characters, of an array of strings
SHOWN = 8  # names in an error or a sentence; of the others the number


class Source(NamedTuple):
    """What a file or folder holds, not yet checked or encoded.

    Attributes:
      x: an array [N, ...] (uint8 images stay uint8), or a SciPy CSR [N, D].
      y: labels as they stand there [N]: strings, numbers, booleans, missing ones None or NaN; or
        None.
      x_test, y_test: the same of a part that the source itself holds out, or None.
      column_names: of x's columns, or None.
      label_names: in order, where the source itself has an order; then y holds such names, or
        None for a missing one. Else None.
      ids: of x's rows, or None.
      kind: "images", "table", "counts", "series", or None where the file does not say.
      said: short whole sentences about what the reader decided, for the user to see.
      label_column: the name of the column that y is, or None.

    Example:
      >>> Source(np.zeros((2, 3)), kind="table").y is None
      True
    """

    x: Any
    y: Any = None
    x_test: Any = None
    y_test: Any = None
    column_names: tuple[str, ...] | None = None
    label_names: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    kind: str | None = None
    said: tuple[str, ...] = ()
    label_column: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is to be read. What does not apply to the format, and is set, is refused by name.

    Attributes:
      label: the column with the labels (CSV, Parquet; of obs in an AnnData); "none": there are no
        labels, whatever the file holds.
      ids: the column that names the rows.
      leave_out: columns not to be used.
      text: the column that holds texts.
      words: at most so many words of a vocabulary, the most frequent.
      layer: of an AnnData, instead of X; "raw" is its raw X, where no layer has that name.
      image_size: height and width: every picture is resized to it.
      columns: what the columns (or the vocabulary) have to be, as a trained model knows them: found
        by name in any order, others left out, a missing one named in the error.

    Example:
      >>> Reading(label="species").words
      5000
    """

    label: str | None = None
    ids: str | None = None
    leave_out: tuple[str, ...] = ()
    text: str | None = None
    words: int = 5000
    layer: str | None = None
    image_size: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.leave_out, str):
            raise TypeError(f"leave_out must be a tuple of names, got {self.leave_out!r}")
        if isinstance(self.columns, str):
            raise TypeError(f"columns must be a tuple of names, got {self.columns!r}")
        if isinstance(self.words, bool) or not isinstance(self.words, int) or self.words < 1:
            raise ValueError(f"words must be an integer of at least 1, got {self.words!r}")
        size = self.image_size
        if size is not None and (len(size) != 2 or any(int(n) != n or n < 1 for n in size)):
            raise ValueError(f"image_size must be a height and a width of at least 1, got {size}")


def refuse_unused(where: str, reading: Reading, used: Iterable[str]) -> None:
    """Refuse what a reading sets and a format has no use for.

    Args:
      where: the file, or what it is, for the error.
      reading: what was asked.
      used: the fields that the format has a use for. A label of "none" passes with all of them.

    Raises:
      ValueError: if another field is set.

    Example:
      >>> refuse_unused("a.npy", Reading(label="none"), ())
      >>> refuse_unused("a.npy", Reading(layer="counts"), ())
      Traceback (most recent call last):
      ValueError: a.npy: --layer does not apply to it, got 'counts'
    """
    for field in dataclasses.fields(reading):
        value = getattr(reading, field.name)
        if field.name in used or value == field.default:
            continue
        if field.name == "label" and value == NO_LABEL:
            continue
        if field.name == "columns":  # no option: a trained model's
            raise ValueError(
                f"{where}: it must be a table with the columns that the model knows, "
                f"{listed(value)}"
            )
        option = "--" + field.name.replace("_", "-")
        raise ValueError(f"{where}: {option} does not apply to it, got {value!r}")


def needed(module: str, what: str) -> Any:
    """Import a package that not every user has.

    Args:
      module: its name, with dots for a part of it.
      what: what is to be read, for the error.

    Returns:
      The module.

    Raises:
      ModuleNotFoundError: if it is not installed; with the line that installs it.

    Example:
      >>> needed("pandas", "a.csv").__name__
      'pandas'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        extra = EXTRAS.get(package)
        install = f"'jaxvae[{extra}]'" if extra else {"PIL": "Pillow"}.get(package, package)
        raise ModuleNotFoundError(
            f"reading {what} needs {package}: pip install {install} ({error})", name=package
        ) from None


def listed(names: Sequence[Any]) -> str:
    """Names for an error: the first few, and how many more there are.

    Args:
      names: any.

    Returns:
      One line.

    Example:
      >>> listed(["a", "b"]), listed(range(100))
      ('a, b', '0, 1, 2, 3, 4, 5, 6, 7 and 92 more')
    """
    shown = ", ".join(map(str, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def leaving_out(names: Iterable[str]) -> str:
    """The option that leaves columns out, as it is to be typed.

    Args:
      names: of the columns.

    Returns:
      The option.

    Example:
      >>> leaving_out(["an hour", "b"])
      "--leave-out 'an hour' b"
    """
    return " ".join(["--leave-out", *(repr(own) if " " in own else own for own in names)])


def brief(value: Any) -> str:
    """A value of a cell for an error.

    Args:
      value: any.

    Returns:
      Its repr, cut after 40 characters.

    Example:
      >>> brief("x" * 100)
      "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 40 else f"{text[:37]}..."


def each_once(names: Iterable[Any], mark: str) -> tuple[str, ...]:
    """Names that differ: one that comes again gets a number.

    Args:
      names: of columns, in order.
      mark: what stands before the number: "." as pandas has it in a CSV, "-" as in an AnnData.

    Returns:
      The names as strings.

    Example:
      >>> each_once(["a", "a", "a.1"], ".")
      ('a', 'a.2', 'a.1')
    """
    own = list(map(str, names))
    taken, found = set(own), dict[str, int]()
    for name in own:
        unique = name
        while unique in found or (unique != name and unique in taken):
            found[name] += 1
            unique = f"{name}{mark}{found[name]}"
        found[unique] = 0
    return tuple(found)


def chosen(where: str, names: Sequence[str], reading: Reading) -> list[int] | None:
    """Which columns of a matrix are to be used.

    Args:
      where: the file, for errors.
      names: of its columns.
      reading: its `columns` and `leave_out` count.

    Returns:
      The places of the columns in their new order, or None where all stay as they are.

    Raises:
      ValueError: if a column that is named is not there, or none is left.

    Example:
      >>> chosen("a.h5ad", ["a", "b", "c"], Reading(columns=("c", "a")))
      [2, 0]
    """
    place = {name: i for i, name in reversed(list(enumerate(names)))}
    if reading.columns is not None:
        require(where, reading.columns, place)
        picked = [place[name] for name in reading.columns]
        return None if picked == list(range(len(names))) else picked
    if not reading.leave_out:
        return None
    missing = [name for name in reading.leave_out if name not in place]
    if missing:
        raise ValueError(
            f"{where}: --leave-out must name columns, got {listed(missing)}; it has {listed(names)}"
        )
    left = [i for i, name in enumerate(names) if name not in set(reading.leave_out)]
    if not left:
        raise ValueError(f"{where}: --leave-out must leave at least one column, got all of them")
    return left


def by_name(
    where: str, x: Any, names: tuple[str, ...], reading: Reading
) -> tuple[Any, tuple[str, ...]]:
    """The columns that are asked for, of a matrix that has their names.

    Args:
      where: the file, for the error.
      x: an array or a CSR [N, D].
      names: of its columns [D].
      reading: its `columns` and `leave_out` count.

    Returns:
      The matrix of these columns, and their names.

    Raises:
      ValueError: as `chosen` does.

    Example:
      >>> by_name("a.npz", np.array([[1, 2]]), ("a", "b"), Reading(leave_out=("a",)))
      (array([[2]]), ('b',))
    """
    places = chosen(where, names, reading)
    return (x, names) if places is None else (x[:, places], tuple(names[i] for i in places))


def by_place(
    where: str, width: int, reading: Reading
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """What columns are called that a file does not name: as a model calls its own, by their number.

    Args:
      where: the file, for the error.
      width: how many it has.
      reading: its `columns` count.

    Returns:
      The names, or None where there is no such model; and what is to be said of them.

    Raises:
      ValueError: if there are not as many as the model knows, or names are asked for.

    Example:
      >>> by_place("a.npy", 2, Reading(columns=("a", "b")))[0]
      ('a', 'b')
    """
    refuse_unused(where, reading, ("columns",))
    if reading.columns is None:
        return None, ()
    if width != len(reading.columns):
        raise ValueError(
            f"{where}: it names no columns, so it must have the {len(reading.columns)} that the "
            f"model knows, in their order; got {width}"
        )
    said = f"The file names no columns: its {width} are taken in the model's order."
    return reading.columns, (said,)


def require(where: str, columns: Sequence[str], found: Iterable[str]) -> None:
    """Refuse a file that lacks a column that a trained model knows.

    Args:
      where: the file, for the error.
      columns: what has to be there.
      found: what is there.

    Raises:
      ValueError: naming what is missing.

    Example:
      >>> require("a.csv", ["a", "b"], ["a", "c"])
      Traceback (most recent call last):
      ValueError: a.csv: it must have the columns that the model knows, and lacks b; it has a, c
    """
    here = list(found)
    known = set(here)
    missing = [name for name in columns if name not in known]
    if missing:
        raise ValueError(
            f"{where}: it must have the columns that the model knows, and lacks {listed(missing)}; "
            f"it has {listed(here)}"
        )


def counts_or_table(values: Any) -> str:
    """What kind of numbers a matrix holds.

    Args:
      values: an array of any shape, or the entries of a sparse one.

    Returns:
      "counts" for non-negative whole numbers, else "table".

    Example:
      >>> counts_or_table(np.array([0.0, 2.0])), counts_or_table(np.array([0.5]))
      ('counts', 'table')
    """
    values = np.asarray(values)
    if values.dtype.kind == "b":
        return "table"
    step = 1 << 20
    flat = values.reshape(-1)
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        if not (part >= 0).all() or (part.dtype.kind == "f" and (part != np.floor(part)).any()):
            return "table"
    return "counts"


def label_strings(values: Iterable[Any]) -> np.ndarray:
    """Labels as an array of strings, or of objects where some are missing or long.

    Args:
      values: strings or None.

    Returns:
      The array [N].

    Example:
      >>> label_strings(["a", None]).tolist(), label_strings(["a", "b"]).dtype.kind
      (['a', None], 'U')
    """
    found = list(values)
    # An array of strings takes the room of the longest for each.
    if any(value is None for value in found) or max(map(len, found), default=0) > LONGEST_LABEL:
        array = np.empty(len(found), object)
        array[:] = found
        return array
    return np.array(found, dtype=str)
