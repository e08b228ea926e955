"""Pictures whose parts are placed in inches: images, curves and cells of the same size everywhere.

Matplotlib's own layouts shrink what they place until it fits; here the sheet grows instead.
"""

import functools
import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from jaxvae.apps.figures import arguments
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.style import PALETTE

MARGIN = 0.12  # inches, on all sides
# Inches a character of the default font, on average, and a line, for each point of its size.
CHARACTER, LINE = 0.0082, 0.0175
SMALL, TITLE = 9.0, 13.0  # points
NARROWEST = 5.0  # inches, so that titles have room
GAP = 0.04  # between the cells of a grid, as a part of a cell's width


def text_width(texts: Sequence[str], size: float = SMALL) -> float:
    """How wide the longest line of some texts is.

    Args:
      texts: of one line or more.
      size: of the font, in points.

    Returns:
      Inches; 0 without texts.
    """
    return max((_line_width(line) for text in texts for line in text.split("\n")), default=0) * size


@functools.lru_cache(maxsize=4096)
def _line_width(line: str) -> float:
    """Of a line of one point, in inches."""
    plain = line.replace("$", "").replace("_", "")  # of a formula much the same
    font = FontProperties(size=100)
    return float(text_to_path.get_text_width_height_descent(plain, font, ismath=False)[0]) / 7200


def text_height(texts: Sequence[str], size: float = SMALL) -> float:
    """How high the text with the most lines is.

    Args:
      texts: of one line or more.
      size: of the font, in points.

    Returns:
      Inches; 0 without texts.
    """
    return max((text.count("\n") + 1 for text in texts), default=0) * LINE * size


def wrapped(text: str, width: float, size: float) -> str:
    """A text in lines that are about so wide.

    Args:
      text: of one line or more.
      width: of the figure, in inches, its margins included.
      size: of the font, in points.

    Returns:
      The text, its lines broken.
    """
    most = max(20, int((width - 2 * MARGIN) / (CHARACTER * size)))
    return "\n".join(
        line for part in text.split("\n") for line in textwrap.wrap(part, most) or [""]
    )


def sheet(width: float, height: float, *, title: str, note: str = "") -> tuple[Figure, Axes]:
    """A figure with room for so much, a title above it and a note below.

    Args:
      width: of what is to be placed, in inches.
      height: of it.
      title: of the figure.
      note: what a reader has to know, or nothing.

    Returns:
      The figure, and axes in inches from the top left of the room.
    """
    whole = max(width, NARROWEST) + 2 * MARGIN
    title = wrapped(title, whole, TITLE)
    above = MARGIN + text_height([title], TITLE) + 0.06 if title else MARGIN
    note = wrapped(note, whole, SMALL)
    below = MARGIN + text_height([note], SMALL) + 0.06 if note else MARGIN
    figure = Figure(figsize=(whole, above + height + below))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_autoscale_on(False)
    left = (width - whole) / 2
    ax.set(xlim=(left, left + whole), ylim=(height + below, -above))
    high = above + height + below
    if title:
        figure.suptitle(title, y=1 - MARGIN / high, va="top")
    if note:
        figure.text(0.5, MARGIN / high, note, ha="center", va="bottom", size=SMALL, color="0.35")
    return figure, ax


def ratio(image_shape: ImageShape) -> float:
    """Of the height of a cell to its width.

    Args:
      image_shape: of an example.

    Returns:
      The ratio; of curves 0.75.
    """
    if image_shape is None or not arguments.is_image(image_shape):
        return 0.75
    return image_shape[0] / image_shape[1]


def draw_example(
    ax: Axes,
    example: np.ndarray,
    image_shape: ImageShape,
    place: tuple[float, float, float, float],
    limits: tuple[float, float],
) -> None:
    """Draw an example into its cell: an image, or a curve for each of its values.

    Args:
      ax: of a sheet.
      example: [D].
      image_shape: of it.
      place: (left, right, bottom, top) in inches.
      limits: of a curve, the lowest and the highest value that the cell reaches to.
    """
    left, right, bottom, top = place
    if image_shape is not None and arguments.is_image(image_shape):
        shown = np.clip(example.reshape(image_shape), 0, 1)  # colours beyond it would be wrapped
        shown = np.nan_to_num(shown, nan=1.0)  # what is missing is white
        ax.imshow(shown, vmin=0, vmax=1, extent=place, aspect="auto", interpolation="nearest")
        return
    low, high = limits
    unit = (bottom - top) / max(high - low, 1e-9)
    box = Rectangle((left, top), right - left, bottom - top, facecolor="0.96", linewidth=0)
    ax.add_patch(box)
    curves = arguments.curves(example, image_shape)
    for curve, colour in zip(curves, itertools.cycle(PALETTE), strict=False):
        along = np.linspace(left, right, len(curve))
        ax.plot(along, bottom - (curve - low) * unit, colour, lw=1)


def limits_of(examples: Any) -> tuple[float, float]:
    """The least and the greatest value of examples, what is missing left out.

    Args:
      examples: an array.

    Returns:
      The two; 0 and 1 where nothing is there.
    """
    seen = examples[np.isfinite(examples)]
    return (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
