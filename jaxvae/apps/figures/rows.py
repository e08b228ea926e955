"""Rows and columns of images, both named: originals beside what is made of them, styles, draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.sheets import GAP
from jaxvae.apps.figures.style import PALETTE, short, styled

BESIDE = 12  # originals beside each other, at most
FRAME = PALETTE[1]


def image_rows(
    images: Any,
    image_shape: ImageShape,
    *,
    title: str,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    apart: int = 0,
    framed: Sequence[int] = (),
    note: str = "",
) -> Figure:
    """Images in rows and columns that have names.

    Args:
      images: examples [R, C, D]: R rows of C.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      title: of the figure.
      row_names: what stands at the left of each row, or none.
      column_names: what stands over each column, or none.
      apart: how many columns at the left stand apart from the others.
      framed: for each row which of its images gets a frame, -1 for none; or none at all.
      note: a line below the images, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if images are no rows of image_shape, or names do not fit them; the
        argument is named.

    Example:
      >>> figure = image_rows(
      ...     np.zeros((2, 3, 64)), (8, 8), title="Two styles", column_names=["original", "3", "8"]
      ... )
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['original', '3', '8']
    """
    rows = list(images)
    widths = {len(row) for row in rows}
    if np.ndim(images) != 3 or 0 in np.shape(images):
        raise ValueError(f"images must have the shape [R, C, D], not empty, got {np.shape(images)}")
    for name, names, count in (
        ("row_names", row_names, len(rows)),
        ("column_names", column_names, widths.pop()),
        ("framed", framed, len(rows)),
    ):
        if len(names) not in (0, count):
            raise ValueError(f"{name} must be one for each of {count}, got {len(names)}")
    return _rows(
        [arguments.examples("images", row, image_shape) for row in rows],
        image_shape,
        title=title,
        row_names=row_names,
        column_names=column_names,
        apart=apart,
        framed=framed,
        note=note,
    )


def reconstructions(
    x: Any, x_decoded: Any, image_shape: ImageShape, *, names: Sequence[str] = (), note: str = ""
) -> Figure:
    """Originals above their reconstructions, at most twelve beside each other.

    Args:
      x: examples [N, D]; NaN where a value is missing.
      x_decoded: their reconstructions [N, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      names: a caption for each example, or none.
      note: a line below the images, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the two have different shapes, or do not fit image_shape;
        the argument is named.

    Example:
      >>> figure = reconstructions(np.zeros((5, 64)), np.ones((5, 64)), (8, 8))
      >>> len(figure.axes[0].images)
      10
    """
    x = arguments.examples("x", x, image_shape)
    x_decoded = arguments.examples("x_decoded", x_decoded)
    if x.shape != x_decoded.shape:
        raise ValueError(f"x_decoded must have the shape of x, {x.shape}, got {x_decoded.shape}")
    if names and len(names) != len(x):
        raise ValueError(f"names must be one for each of {len(x)} examples, got {len(names)}")
    banks = -(-len(x) // BESIDE)
    size = -(-len(x) // banks)
    parts = [slice(start, start + size) for start in range(0, len(x), size)]
    return _rows(
        [both[part] for part in parts for both in (x, x_decoded)],
        image_shape,
        title="Originals and their reconstructions",
        row_names=["original", "reconstruction"] * len(parts),
        captions=[own for part in parts for own in (names[part], ())],
        together=2,
        note=note,
    )


@styled
def _rows(
    rows: Sequence[np.ndarray],
    image_shape: ImageShape,
    *,
    title: str,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
    together: int = 1,
    apart: int = 0,
    framed: Sequence[int] = (),
    note: str = "",
) -> Figure:
    """As `image_rows`, of rows that may be shorter than the first.

    `captions` stand over single images, and so many rows lie `together`, a gap after them.
    """
    columns = len(rows[0])
    side = float(np.clip(11 / columns, 0.45, 1.0))
    wide, gap = side * (1 - GAP), side * GAP
    high = wide * sheets.ratio(image_shape)
    names = [short(name, 24) for name in row_names]
    left = sheets.text_width(names) + 0.12 if names else 0.0
    over = [short(name, 20) for name in column_names]
    slanted = sheets.text_width(over) > wide
    over_height = sheets.text_height(over) if not slanted else 0.65 * sheets.text_width(over) + 0.14
    tops, y = [], over_height + 0.05 if over else 0.0
    for i in range(len(rows)):
        own = captions[i] if captions else ()
        y += sheets.text_height(own) + 0.04 if own else 0.0
        tops.append(y)
        y += high + gap + (0.12 if together > 1 and i % together == together - 1 else 0.0)
    aside = 0.18 if apart else 0.0
    slant_room = 0.77 * sheets.text_width(over[-1:]) + 0.1 if slanted else 0.0
    width = left + columns * side + aside + max(0.0, slant_room - side / 2)
    figure, ax = sheets.sheet(width, y, title=title, note=note)
    limits = sheets.limits_of(np.concatenate(rows))
    at = [left + k * side + (aside if k >= apart else 0.0) for k in range(columns)]
    for k, name in enumerate(over):
        look: dict[str, Any] = {"ha": "center", "va": "bottom"}
        if slanted:
            look = {"ha": "left", "va": "bottom", "rotation": 40, "rotation_mode": "anchor"}
        ax.text(at[k] + wide / 2, over_height, name, size=sheets.SMALL, **look)
    for i, (row, top) in enumerate(zip(rows, tops, strict=True)):
        if names:
            ax.text(left - 0.1, top + high / 2, names[i], size=9, ha="right", va="center")
        for k, image in enumerate(row):
            place = (at[k], at[k] + wide, top + high, top)
            sheets.draw_example(ax, image, image_shape, place, limits)
            if captions and captions[i]:
                middle = at[k] + wide / 2
                ax.text(middle, top - 0.03, captions[i][k], size=9, ha="center", va="bottom")
            if framed and framed[i] == k:
                size = (wide, high)
                frame = Rectangle((at[k], top), *size, fill=False, edgecolor=FRAME, linewidth=2)
                ax.add_patch(frame)
    return figure
