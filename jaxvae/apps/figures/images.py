"""Images side by side: what a model decodes, and what it was given."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae.apps.figures import arguments
from jaxvae.apps.figures.arguments import ImageShape
from jaxvae.apps.figures.style import PALETTE, styled
from jaxvae.numerics import checks

GAP = 0.04  # between the cells of a grid, as a part of a cell's width


@styled
def image_grid(
    images: Any, image_shape: ImageShape, *, columns: int, title: str, names: Sequence[str] = ()
) -> Figure:
    """Images in rows, from 0 (black) to 1. Examples that are no images become curves.

    Args:
      images: examples [N, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      columns: images a row.
      title: of the figure.
      names: a caption for each image, or none.

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
    side = float(np.clip(12 / columns, 0.35, 1.6))  # inches a cell; the unit of both axes
    shape = image_shape if arguments.is_image(image_shape) and image_shape else (1, 1)
    caption = (0.16 * max(name.count("\n") + 1 for name in names) + 0.06) / side if names else 0.0
    cell = shape[0] / shape[1] + caption + GAP
    size = columns * side, rows * cell * side + 0.5
    figure = Figure(figsize=(max(size[0], 4), size[1]), layout="constrained")
    figure.suptitle(title)
    # One set of axes: one for each image takes Matplotlib ten times as long.
    ax = figure.add_subplot()
    ax.set_axis_off()
    low, high = float(np.nanmin(images)), float(np.nanmax(images))
    for i, image in enumerate(images):
        left, right = i % columns, i % columns + 1 - GAP
        top, bottom = i // columns * cell + caption, (i // columns + 1) * cell - GAP
        if not arguments.is_image(image_shape):
            height = (bottom - top) / max(high - low, 1e-9)
            for curve, colour in zip(
                arguments.curves(image, image_shape), itertools.cycle(PALETTE), strict=False
            ):
                along = np.linspace(left, right, len(curve))
                ax.plot(along, bottom - (curve - low) * height, colour, lw=1)
        else:
            place = (left, right, bottom, top)
            shown = np.clip(image.reshape(shape), 0, 1)  # colours beyond it would be wrapped
            ax.imshow(shown, vmin=0, vmax=1, extent=place, aspect="equal")
        if names:
            middle = (left + right) / 2
            ax.text(middle, top - 0.06, names[i], fontsize=9, ha="center", va="bottom")
    ax.set(xlim=(0, columns), ylim=(rows * cell, 0), aspect="equal")
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


def reconstructions(x: Any, x_decoded: Any, image_shape: ImageShape) -> Figure:
    """Originals above their reconstructions.

    Args:
      x: examples [N, D].
      x_decoded: their reconstructions [N, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.

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
    x, x_decoded = (
        arguments.examples("x", x, image_shape),
        arguments.examples("x_decoded", x_decoded),
    )
    if x.shape != x_decoded.shape:
        raise ValueError(f"x_decoded must have the shape of x, {x.shape}, got {x_decoded.shape}")
    return image_grid(
        np.concatenate([x, x_decoded]),
        image_shape,
        columns=len(x),
        title="Originals (top) and their reconstructions (bottom)",
    )


def corners(images: Any, image_shape: ImageShape, *, names: Sequence[str] | None = None) -> Figure:
    """What each corner of the simplex decodes to: the categories' ideal examples.

    Args:
      images: one decoded image for each category [K, D].
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.
      names: of the categories; None: their numbers.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the images do not fit image_shape; the argument is named.

    Example:
      >>> figure = corners(np.zeros((3, 64)), (8, 8), names="abc")
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['category a', 'category b', 'category c']
    """
    names = [f"category {k}" for k in (range(len(images)) if names is None else names)]
    title = "The corners of the simplex, decoded"
    return image_grid(images, image_shape, columns=5, title=title, names=names)


def blend(
    images: Any, weights: Sequence[float], names: tuple[str, str], image_shape: ImageShape
) -> Figure:
    """What decodes from mixtures of two categories.

    Args:
      images: one decoded image for each weight [N, D].
      weights: the share of the second category in each.
      names: the two categories.
      image_shape: (height, width) or (height, width, channels) of an image, a `Series`, or None.

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
    captions = [f"{1 - w:.0%} {names[0]}\n{w:.0%} {names[1]}" for w in weights]
    title = f"A blend of categories {names[0]} and {names[1]}"
    return image_grid(images, image_shape, columns=len(captions), title=title, names=captions)
