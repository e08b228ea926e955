"""What a saved model is given: examples with names, points of the latent space, conditions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae.apps.latent_space import LatentSpace
from jaxvae.data import fields
from jaxvae.data.formats import columns
from jaxvae.data.formats.source import each_once, listed
from jaxvae.numerics import checks


def check_rows(name: str, array: Any, shape: tuple[int, ...], count: int | None = None) -> None:
    """Refuse what is not rows of a shape.

    Args:
      name: of the argument.
      array: of any kind.
      shape: of one row.
      count: how many rows; None: any number.

    Raises:
      ValueError: if it has another shape.
    """
    found = np.shape(array) if not hasattr(array, "shape") else tuple(array.shape)
    rows = "N" if count is None else count
    if found[1:] != tuple(shape) or len(found) != len(shape) + 1 or rows not in ("N", found[0]):
        wanted = ", ".join(map(str, (rows, *shape)))
        raise ValueError(f"{name} must have the shape [{wanted}], got {found}")


def by_names(x: Any, known: Sequence[str] | None) -> Any:
    """Examples whose columns are those that the model knows, found by their names.

    Args:
      x: a frame or an AnnData, or an array without names.
      known: what the model's columns are called, or None.

    Returns:
      These columns in their order, as a reader gives them: float32 [N, D] of a frame, X of an
      AnnData. All columns where it or the model has no names; an array as it is.

    Raises:
      ValueError: if one is missing, is there twice, or holds what is no number.

    Example:
      >>> import pandas as pd
      >>> by_names(pd.DataFrame({"b": [1], "c": [2], "a": [True]}), ("a", "b")).tolist()
      [[1.0, 1.0]]
    """
    if fields.is_annotated(x):
        x = x.to_memory() if getattr(x, "isbacked", False) else x
        names = list(map(str, x.var_names))
        places = None if known is None else _places(names, each_once(names, "-"), known, "-")
        return x.X if places is None else x[:, places].X
    if not fields.is_frame(x):
        return x
    table = columns.opened(x)
    names, arrays = table.names, []
    # Columns may have numbers and no names.
    if known is not None and any(isinstance(name, str) for name in x.columns):
        places = _places(list(map(str, x.columns)), names, known, ".")
        names = names if places is None else [names[k] for k in places]
    for name in names:
        array = columns.numbers(table.columns[name])
        if isinstance(array, columns.NotNumbers):
            raise ValueError(f"x must hold numbers, got {array.value} in row {array.row} of the "
                             f"column {name!r}")  # fmt: skip
        arrays.append(array)
    return columns.filled(arrays, table.rows)


def _places(
    names: Sequence[str], own: Sequence[str], known: Sequence[str], mark: str
) -> list[int] | None:
    """Where the columns that a model knows stand; None where all stand as they are.

    Args:
      names: of all columns.
      own: the same by `each_once`.
      known: those of the model.
      mark: of `each_once`.
    """
    wanted = each_once(known, mark)  # an earlier version kept names that came twice
    place = {name: k for k, name in enumerate(own)}
    if missing := [name for name in wanted if name not in place]:
        raise ValueError(f"x must have the columns that the model knows, and lacks "
                         f"{listed(missing)}; it has {listed(own)}")  # fmt: skip
    each, expected = zip(names, own, strict=True), set(wanted)
    if twice := [name for name, new in each if name in expected and new not in expected]:
        raise ValueError(f"x must have each column once, got {listed(twice)} more than once")
    return None if tuple(own) == wanted else [place[name] for name in wanted]


def points(space: LatentSpace, z: Any) -> Any:
    """Points of the latent space, checked.

    Args:
      space: of the model.
      z: [N, K]; of a product a dict by part.

    Returns:
      The same, float32.

    Raises:
      ValueError, TypeError: if z is not of the model's width, or not of finite numbers.
    """
    if not space.is_product:
        return _numbers("z", z, (space.width,))
    known = {part.name: part.width for part in space.parts}
    if not isinstance(z, Mapping) or set(z) != set(known):
        got = ", ".join(map(str, z)) if isinstance(z, Mapping) else type(z).__name__
        raise ValueError(f"z must be a dict of the parts {', '.join(known)}, got {got}")
    made = {name: _numbers(f"z[{name!r}]", z[name], (width,)) for name, width in known.items()}
    rows = {name: len(array) for name, array in made.items()}
    if len(set(rows.values())) > 1:
        got = ", ".join(f"{count} in {name}" for name, count in rows.items())
        raise ValueError(f"z must have as many rows in each part, got {got}")
    return made


def condition(value: Any, shape: tuple[int, ...] | None, count: int) -> Any:
    """What the decoder sees beside z, checked.

    Args:
      value: as the user gave it, or None.
      shape: of the condition of one example, as the model knows it; None: it has none.
      count: how many rows there are of z.

    Returns:
      [count, ...], float32, or None.

    Raises:
      ValueError, TypeError: if it is missing or not wanted, or is not so many finite numbers.
    """
    if shape is None:
        if value is not None:
            raise ValueError("condition must be None: the model was trained without one, "
                             f"got {type(value).__name__}")  # fmt: skip
        return None
    if value is None:
        wanted = ", ".join(map(str, (count, *shape)))
        raise ValueError(f"condition must be given, [{wanted}], as the model was trained with one, "
                         "got None")  # fmt: skip
    return _numbers("condition", value, shape, count)


def _numbers(name: str, value: Any, shape: tuple[int, ...], count: int | None = None) -> np.ndarray:
    array = checks.real_array(name, value, boolean=name == "condition")
    check_rows(name, array, shape, count)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, refused just below
        array = array.astype(np.float32)
    checks.finite_array(name, array)
    return array
