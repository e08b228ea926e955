"""A data set: arrays of any origin checked, their labels encoded, a part of them held out."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxvae._door import door
from jaxvae._output import counted
from jaxvae.data import fields, labels, looks, refusals, sparse
from jaxvae.data.flat import laid_flat, len_of
from jaxvae.data.formats.source import (
    NO_LABEL,
    Reading,
    Source,
    each_once,
    leaving_out,
    listed,
)
from jaxvae.data.labels import Names
from jaxvae.data.looks import Look
from jaxvae.numerics import checks

KINDS = ("images", "series", "table", "counts")


@door("datasets")
class Dataset(NamedTuple):
    """Checked arrays, split into train and test, and what is known of them.

    Attributes:
      name: what the data are.
      x_train, x_test: examples [N, D], float32 or narrow integers as they came, or a CSR. An
        example of any shape lies flat.
      y_train, y_test: labels, int32 [N], -1 where one is missing; or None.
      image_shape: (height, width) or (height, width, channels) where an example is an image.
      shape: of an example.
      kind: "images", "series", "table" or "counts".
      label_names: the name of each category, in the order of its number; or None.
      column_names: of the D values, or None.
      mask_train, mask_test: True where a value was seen [N, D]; None where all were.
      look: what the numbers look like, and the scale that suits them.
      said: sentences on what was decided while they were read.
      label_column: the name of the column that holds the labels, or None.

    Example:
      >>> data = from_arrays(np.eye(20), ["cat", "dog"] * 10)
      >>> data.y_train.shape, data.categories, data.label_names
      ((18,), 2, ('cat', 'dog'))
    """

    name: str
    x_train: Any
    y_train: np.ndarray | None
    x_test: Any
    y_test: np.ndarray | None
    image_shape: tuple[int, ...] | None = None
    shape: tuple[int, ...] = ()
    kind: str = "table"
    label_names: Names | None = None
    column_names: Names | None = None
    mask_train: np.ndarray | None = None
    mask_test: np.ndarray | None = None
    look: Look = Look("numbers as they came")
    said: tuple[str, ...] = ()
    label_column: str | None = None

    @property
    def categories(self) -> int | None:
        """The number of classes; None without labels."""
        if self.y_train is None or self.y_test is None:
            return None
        if self.label_names is not None:
            return len(self.label_names)
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the largest value that there can be: (0, 255) for bytes, as black and
        white.
        """
        low, high = float(self.x_train.min()), float(self.x_train.max())
        scale = self.look.scale
        if low >= 0 and scale.curve == "linear" and np.ndim(scale.width) == 0:
            return 0.0, max(float(scale.width), 1.0 if high <= 1 else high)
        return (-1.0, 1.0) if low >= -1 and high <= 1 else (low, max(high, low + 1e-6))

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all arrays and names: another for other data, in whatever file."""
        digest = hashlib.sha256(repr((self.shape, self.label_names, self.column_names)).encode())
        parts: list[Any] = [self.x_train, self.y_train, self.x_test, self.y_test]
        parts += [self.mask_train, self.mask_test]
        for part in parts:
            arrays = [part.data, part.indices, part.indptr] if sparse.is_sparse(part) else [part]
            for array in arrays:
                if array is not None:
                    digest.update(f"{array.dtype}{array.shape}".encode())
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def sentence(self) -> str:
        """What the data are, in words."""
        size = " x ".join(map(str, self.image_shape or self.shape))
        examples = len_of(self.x_train) + len_of(self.x_test)
        s = "" if size == "1" else "s"
        what = {
            "images": f"images of {size}",
            "series": f"series of {size} (steps x values)",
            "counts": f"rows of {size} count{s}",
            "table": f"rows of {size} column{s}",
        }[self.kind]
        known = "" if self.label_names is None else f", {counted(len(self.label_names), 'label')}"
        return f"{examples:,} {what}{known}; {self.look.sentence}"


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    x_test: Any = None,
    y_test: Any = None,
    name: str = "arrays",
    kind: str | None = None,
    missing: str = "refuse",
    label_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
) -> Dataset:
    """Make a data set of a user's arrays.

    Args:
      x: examples [N, D], images [N, H, W] or [N, H, W, C], series [N, T, C]: an array of any
        library, a SciPy matrix, a DataFrame of pandas or polars, an AnnData.
      y: labels [N] in any form that `encode_labels` takes; or the name of the column of x that
        holds them; or None.
      x_test: held-out examples like those of x, columns by their names where both have such. None
        sets every tenth example aside.
      y_test: their labels; needed where `y` and `x_test` are given, unless y names a column, which
        x_test then has too.
      name: what to call the data.
      kind: "images", "series", "table" or "counts"; None finds it out.
      missing: "refuse" NaN in x, or "mask" it: a model is then trained on what is there.
      label_names: the names of all labels, in the order of their numbers, also of those that no
        example has; None takes those that are there, sorted.
      column_names: of the values of an example; None takes those that x has. A name that comes
        again gets a number.

    Returns:
      The data set.

    Raises:
      ValueError, TypeError: if an array is empty, not finite, of the wrong rank or dtype, or
        its length differs from its labels'.

    Example:
      >>> data = from_arrays(np.random.default_rng(0).random((20, 4, 4)), [0, 100] * 10)
      >>> data.x_train.shape, data.x_test.shape, data.image_shape, data.label_names
      ((18, 16), (2, 16), (4, 4), ('0', '100'))
    """
    if kind is not None:
        checks.one_of("kind", kind, KINDS)
    checks.one_of("missing", missing, ("refuse", "mask"))
    source = _source("x", x, "y", y)
    if x_test is not None:
        given = ("y_test", y_test)
        if isinstance(y, str):
            given = ("y", y)
            if y_test is not None:
                raise ValueError(
                    f"y_test must be left out where y names a column of x_test too, got y={y!r}"
                )
        held_out = _source("x_test", x_test, *given)
        held_out = _in_order(held_out, source.column_names)
        said = (*source.said, *held_out.said)
        source = source._replace(x_test=held_out.x, y_test=held_out.y, said=said)
    elif y_test is not None:
        raise ValueError("y_test must come with x_test, got y_test alone")
    if column_names is not None:
        source = source._replace(column_names=each_once(column_names, "."))
    known = None if label_names is None else tuple(map(str, label_names))
    return from_source(source, name=name, kind=kind, missing=missing, label_names=known)


def from_source(
    source: Source,
    *,
    name: str,
    kind: str | None = None,
    missing: str = "refuse",
    label_names: Names | None = None,
    like: tuple[int, ...] | None = None,
    split: bool = True,
) -> Dataset:
    """Make a data set of what a reader found.

    Args:
      source: of `formats.registry.read`.
      name: what to call the data.
      kind: what they are, where the reader does not know better; None finds it out.
      missing: "refuse" or "mask" NaN.
      label_names: all that there are, as a model or the user knows them; None: those that are
        there.
      like: the shape of an example that a model knows; None: that which is there.
      split: whether a part is held out, where the source holds none out; else all are both.

    Returns:
      The data set.

    Raises:
      ValueError, TypeError: if an array cannot be used.

    Example:
      >>> from_source(Source(np.eye(20)), name="mine").x_train.shape
      (18, 20)
    """
    x, shape, what, said = laid_flat("x", source.x, kind or source.kind, like)
    y, names, x_test = source.y, source.label_names, source.x_test
    rows = len_of(x)
    if x_test is not None:
        x_test, test_shape, *_ = laid_flat("x_test", x_test, what, like)
        if test_shape != shape:
            raise ValueError(
                f"x_test must hold examples like those of x, {shape}, got {test_shape}"
            )
        if (y is None) != (source.y_test is None):
            raise ValueError("y and y_test must both be given, or neither; got one of them")
    if y is not None:
        given = {"y": y} if source.y_test is None else {"y": y, "y_test": source.y_test}
        codes, names = _codes(given, source, label_names)
        for own, code, count in zip(given, codes, (rows, len_of(x_test)), strict=False):
            _check_length(own, code, count)
        y, y_test = codes if len(codes) == 2 else (codes[0], None)
    else:
        y_test = names = None
    columns = source.column_names
    for own, rows_of, count in (("x", x, rows), ("x_test", x_test, len_of(x_test))):
        if count:  # before any is held out, so that a row is that of the user's
            refusals.check_finite(own, rows_of, shape, columns, missing=missing)
            if kind == "counts":
                refusals.check_counts(own, rows_of, shape, columns)
    if x_test is None and not split:
        x_test, y_test = x, y
    elif x_test is None:
        held_out = _held_out(rows)
        x, x_test = x[~held_out], x[held_out]
        if y is not None:
            y, y_test = y[~held_out], y[held_out]
    look = looks.look(
        x if sparse.is_sparse(x) else x.reshape(-1, *shape),
        images=what == "images",
        kind="counts" if what == "counts" else kind,  # a reader's "table" may hold counts
    )
    what = "counts" if look.counts else what
    x, mask = _without_nan(x)
    x_test, mask_test = _without_nan(x_test)
    if columns is not None and len(columns) != math.prod(shape):
        raise ValueError(
            f"column_names must be one for each of {math.prod(shape)} values, got {len(columns)}"
        )
    if mask is None and mask_test is not None:
        mask = np.ones(x.shape, bool)
    if mask_test is None and mask is not None:
        mask_test = np.ones(x_test.shape, bool)
    return Dataset(
        name=name,
        x_train=x,
        y_train=y,
        x_test=x_test,
        y_test=y_test,
        image_shape=shape if what == "images" else None,
        shape=shape,
        kind=what,
        label_names=names,
        column_names=columns,
        mask_train=mask,
        mask_test=mask_test,
        look=_flat(look, shape),
        said=(*source.said, *said),
        label_column=source.label_column,
    )


def _codes(
    given: dict[str, Any], source: Source, known: Names | None
) -> tuple[list[np.ndarray], Names]:
    """The codes of labels and their names; of a column that holds none, the way out is named."""
    if source.label_column is None:
        return labels.encode_together(given, source.label_names, known)
    name = source.label_column
    of = {"y": f"column {name!r}", "y_test": f"column {name!r} of x_test"}
    columns = {of[own]: value for own, value in given.items()}
    try:
        return labels.encode_together(columns, source.label_names, known, rows=True)
    except (ValueError, TypeError) as error:
        way_out = "" if known is not None else f"; {leaving_out([name])} trains without labels"
        raise type(error)(f"{error}{way_out}") from None


def _source(name: str, x: Any, label: str, y: Any) -> Source:
    """What a user gave in memory as the arguments name and label, as a reader would give it."""
    # Here: most data are arrays, and it costs time to import.
    from jaxvae.data.formats.columns import opened
    from jaxvae.data.formats.frames import from_anndata, from_frame

    reading = Reading()
    if isinstance(y, str):
        reading = Reading(label=y)
        table = x.obs if fields.is_annotated(x) else x
        if fields.is_frame(table) and y not in (NO_LABEL, *(names := opened(table).names)):
            of = " of obs" if table is not x else ""
            raise ValueError(
                f"{label} must name a column{of} of {name}, got {y!r}; "
                f"it has {listed(names) or 'none'}"
            )
    if fields.is_annotated(x):
        source = from_anndata(x, reading)
    elif fields.is_frame(x):
        source = from_frame(x, reading if isinstance(y, str) else Reading(label="none"))
    elif isinstance(y, str):
        raise TypeError(f"{label} must be labels where {name} has no columns by name, got {y!r}")
    else:
        source = Source(x)
    return source if y is None or isinstance(y, str) else source._replace(y=y)


def _in_order(held_out: Source, names: Names | None) -> Source:
    """Held-out examples whose columns are in the order of the others', by their names."""
    own = held_out.column_names
    held_out = held_out._replace(said=())  # the same as of the others
    if own is None or names is None or own == names:
        return held_out
    places = tuple(map(str, range(len(own))))
    if len(own) == len(names) and set(own) != set(names) and places in (own, names):
        return held_out  # a frame whose columns have no names
    place = {name: k for k, name in enumerate(own)}
    if missing := [name for name in names if name not in place]:
        raise ValueError(
            f"x_test must have the columns of x, and lacks {listed(missing)}; it has {listed(own)}"
        )
    x, known = held_out.x[:, [place[name] for name in names]], set(names)
    rest = [name for name in own if name not in known]
    said = f"Columns of x_test that x does not have are left out: {listed(rest)}."
    return held_out._replace(x=x, said=(said,) if rest else ())


def _check_length(name: str, codes: np.ndarray, examples: int) -> None:
    if len(codes) != examples:
        raise ValueError(
            f"{name} must have one label for each of {examples} examples, got {len(codes)}"
        )


def _held_out(rows: int) -> np.ndarray:
    """Every tenth row."""
    if rows < 2:
        raise ValueError(f"x must have at least 2 examples to hold one out, got {rows}")
    return np.arange(rows) % 10 == min(9, rows - 1)


def _without_nan(x: Any) -> tuple[Any, np.ndarray | None]:
    """Examples without NaN, and where they were seen; what was not is 0."""
    if sparse.is_sparse(x) or x.dtype.kind != "f" or not np.isnan(x).any():
        return x, None
    seen = ~np.isnan(x)
    return np.where(seen, x, np.float32(0)), seen


def _flat(look: Look, shape: tuple[int, ...]) -> Look:
    """A look at the values of a step, for all steps of an example laid flat."""

    def repeated(value: Any) -> Any:
        return value if np.ndim(value) == 0 else np.tile(value, math.prod(shape[:-1]))

    scale = look.scale
    return look._replace(
        scale=scale._replace(centre=repeated(scale.centre), width=repeated(scale.width))
    )
