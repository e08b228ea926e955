"""How the examples of a run are drawn: as images and curves, or as rows of named columns."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae.apps.figures import animations, images, rows, tables
from jaxvae.apps.figures.arguments import ImageShape, Series
from jaxvae.apps.runs import Run
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import CHANNELS, dense, len_of

VALUES = 20_000_000  # of which columns are measured, at most
BARS = 20  # columns of a walk, at most
BLOCKS, ROWS = 6, 36  # examples whose styles are shown as heat maps, and their rows, at most
TOPICS, NAMED = 20, 60  # categories that are shown by their largest columns, and as rows, at most
ACROSS = 12  # images beside each other
STYLES = "The style of each test example at the left, in each category"


class Pictures(NamedTuple):
    """Examples that are images or series.

    Attributes:
      shape: of one, as it is drawn.
      low, high: of a pixel, black and white.
      note: what a reader has to know of all of them.
      channels: of a pixel, where they are no colours: then the first of them are drawn.
    """

    shape: ImageShape
    low: float = 0.0
    high: float = 1.0
    note: str = ""
    channels: int = 0

    def shown(self, x: Any) -> np.ndarray:
        """Values [..., D] from 0 to 1."""
        x = np.asarray(x, np.float64)
        if self.channels:
            drawn = self.shape[2] if self.shape is not None and len(self.shape) > 2 else 1
            pixels = x.reshape(*x.shape[:-1], -1, self.channels)[..., :drawn]
            x = pixels.reshape(*x.shape[:-1], -1)
        return (x - self.low) / (self.high - self.low)

    def pairs(self, x: Any, again: Any, names: Sequence[str], places: Sequence[int]) -> Any:
        """Originals and their reconstructions [N, D], by their labels or their places."""
        missing = "White: missing." if np.isnan(x).any() else ""
        both = self.shown(x), self.shown(again)
        return rows.reconstructions(*both, self.shape, names=names, note=_said(missing, self.note))

    def several(self, x: Any, title: str, note: str = "") -> Any:
        """Examples [N, D] one after another."""
        columns = min(len(x), max(ACROSS, round(len(x) ** 0.5)))
        whole = [few for few in range(columns, ACROSS // 2, -1) if len(x) % few == 0]
        columns = whole[0] if whole else columns  # the last row is as long as the others
        note = _said(note, self.note)
        return images.image_grid(self.shown(x), self.shape, columns=columns, title=title, note=note)

    def lattice(self, x: Any, title: str, extent: Any) -> Any:
        """Examples [n * n, D] over a plane."""
        if isinstance(self.shape, Series):
            side = round(len(x) ** 0.5)
            note = _said(_spanned(extent, side), self.note)
            return images.image_grid(
                self.shown(x), self.shape, columns=side, title=title, note=note
            )
        return images.mosaic(self.shown(x), self.shape, title=title, extent=extent)

    def corners(self, x: Any, names: Sequence[str], note: str) -> Any:
        """An example for each category [K, D]."""
        return images.corners(self.shown(x), self.shape, names=names, note=_said(note, self.note))

    def blend(self, x: Any, weights: Sequence[float], names: tuple[str, str], note: str) -> Any:
        """Mixtures of two categories [N, D]."""
        note = _said(note, self.note)
        return images.blend(self.shown(x), weights, names, self.shape, note=note)

    def groups(self, x: Any, names: Sequence[str], title: str, note: str = "") -> Any:
        """Examples [G, N, D] in groups that have names."""
        note = _said(note, self.note)
        return rows.image_rows(self.shown(x), self.shape, title=title, row_names=names, note=note)

    def styles(
        self, x: Any, names: Sequence[str], of: Sequence[str], own: Sequence[int], note: str
    ) -> Any:
        """Originals, and what each category makes of their style [R, 1 + K, D]."""
        framed = [category + 1 if category >= 0 else -1 for category in own]
        if any(category >= 0 for category in own):
            note = _said("Framed: the example's own category.", note)
        return rows.image_rows(
            self.shown(x),
            self.shape,
            title=STYLES,
            row_names=[f"label {name}" if name else "" for name in of],
            column_names=["original", *names],
            apart=1,
            framed=framed,
            note=_said(note, self.note),
        )

    def walk(self, x: Any, captions: Sequence[str], note: str = "", **shares: Any) -> Any:
        """An animation of examples [N, D]."""
        return animations.walk(self.shown(x), captions, self.shape, note=note, **shares)


class Columns(NamedTuple):
    """Examples that are rows of a table or of counts.

    Attributes:
      names: of the columns.
      scaled: makes of rows [N, D] numbers that compare from column to column.
      unit: of these.
      note: what a reader has to know of them.
      signed: whether they have a sign; else they are from 0 on.
      ranked: whether a column matters as much as it is large, as words do.
    """

    names: Sequence[str]
    scaled: Callable[[Any], np.ndarray]
    unit: str
    note: str
    signed: bool = True
    ranked: bool = False

    def _maps(self, panels: dict[str, Any], title: str, note: str = "", **more: Any) -> Any:
        return tables.heat_maps(
            {name: self.scaled(x) for name, x in panels.items()},
            column_names=self.names,
            title=title,
            unit=self.unit,
            signed=self.signed,
            note=_said(note, self.note),
            **more,
        )

    def pairs(self, x: Any, again: Any, names: Sequence[str], places: Sequence[int]) -> Any:
        """Originals and their reconstructions [N, D], by their labels or their places."""
        missing = "Grey: missing." if np.isnan(x).any() else ""
        panels = {"originals": x, "reconstructions": again}
        names = names or [f"example {row}" for row in places]
        title = "Originals and their reconstructions"
        return self._maps(panels, title, missing, row_names=names)

    def several(self, x: Any, title: str, note: str = "") -> Any:
        """Examples [N, D] one after another."""
        return self._maps({"": x}, title, _said("Each row is an example.", note))

    def lattice(self, x: Any, title: str, extent: Any) -> Any:
        """Examples [n * n, D] over a plane."""
        side = round(len(x) ** 0.5)
        left, right, bottom, top = _middles(extent, side)
        heights = np.linspace(top, bottom, side)
        names = [f"$z_1$ = {height:.2g}" for height in heights]
        said = f"In each block $z_0$ goes from {left:.2g} (its first row) to {right:.2g}."
        return self.groups(np.reshape(x, (side, side, -1)), names, title, said)

    def corners(self, x: Any, names: Sequence[str], note: str) -> Any:
        """An example for each category [K, D]."""
        most = TOPICS if self.ranked else NAMED
        if len(x) > most:
            note = _said(f"The first {most} of {len(x)} categories.", note)
        if self.ranked:
            return tables.top_columns(
                self.scaled(x)[:most],
                names=names[:most],
                column_names=self.names,
                title="The corners of the simplex, decoded: the columns with the largest shares",
                note=note,
            )
        title = "The corners of the simplex, decoded"
        return self._numbered(x[:most], title, names[:most], note)

    def blend(self, x: Any, weights: Sequence[float], names: tuple[str, str], note: str) -> Any:
        """Mixtures of two categories [N, D]."""
        captions = [text.replace("\n", ", ") for text in images.blend_names(weights, names)]
        title = f"A blend of categories {names[0]} and {names[1]}"
        return self._numbered(x, title, captions, note)

    def _numbered(self, x: Any, title: str, names: Sequence[str], note: str) -> Any:
        numbers = np.asarray(x, np.float64) if self.signed and len(x) <= 24 else None
        if numbers is not None and tables.fits_numbers(*numbers.shape):
            note = _said("Written: the values in the data's own units.", note)
        return self._maps({"": x}, title, note, row_names=names, numbers=numbers)

    def groups(self, x: Any, names: Sequence[str], title: str, note: str = "") -> Any:
        """Examples [G, N, D] in groups that have names."""
        return self._maps(dict(zip(names, x, strict=True)), title, note)

    def styles(
        self, x: Any, names: Sequence[str], of: Sequence[str], own: Sequence[int], note: str
    ) -> Any:
        """Originals, and what each category makes of their style [R, 1 + K, D]."""
        blocks = max(1, min(len(x), BLOCKS, ROWS // (len(names) + 1)))
        some = np.linspace(0, len(x) - 1, blocks).astype(int)  # they are sorted by their labels
        panels = {
            f"{i + 1}. example" + (f", {of[k]}" if of[k] else ""): x[k] for i, k in enumerate(some)
        }
        title = "The style of test examples, in each category"
        return self._maps(panels, title, note, row_names=["original", *names])

    def walk(self, x: Any, captions: Sequence[str], note: str = "", **shares: Any) -> Any:
        """An animation of examples [N, D]."""
        values = self.scaled(x)
        some = tables.most_varied(values, BARS)
        few = [self.names[k] for k in some]
        if len(some) < len(self.names):
            note = _said(note, f"{len(some)} of {len(self.names):,} columns.")
        own: dict[str, Any] = {"column_names": few, "unit": self.unit, "note": note}
        return animations.walk(values[:, some], captions, None, **own, **shares)


Drawing = Pictures | Columns


def drawing_of(run: Run, data: Dataset | None, width: int) -> Drawing:
    """How the examples of a run are drawn.

    Args:
      run: the run.
      data: its data; None where they are not at hand: columns are then not measured.
      width: how many values are decoded for an example.

    Returns:
      The way.
    """
    model = run.config.model
    values = int(np.prod(model.data_shape))
    names = model.column_names or tuple(f"column {k}" for k in range(values))
    if width != values:  # each value has a probability for each of its categories
        each = width // values
        names = tuple(f"{name} = {k}" for name in names for k in range(each))
        return Columns(names, np.asarray, "probability", "", signed=False)
    if model.series_shape is not None:
        shape = Series(*model.series_shape)
        note = f"A curve for each of {shape.values} values." if shape.values > 1 else ""
        return Pictures(shape, note=note)
    if model.image_shape is not None:
        return _pictures(model.image_shape, *(model.image_range or (0.0, 1.0)))
    if model.data_kind == "counts":
        note = "Shares of the total of each row."
        return Columns(names, _shares, "share of the total", note, signed=False, ranked=True)
    assert run.vae.parts is not None
    forward = run.vae.parts.transform.forward

    def in_units(x: Any) -> np.ndarray:
        rows = jnp.asarray(x, jnp.float32).reshape(-1, *model.data_shape)
        return np.asarray(forward(rows), np.float64).reshape(np.shape(x))

    if data is None:
        note = "Colours: in the units that the model sees."
        return Columns(names, in_units, "the model's units", note)
    centre, scale = _measured(in_units, data)
    curve = data.look.scale.curve
    note = "Colours: the distance from the mean of the column, in its standard deviations."
    if curve != "linear":
        note += f" Of each column the {curve}, as the model sees it."

    def scaled(x: Any) -> np.ndarray:
        return (in_units(x) - centre) / scale

    return Columns(names, scaled, "standard deviations", note)


def _pictures(shape: tuple[int, ...], low: float, high: float) -> Pictures:
    """Images; of channels that are no colours the first three, or the first."""
    size, channels = shape[:2], shape[2] if len(shape) > 2 else 1
    if channels in CHANNELS:
        return Pictures(shape, low, high)
    drawn, which = ((*size, 3), "first 3") if channels > 3 else (size, "first")
    return Pictures(drawn, low, high, f"The {which} of {channels} channels.", channels)


def _measured(
    in_units: Callable[[Any], np.ndarray], data: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of the training examples, over what was seen."""
    count = len_of(data.x_train)
    most = max(2, VALUES // data.x_train.shape[1])
    step = -(-count // most)
    x = in_units(dense(data.x_train[::step]).reshape(-1, int(np.prod(data.x_train.shape[1:]))))
    seen = np.ones(x.shape, bool)
    if data.mask_train is not None:
        seen = np.asarray(data.mask_train[::step], bool).reshape(x.shape)
    known = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, x, 0).sum(axis=0) / known
    scale = np.sqrt(np.where(seen, (x - mean) ** 2, 0).sum(axis=0) / known)
    return mean, np.where(scale > 0, scale, 1.0)


def _shares(x: Any) -> np.ndarray:
    """Rows of counts as shares of their totals; means that are no counts may lie below 0."""
    x = np.maximum(np.asarray(x, np.float64), 0)
    total = np.nansum(x, axis=-1, keepdims=True)
    return x / np.where(total > 0, total, 1.0)


def _middles(extent: Any, side: int) -> tuple[float, float, float, float]:
    """Of the outermost cells of a square lattice, (left, right, bottom, top)."""
    left, right, bottom, top = (float(edge) for edge in extent)
    across, up = (right - left) / side / 2, (top - bottom) / side / 2
    return left + across, right - across, bottom + up, top - up


def _spanned(extent: Any, side: int) -> str:
    left, right, bottom, top = _middles(extent, side)
    return f"$z_0$ from {left:.2g} to {right:.2g}, $z_1$ from {bottom:.2g} up to {top:.2g}."


def _said(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
