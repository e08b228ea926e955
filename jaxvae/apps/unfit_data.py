"""Data that a model cannot be trained on, refused before training is spoken of."""

from jaxvae.apps.options import Options
from jaxvae.data import refusals
from jaxvae.data.dataset import Dataset


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
        option = f"--leave-out {column!r}" if " " in column else f"--leave-out {column}"
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


def _file(options: Options) -> str:
    """What an error about the user's own file begins with."""
    return "" if options.data is None else f"{options.data}: "
