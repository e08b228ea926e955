"""Images side by side: what a model decodes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.sheets import GAP
from jaxvae.apps.figures.style import short, styled
from jaxvae.numerics import checks


@styled
def image_grid(
    images: Any,
    image_shape: ImageShape,
    *,
    columns: int,
    title: str,
    names: Sequence[str] = (),
    note: str = "",
) -> Figure:
    """Images in rows, from 0 (black) to 1. Examples that are no images become curves.

    Args:
      images: examples [N, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      columns: images a row.
      title: of the figure.
      names: a caption for each image, or none.
      note: a line below the images, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if images or names do not fit image_shape or each other;
        the argument is named.

    Example:
      >>> figure = image_grid(np.zeros((6, 64)), (8, 8), columns=3, title="Six")
      >>> len(figure.axes[0].images)
      6
    """
    images = arguments.examples("images", images, image_shape)
    columns = min(checks.positive_int("columns", columns), len(images))
    if names and len(names) != len(images):
        raise ValueError(f"names must be one for each of {len(images)} images, got {len(names)}")
    rows = -(-len(images) // columns)
    side = float(np.clip(12 / columns, 0.35, 1.6))  # inches a cell
    wide = side * (1 - GAP)
    caption = sheets.text_height(names) + 0.06 if names else 0.0
    cell = wide * sheets.ratio(image_shape) + caption + side * GAP
    figure, ax = sheets.sheet(columns * side, rows * cell, title=title, note=note)
    limits = sheets.limits_of(images)
    # One set of axes: one for each image takes Matplotlib ten times as long.
    for i, image in enumerate(images):
        left, top = i % columns * side, i // columns * cell + caption
        place = (left, left + wide, top + wide * sheets.ratio(image_shape), top)
        sheets.draw_example(ax, image, image_shape, place, limits)
        if names:
            at = left + wide / 2, top - 0.04
            ax.text(*at, names[i], size=sheets.SMALL, ha="center", va="bottom")
    return figure


@styled
def mosaic(images: Any, image_shape: ImageShape, *, title: str, extent: Any = None) -> Figure:
    """A square of generated images without gaps, as one picture.

    Args:
      images: examples [n * n, D], row by row from the top.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      title: of the figure.
      extent: (left, right, bottom, top) of a two-dimensional latent that the square spans, for
        its axes; None where it has none.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if there is no square number of images, or they do not fit image_shape;
        the argument is named.

    Example:
      >>> figure = mosaic(np.zeros((9, 64)), (8, 8), title="Nine")
      >>> figure.axes[0].images[0].get_array().shape
      (24, 24)
    """
    images = arguments.examples("images", images, image_shape)
    n = math.isqrt(len(images))
    if n * n != len(images):
        raise ValueError(f"images must be a square number of them, n * n, got {len(images)}")
    if image_shape is None or not arguments.is_image(image_shape):
        return image_grid(images, image_shape, columns=n, title=title)
    height, width, *channels = image_shape
    rows = images.reshape(n, n, height, width, *channels).swapaxes(1, 2)
    square = np.clip(rows.reshape(n * height, n * width, *channels), 0, 1)
    figure = Figure(figsize=(8, 8), layout="constrained")
    ax = figure.add_subplot(title=title)
    ax.imshow(square, vmin=0, vmax=1, extent=extent, aspect="auto")
    ax.set_box_aspect(height / width)
    if extent is None:
        ax.set_axis_off()
    else:
        ax.set(xlabel="$z_0$", ylabel="$z_1$")
    return figure


def corners(
    images: Any, image_shape: ImageShape, *, names: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """What each corner of the simplex decodes to: the categories' ideal examples.

    Args:
      images: one decoded image for each category [K, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      names: of the categories; None: their numbers.
      note: a line below the images, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the images do not fit image_shape; the argument is named.

    Example:
      >>> figure = corners(np.zeros((3, 64)), (8, 8), names="abc")
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['category a', 'category b', 'category c']
    """
    names = [str(name) for name in (range(len(images)) if names is None else names)]
    columns = next((few for few, most in ((5, 15), (10, 60)) if len(names) <= most), 20)
    captions = [f"category {name}" for name in names]
    if sheets.text_width(captions) > 12 / columns:
        captions = [short(name, 20 if columns == 5 else 14) for name in names]
    title = "The corners of the simplex, decoded"
    return image_grid(images, image_shape, columns=columns, title=title, names=captions, note=note)


def blend(
    images: Any,
    weights: Sequence[float],
    names: tuple[str, str],
    image_shape: ImageShape,
    *,
    note: str = "",
) -> Figure:
    """What decodes from mixtures of two categories.

    Args:
      images: one decoded image for each weight [N, D].
      weights: the share of the second category in each.
      names: the two categories.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      note: a line below the images, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if images, weights, names and image_shape do not fit each other;
        the argument is named.

    Example:
      >>> figure = blend(np.zeros((3, 64)), [0.0, 0.5, 1.0], ("3", "8"), (8, 8))
      >>> [text.get_text() for text in figure.axes[0].texts][1]
      '50% 3\\n50% 8'
    """
    if len(weights) != len(images):
        raise ValueError(
            f"weights must be one for each of {len(images)} images, got {len(weights)}"
        )
    if len(names) != 2:
        raise ValueError(f"names must be those of two categories, got {names}")
    captions = blend_names(weights, names)
    title = f"A blend of categories {names[0]} and {names[1]}"
    return image_grid(
        images, image_shape, columns=len(captions), title=title, names=captions, note=note
    )


def blend_names(weights: Sequence[float], names: tuple[str, str]) -> list[str]:
    """What each mixture of two categories is called.

    Args:
      weights: the share of the second category in each.
      names: the two categories.

    Returns:
      Two lines for each.
    """
    first, second = (short(str(name), 16) for name in names)
    return [f"{1 - w:.0%} {first}\n{w:.0%} {second}" for w in weights]
