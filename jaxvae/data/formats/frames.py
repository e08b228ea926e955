"""Tables and annotated data in memory: a DataFrame of pandas or polars, an AnnData."""

import re
from typing import Any

import numpy as np

from jaxvae.data import sparse
from jaxvae.data.formats import columns as own_columns
from jaxvae.data.formats.columns import NotNumbers, Table
from jaxvae.data.formats.source import (
    LABEL_NAMES,
    NO_LABEL,
    Reading,
    Source,
    by_name,
    chosen,
    counts_or_table,
    each_once,
    leaving_out,
    listed,
    needed,
    refuse_unused,
    require,
)
from jaxvae.data.formats.texts import count_words

# What pandas calls a column without a name, here the index that it wrote; once or several times.
INDEX_NAME = re.compile(r"(Unnamed: 0(\.\d+)*)?")
NAMELESS = re.compile(r"Unnamed: \d+")


def from_frame(
    frame: Any,
    reading: Reading = Reading(),  # noqa: B008, it is a frozen value
    *,
    examples_only: bool = False,
    where: str = "the frame",
) -> Source:
    """The examples and labels of a table in memory.

    Args:
      frame: a DataFrame of pandas or polars, a row an example.
      reading: its `label`, `ids`, `leave_out`, `text`, `words` and `columns` count. Where label is
        None, one column that is called label, labels, target, class or y in any case is it, unless
        it holds numbers that are not whole. An index that is not just 0, 1, 2, ..., or a first
        column without a name, is the ids.
      examples_only: a label column that is named and missing is no error.
      where: what the table is called in errors.

    Returns:
      A source whose x is float32 [N, D], or the counts of words where `text` names a column.
      Booleans are 0 and 1; a missing cell is NaN.

    Raises:
      ValueError: if a column that is named is not there, holds anything but numbers, or no row or
        no column is left.
      TypeError: if the frame is none.

    Example:
      >>> import pandas as pd
      >>> frame = pd.DataFrame({"a": [1, 2], "b": [True, None], "label": ["cat", "dog"]})
      >>> source = from_frame(frame, Reading())
      >>> source.x.tolist(), source.y.tolist(), source.column_names
      ([[1.0, 1.0], [2.0, nan]], ['cat', 'dog'], ('a', 'b'))
    """
    refuse_unused(where, reading, ("label", "ids", "leave_out", "text", "words", "columns"))
    table = own_columns.opened(frame)
    if reading.words != Reading.words and reading.text is None:
        raise ValueError(f"{where}: --words needs --text, the column that holds texts")
    if not table.rows:
        raise ValueError(f"{where}: it must hold at least one row, got none")
    said: list[str] = []
    _known(where, reading, table, examples_only)
    index, ids = _ids(table, reading, said)
    label = _label(table, reading, said)
    y, label_names = None, None
    if label is not None:
        try:
            y, label_names = own_columns.labels(table.columns[label])
        except TypeError as error:
            raise ValueError(f"{where}: column {label!r}: {error}") from None
    others = [name for name in table.names if name not in {label, reading.ids, *index}]
    if reading.text is not None:
        rest = [name for name in others if name != reading.text and name not in reading.leave_out]
        if rest:
            said.append(f"Beside the texts these columns are not used: {listed(rest)}.")
        texts = own_columns.strings(table.columns[reading.text])
        counts, words, more = count_words(where, [text or "" for text in texts], reading)
        source = Source(counts, y, None, None, words, label_names, ids, kind="counts")
        return source._replace(said=(*said, *more), label_column=label)
    names = _data_columns(where, reading, table, others, said)
    arrays = [own_columns.numbers(table.columns[name]) for name in names]
    _refuse_text(where, dict(zip(names, arrays, strict=True)), has_label=label is not None)
    if coarse := [n for n, own in zip(names, arrays, strict=True) if own_columns.is_coarse(own)]:
        said.append(_of_coarse(coarse))
    x = own_columns.filled([array for array in arrays if isinstance(array, np.ndarray)], table.rows)
    source = Source(x, y, None, None, tuple(names), label_names, ids, kind="table")
    return source._replace(said=tuple(said), label_column=label)


def from_anndata(
    adata: Any,
    reading: Reading = Reading(),  # noqa: B008, it is a frozen value
    *,
    examples_only: bool = False,
    where: str = "the AnnData",
) -> Source:
    """The examples and labels of an AnnData in memory.

    Args:
      adata: an AnnData, a row an example.
      reading: its `label` and `ids` (columns of obs), `layer`, `leave_out` and `columns` (of
        var_names) count.
      examples_only: a label column that is named and missing is no error.
      where: what it is called in errors.

    Returns:
      A source of X or of a layer, CSR where it is sparse; the kind is "counts" where all values
      are non-negative whole numbers, else "table".

    Raises:
      ValueError: if a layer or column that is named is not there, or X is empty.

    Example:
      >>> import anndata, pandas as pd
      >>> obs = pd.DataFrame({"cell": ["B", "T"]}, index=["c1", "c2"])
      >>> adata = anndata.AnnData(np.ones((2, 3), np.float32), obs=obs)
      >>> source = from_anndata(adata, Reading(label="cell"))
      >>> source.kind, source.ids, source.y.tolist()
      ('counts', ('c1', 'c2'), ['B', 'T'])
    """
    refuse_unused(where, reading, ("label", "ids", "leave_out", "layer", "columns"))
    if getattr(adata, "isbacked", False):
        adata = adata.to_memory()
    x, names = _matrix(where, adata, reading)
    said: list[str] = []
    obs = own_columns.opened(adata.obs)
    y, label_names = None, None
    if reading.label not in (None, NO_LABEL):
        if reading.label in obs.names:
            y, label_names = own_columns.labels(obs.columns[reading.label])
        elif not examples_only:
            found = listed(obs.names) or "none"
            raise ValueError(
                f"{where}: --label must name a column of obs, got {reading.label!r}; it has {found}"
            )
    elif reading.label is None and obs.names:
        said.append(f"No labels are read; --label takes a column of obs: {listed(obs.names)}.")
    ids = tuple(map(str, adata.obs_names))
    if reading.ids is not None:
        if reading.ids not in obs.names:
            raise ValueError(
                f"{where}: --ids must name a column of obs, got {reading.ids!r}; "
                f"it has {listed(obs.names) or 'none'}"
            )
        column = obs.columns[reading.ids]
        ids = tuple(cell or "" for cell in own_columns.strings(column))
    x, names = by_name(where, x, names, reading)
    kind = counts_or_table(x.data if sparse.is_sparse(x) else x)
    if kind == "table" and reading.layer is None and "counts" in adata.layers:
        said.append("X does not hold counts; --layer counts takes the layer of that name.")
    return Source(x, y, None, None, names, label_names, ids, kind=kind, said=tuple(said))


def _matrix(where: str, adata: Any, reading: Reading) -> tuple[Any, tuple[str, ...]]:
    """The matrix that is asked for, as an array or a CSR, and the names of its columns."""
    variables = adata.var_names
    layers = list(adata.layers)
    if reading.layer is None:
        x = adata.X
    elif reading.layer in layers:
        x = adata.layers[reading.layer]
    elif reading.layer == "raw" and adata.raw is not None:
        x, variables = adata.raw.X, adata.raw.var_names
    else:
        raise ValueError(
            f"{where}: --layer must be one of its layers, got {reading.layer!r}; "
            f"it has {listed(layers) or 'none'}"
        )
    if x is None:
        raise ValueError(
            f"{where}: it must have an X, got None; --layer takes another: {listed(layers)}"
        )
    if 0 in x.shape:
        raise ValueError(f"{where}: its matrix must not be empty, got the shape {x.shape}")
    names = each_once(variables, "-")
    if sparse.is_sparse(x):
        return needed("scipy.sparse", where).csr_array(x), names
    return np.asarray(x), names


def _known(where: str, reading: Reading, table: Table, examples_only: bool) -> None:
    """Refuse names of columns that are not there."""
    asked = {"ids": reading.ids, "text": reading.text}
    if reading.label != NO_LABEL and not examples_only:
        asked["label"] = reading.label
    for option, name in asked.items():
        if name is not None and name not in table.names:
            raise ValueError(
                f"{where}: --{option} must name a column, got {name!r}; "
                f"it has {listed(table.names)}"
            )
    if not examples_only:
        chosen(where, table.names, Reading(leave_out=reading.leave_out))
    for option, name in (asked | {"label": reading.label}).items():
        if name is not None and name in reading.leave_out:
            raise ValueError(f"{where}: --{option} and --leave-out must differ, both name {name!r}")


def _ids(
    table: Table, reading: Reading, said: list[str]
) -> tuple[list[str], tuple[str, ...] | None]:
    """The columns that are an index without a name, and the names of the rows."""
    index = []
    for name in table.names:
        if not INDEX_NAME.fullmatch(name) or name in (reading.columns or ()):
            break
        index.append(name)
    if reading.ids is not None:
        column = table.columns[reading.ids]
    elif table.row_names is not None:
        return index, table.row_names
    elif index:
        column = table.columns[index[0]]
        said.append("The first column has no name: it is taken for the names of the rows.")
    else:
        return index, None
    return index, tuple(cell or "" for cell in own_columns.strings(column))


def _label(table: Table, reading: Reading, said: list[str]) -> str | None:
    """The column with the labels, if there is one."""
    if reading.label is not None:
        return reading.label if reading.label in table.names else None
    used = {reading.ids, reading.text, *reading.leave_out, *(reading.columns or ())}
    found = [name for name in table.names if name.lower() in LABEL_NAMES and name not in used]
    if len(found) > 1:
        said.append(
            f"The columns {listed(found)} could each hold the labels; none is taken: "
            "--label names one."
        )
        return None
    if not found:
        return None
    values = own_columns.numbers(table.columns[found[0]])
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        seen = values[np.isfinite(values)]
        if (seen != np.floor(seen)).any():
            said.append(
                f"The column {found[0]!r} holds numbers that are not whole: it is data; "
                f"--label {found[0]} makes it the labels."
            )
            return None
    said.append(f"The column {found[0]!r} is taken for the labels; --label none prevents it.")
    return found[0]


def _data_columns(
    where: str, reading: Reading, table: Table, others: list[str], said: list[str]
) -> list[str]:
    """The columns that are examples, in order."""
    if reading.columns is not None:
        require(where, reading.columns, table.names)
        rest = [name for name in others if name not in set(reading.columns)]
        if rest:
            said.append(f"Columns that the model does not know are left out: {listed(rest)}.")
        return list(reading.columns)
    left = [name for name in others if name not in set(reading.leave_out)]
    empty = [name for name in left if NAMELESS.fullmatch(name) and _is_empty(table.columns[name])]
    if empty:
        said.append(f"Columns without a name and a value are left out: {listed(empty)}.")
    names = [name for name in left if name not in empty]
    if not names:
        raise ValueError(
            f"{where}: it must have at least one column of numbers, got {listed(table.names)}"
        )
    return names


def _of_coarse(names: list[str]) -> str:
    """What is said of columns whose numbers float32 cannot tell apart."""
    which, them = f"The column {names[0]!r} is", "it"
    if len(names) > 1:
        which, them = f"The columns {listed(names)} are", "them"
    return (
        f"{which} so far from 0 that digits are lost, for seven are kept: take a number near the "
        f"mean away from {them} first, or leave {them} out with {leaving_out(names)}."
    )


def _is_empty(column: Any) -> bool:
    values = own_columns.numbers(column)
    return (
        isinstance(values, np.ndarray) and values.dtype.kind == "f" and bool(np.isnan(values).all())
    )


def _refuse_text(
    where: str, columns: dict[str, np.ndarray | NotNumbers], *, has_label: bool
) -> None:
    """Refuse columns that are not of numbers, and say what to do."""
    bad = {name: found for name, found in columns.items() if isinstance(found, NotNumbers)}
    if not bad:
        return
    name, found = next(iter(bad.items()))
    which = f"column {name!r}" if len(bad) == 1 else f"columns {listed(list(bad))}"
    of = f" of {name!r}" if len(bad) > 1 else ""
    label = "" if has_label else "name the label column with --label, or "
    them = "it" if len(bad) == 1 else "them"
    text = f", or count its words with --text {name}" if found.long else ""
    raise ValueError(
        f"{where}: {which} must hold numbers, got {found.value} in row {found.row}{of}; "
        f"{label}leave {them} out with {leaving_out(bad)}{text}"
    )
