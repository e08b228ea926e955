"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot.

Each raises ValueError or TypeError, the argument named, if its arrays do not fit together.
"""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae import _checks

ImageShape = tuple[int, int] | None
GAP = 0.04  # between the cells of a grid, as a part of a cell's width


def latent_scatter(z: Any, y: Any = None, *, title: str = "Latent space") -> Figure:
    """Examples in the latent space, coloured by label.

    Args:
      z: posterior means [N, K]. K = 2 is drawn as it is. Rows that lie on a simplex are drawn in
        a regular polygon with a corner for each category; of any other z, the first two axes.
      y: integer labels [N], or None.
      title: of the figure.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if z is no array of finite numbers [N, K], or y no labels of it;
        the argument is named.

    Example:
      >>> figure = latent_scatter(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 3)
      >>> figure.axes[0].get_xlabel()
      '$z_0$'
    """
    z = _examples("z", z)
    y = None if y is None else _checks.label_array("y", y, len(z))
    categories = z.shape[1]
    simplex = categories > 2 and bool(np.allclose(z.sum(axis=1), 1, atol=1e-3) and z.min() >= 0)
    figure = Figure(figsize=(8, 7), layout="constrained")
    ax = figure.add_subplot(title=title)
    if simplex:
        z = z @ _polygon(categories)
        _draw_simplex_axes(
            ax,
            radius=min(1.0, 1.15 * float(np.linalg.norm(z, axis=1).max())),
            categories=categories,
        )
    elif categories == 1:
        z = np.column_stack([z[:, 0], np.zeros(len(z))])
        ax.set(xlabel="$z_0$", yticks=[])
    else:
        ax.set(xlabel="$z_0$", ylabel="$z_1$")
    size = float(np.clip(4000 / len(z), 2, 16))
    if y is None:
        ax.scatter(z[:, 0], z[:, 1], s=size, linewidths=0, alpha=0.6)
        return figure
    labels = np.unique(y)
    colours = mpl.colormaps["tab10" if len(labels) <= 10 else "turbo"]
    for i, label in enumerate(labels):
        colour = colours(i if len(labels) <= 10 else i / (len(labels) - 1))
        points = z[y == label, :2]
        ax.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            color=colour,
            linewidths=0,
            alpha=0.6,
            label=str(label),
        )
        if not simplex:
            box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": colour, "alpha": 0.85}
            ax.annotate(str(label), np.median(points, axis=0), ha="center", va="center", bbox=box)
    figure.legend(title="label", loc="outside right upper", markerscale=16 / size**0.5 / 2)
    return figure


def image_grid(
    images: Any, image_shape: ImageShape, *, columns: int, title: str, names: Sequence[str] = ()
) -> Figure:
    """Images in rows, on one grey scale from 0 to 1. Examples that are no images become curves.

    Args:
      images: examples [N, D].
      image_shape: (height, width), or None where an example is no image.
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
    images = _examples("images", images, image_shape)
    columns = min(_checks.positive_int("columns", columns), len(images))
    if names and len(names) != len(images):
        raise ValueError(f"names must be one for each of {len(images)} images, got {len(names)}")
    rows = -(-len(images) // columns)
    side = float(np.clip(12 / columns, 0.35, 1.6))  # inches a cell; the unit of both axes
    shape = image_shape or (1, 1)
    caption = (0.16 * max(name.count("\n") + 1 for name in names) + 0.06) / side if names else 0.0
    cell = shape[0] / shape[1] + caption + GAP
    size = columns * side, rows * cell * side + 0.5
    figure = Figure(figsize=(max(size[0], 4), size[1]), layout="constrained")
    figure.suptitle(title)
    # One set of axes: one for each image takes Matplotlib ten times as long.
    ax = figure.add_subplot()
    ax.set_axis_off()
    low, high = float(images.min()), float(images.max())
    for i, image in enumerate(images):
        left, right = i % columns, i % columns + 1 - GAP
        top, bottom = i // columns * cell + caption, (i // columns + 1) * cell - GAP
        if image_shape is None:
            height = (bottom - top) / max(high - low, 1e-9)
            ax.plot(
                np.linspace(left, right, len(image)), bottom - (image - low) * height, "C0", lw=1
            )
        else:
            place = (left, right, bottom, top)
            ax.imshow(
                image.reshape(shape), cmap="gray", vmin=0, vmax=1, extent=place, aspect="equal"
            )
        if names:
            middle = (left + right) / 2
            ax.text(middle, top - 0.06, names[i], fontsize=9, ha="center", va="bottom")
    ax.set(xlim=(0, columns), ylim=(rows * cell, 0), aspect="equal")
    return figure


def mosaic(images: Any, image_shape: ImageShape, *, title: str, extent: Any = None) -> Figure:
    """A square of generated images without gaps, as one picture.

    Args:
      images: examples [n * n, D], row by row from the top.
      image_shape: (height, width), or None where an example is no image.
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
    images = _examples("images", images, image_shape)
    n = math.isqrt(len(images))
    if n * n != len(images):
        raise ValueError(f"images must be a square number of them, n * n, got {len(images)}")
    if image_shape is None:
        return image_grid(images, None, columns=n, title=title)
    height, width = image_shape
    square = images.reshape(n, n, height, width).swapaxes(1, 2).reshape(n * height, n * width)
    figure = Figure(figsize=(8, 8), layout="constrained")
    ax = figure.add_subplot(title=title)
    ax.imshow(square, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="auto")
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
      image_shape: (height, width), or None where an example is no image.

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
    x, x_decoded = _examples("x", x, image_shape), _examples("x_decoded", x_decoded)
    if x.shape != x_decoded.shape:
        raise ValueError(f"x_decoded must have the shape of x, {x.shape}, got {x_decoded.shape}")
    return image_grid(
        np.concatenate([x, x_decoded]),
        image_shape,
        columns=len(x),
        title="Originals (top) and their reconstructions (bottom)",
    )


def corners(images: Any, image_shape: ImageShape) -> Figure:
    """What each corner of the simplex decodes to: the categories' ideal examples.

    Args:
      images: one decoded image for each category [K, D].
      image_shape: (height, width), or None where an example is no image.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the images do not fit image_shape; the argument is named.

    Example:
      >>> figure = corners(np.zeros((3, 64)), (8, 8))
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['category 0', 'category 1', 'category 2']
    """
    names = [f"category {k}" for k in range(len(images))]
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
      image_shape: (height, width), or None where an example is no image.

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


def loss_curves(epochs: Sequence[Any], *, unit: str = "nats") -> Figure:
    """Loss and its terms against the epoch.

    Args:
      epochs: records with `epoch`, `loss`, `reconstruction` and `kl`, as `History.epochs`.
      unit: what the loss is measured in.

    Returns:
      The figure.

    Example:
      >>> from jaxvae import EpochRecord
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0]))
      >>> [ax.get_title() for ax in loss_curves([record]).axes]
      ['loss', 'reconstruction', 'KL']
    """
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    number = [record.epoch + 1 for record in epochs]
    for ax, term in zip(panels, ("loss", "reconstruction", "kl"), strict=True):
        ax.plot(number, [getattr(record, term) for record in epochs], marker=".")
        ax.set(xlabel="epoch", ylabel=unit, title="KL" if term == "kl" else term)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    return figure


def lattice(z: Any, n: int = 30) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A square lattice over the range of a two-dimensional latent.

    Args:
      z: points [N, 2].
      n: points a side, at least 2.

    Returns:
      [n * n, 2], row by row from the top left, and the extent (left, right, bottom, top) of the
      cells around them.

    Raises:
      ValueError, TypeError: if z is not of two finite columns, or n no integer of at least 2.

    Example:
      >>> points, extent = lattice(np.array([[-1.0, -1.0], [1.0, 1.0]]), n=3)
      >>> points.shape, tuple(float(edge) for edge in extent)
      ((9, 2), (-1.5, 1.5, -1.5, 1.5))
    """
    z, n = _examples("z", z), _checks.positive_int("n", n, minimum=2)
    if z.shape[1] != 2:
        raise ValueError(f"z must have the shape [N, 2], got {z.shape}")
    (left, bottom), (right, top) = np.min(z, axis=0), np.max(z, axis=0)
    across, down = np.meshgrid(np.linspace(left, right, n), np.linspace(top, bottom, n))
    half = (right - left) / (n - 1) / 2, (top - bottom) / (n - 1) / 2
    extent = (left - half[0], right + half[0], bottom - half[1], top + half[1])
    return np.stack([across, down], axis=-1).reshape(-1, 2).astype(np.float32), extent


def _examples(name: str, value: Any, image_shape: ImageShape = None) -> np.ndarray:
    """Examples as float64 [N, D], or raise if they are none, or no images of this shape."""
    array = _checks.real_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape [N, D], not empty, got {array.shape}")
    if image_shape is not None and math.prod(image_shape) != array.shape[1]:
        raise ValueError(
            f"image_shape must be of the {array.shape[1]} values of an example, got {image_shape}"
        )
    return array.astype(np.float64)


def _draw_simplex_axes(ax: Axes, *, radius: float, categories: int) -> None:
    """A ray towards each corner of the projected simplex, as far as the points reach."""
    for category, corner in enumerate(_polygon(categories)):
        ax.plot(*np.outer(corner, [0, radius]), color="0.85", linewidth=1, zorder=0)
        ax.annotate(str(category), 1.07 * radius * corner, ha="center", va="center", size=13)
    limit = 1.15 * radius
    ax.set(
        xlabel=f"simplex, projected: ray $k$ leads to category $k$; radius {radius:.2f} of 1 shown",
        xticks=[],
        yticks=[],
        xlim=(-limit, limit),
        ylim=(-limit, limit),
    )
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _polygon(corners: int) -> np.ndarray:
    """The corners of a regular polygon, the first at the top, clockwise."""
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.column_stack([np.sin(angle), np.cos(angle)])
