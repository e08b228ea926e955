"""Data that a model cannot be trained on, refused before training is spoken of."""

import numpy as np

from jaxvae.apps.options import Options
from jaxvae.data import looks, refusals, sparse
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import dense
from jaxvae.data.formats.source import leaving_out, listed


def refuse_one_label(options: Options, data: Dataset) -> None:
    """Refuse labels for categories where there is one label alone.

    Args:
      options: of a new run.
      data: the data.

    Raises:
      ValueError: the column is named, and the option that trains without labels.
    """
    if data.categories != 1:
        return
    where, option, column = "y", "--label none", data.label_column
    if column is not None:
        where = f"column {column!r}"
        option = leaving_out([column])
    name = repr(data.label_names[0]) if data.label_names else "0"
    raise ValueError(
        f"{_file(options)}{where} has one label, {name}; categories need at least two: {option} "
        "trains without labels"
    )


def check_counts(options: Options, data: Dataset) -> None:
    """Refuse data that are no counts, for a likelihood that needs them.

    Args:
      options: of a new run.
      data: the data.

    Raises:
      ValueError: the column is named, where columns have names.
    """
    whose, names = f" for a {options.likelihood} likelihood,", data.column_names
    try:
        for name, x in (("x", data.x_train), ("x_test", data.x_test)):
            refusals.check_counts(name, x, data.shape, names, whose=whose, whole=False)
    except ValueError as error:
        raise ValueError(f"{_file(options)}{error}") from None


def check_size(options: Options, data: Dataset) -> None:
    """Refuse numbers so large that their squares are no float32: a loss would be none either.

    Args:
      options: of a new run.
      data: the data.

    Raises:
      ValueError: the column is named, where columns have names, and how to leave it out.
    """
    for name, x in (("x", data.x_train), ("x_test", data.x_test)):
        entries = np.asarray(x.data if sparse.is_sparse(x) else x)
        if not entries.size or max(-float(entries.min()), float(entries.max())) <= looks.LARGEST:
            continue
        # Of each column, its largest value in size.
        low, high = (np.asarray(dense(edge)).ravel() for edge in (x.min(axis=0), x.max(axis=0)))
        reach = np.maximum(-low, high)
        far = [int(column) for column in np.flatnonzero(reach > looks.LARGEST)]
        value = f"got {reach[far[0]]:.4g}"
        if data.column_names is None:
            raise ValueError(
                f"{_file(options)}{name} must hold numbers of at most {looks.LARGEST:g} in size, "
                f"{value}; divide them by a number first"
            )
        names = [data.column_names[column] for column in far]
        which, them = f"column {names[0]!r}", "it"
        if len(names) > 1:
            which, them, value = f"columns {listed(names)}", "them", f"{value} in {names[0]!r}"
        raise ValueError(
            f"{_file(options)}{which} must hold numbers of at most {looks.LARGEST:g} in size, "
            f"{value}; leave {them} out with {leaving_out(names)}, or write {them} in a larger "
            "unit"
        )


def _file(options: Options) -> str:
    """What an error about the user's own file begins with."""
    return "" if options.data is None else f"{options.data}: "
