"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot.

One style for all: `PALETTE` and `MARKERS` for labels, `STYLE` for the rest. Ten labels differ in a
colour that the colour-blind can tell apart and, where points are large enough to show it, in a
marker.

Each raises ValueError or TypeError, the argument named, if its arrays do not fit together.
"""

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from PIL import Image

from jaxvae._door import door
from jaxvae.numerics import checks

ImageShape = tuple[int, int] | None
# Petroff, 2021, Accessible color sequences for data visualization, arXiv:2107.02270.
PALETTE = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", ">")
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "figure.titlesize": 13,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "0.88",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "image.cmap": "gray",
}
styled = mpl.rc_context(STYLE)  # a decorator
GAP = 0.04  # between the cells of a grid, as a part of a cell's width


@styled
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
    y = None if y is None else checks.label_array("y", y, len(z))
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
    _draw_points(ax, z[:, :2], y)
    if y is not None:
        for label in [] if simplex else np.unique(y):
            colour, _ = _look(label)
            box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": colour, "alpha": 0.85}
            middle = np.median(z[y == label, :2], axis=0)
            ax.annotate(str(label), middle, ha="center", va="center", bbox=box)
        figure.legend(title="label", loc="outside right upper")
    return figure


@styled
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
    columns = min(checks.positive_int("columns", columns), len(images))
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
            along = np.linspace(left, right, len(image))
            ax.plot(along, bottom - (image - low) * height, PALETTE[0], lw=1)
        else:
            place = (left, right, bottom, top)
            ax.imshow(image.reshape(shape), vmin=0, vmax=1, extent=place, aspect="equal")
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


@door("figures")
class GifWriter(AbstractMovieWriter):
    """Writes an animation as a GIF whose frames share one palette of 256 colours.

    With one palette only what changed is stored: a third of the bytes of Matplotlib's own writer,
    which gives each frame a palette.

    Example:
      >>> import tempfile
      >>> animation = walk(np.eye(4), ["a", "b", "c", "d"], (2, 2))
      >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
      ...     animation.save(file.name, writer=GifWriter(fps=12))
      ...     file.read(3)
      b'GIF'
    """

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        super().setup(fig, outfile, dpi)
        self._frames: list[Image.Image] = []

    def grab_frame(self, **options: Any) -> None:
        buffer = io.BytesIO()
        self.fig.savefig(buffer, format="rgba", dpi=self.dpi, **options)
        frame = Image.frombytes("RGBA", self.frame_size, buffer.getvalue())
        self._frames.append(frame.convert("RGB"))

    def finish(self) -> None:
        some = self._frames[::3]
        pixels = Image.fromarray(np.concatenate([np.asarray(frame) for frame in some]))
        palette = pixels.quantize(256)
        first, *rest = (
            frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames
        )
        first.save(
            self.outfile, "GIF", save_all=True, append_images=rest, duration=1000 / self.fps, loop=0
        )


@styled
def loss_curves(epochs: Sequence[Any], *, unit: str = "nats") -> Figure:
    """Loss and its terms against the epoch. The first tenth may leave the picture: it is steep.

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
    return _loss_panels([epochs], unit)


@styled
def loss_spread(runs: Sequence[Sequence[Any]], *, unit: str = "nats") -> Figure:
    """Loss and its terms against the epoch, over several runs: their mean and their spread.

    As in `loss_curves`, the first tenth of the epochs may leave the picture.

    Args:
      runs: the records of each run, as in `loss_curves`; each of as many epochs.
      unit: what the loss is measured in.

    Returns:
      The figure: a line for the mean, a dark band of one standard deviation, and a light one from
      the lowest run to the highest.

    Raises:
      ValueError: if runs are fewer than two, or have different numbers of epochs.

    Example:
      >>> from types import SimpleNamespace
      >>> run = [SimpleNamespace(epoch=e, loss=9 - e, reconstruction=8 - e, kl=1) for e in range(3)]
      >>> len(loss_spread([run, run]).axes)
      3
    """
    if len(runs) < 2 or len({len(epochs) for epochs in runs}) > 1:
        raise ValueError(
            "runs must be at least two, each of as many epochs, got "
            f"{[len(epochs) for epochs in runs]} epochs"
        )
    figure = _loss_panels(runs, unit)
    figure.suptitle(
        f"{len(runs)} seeds: mean, one standard deviation (dark), lowest to highest (light)"
    )
    return figure


@styled
def ternary(shares: Any, y: Any = None, *, names: Sequence[str], title: str) -> Figure:
    """Examples in the triangle of three categories, coloured by label.

    Args:
      shares: what each example has of the three [N, 3], at least 0 and not all 0; scaled to a sum
        of 1.
      y: integer labels [N], or None.
      names: of the three corners: the first at the top, then clockwise.
      title: of the figure.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if shares are no three shares an example, y no labels of them, or names
        not three; the argument is named.

    Example:
      >>> figure = ternary(np.eye(3), [0, 1, 2], names=["a", "b", "c"], title="Corners")
      >>> figure.axes[0].get_title()
      'Corners'
    """
    shares = _examples("shares", shares)
    if shares.shape[1] != 3 or len(names) != 3:
        raise ValueError(
            f"shares must have the shape [N, 3], with three names, got {shares.shape} and "
            f"{len(names)} names"
        )
    if shares.min() < 0 or not (shares.sum(axis=1) > 0).all():
        raise ValueError(f"shares must be at least 0 and not all 0, got {shares.min()}")
    y = None if y is None else checks.label_array("y", y, len(shares))
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    ax = figure.add_subplot(title=title)
    ax.set_axis_off()
    triangle = _polygon(3)
    ax.fill(*triangle.T, facecolor="none", edgecolor="0.3", linewidth=1)
    for k in range(3):
        start, end = np.roll(triangle, -k, axis=0)[:2]
        for share in (0.25, 0.5, 0.75):  # of category k, along the line parallel to its far side
            near = [start * share + triangle[other] * (1 - share) for other in ((k + 1) % 3, k - 1)]
            ax.plot(*np.transpose(near), color="0.88", linewidth=1, zorder=0)
            ax.annotate(
                f"{share:.0%}",
                start * share + end * (1 - share),
                xytext=14 * (start + end) / np.linalg.norm(start + end),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=8,
                color="0.45",
            )
        ax.annotate(names[k], 1.1 * start, ha="center", va="center", fontsize=13)
    points = shares / shares.sum(axis=1, keepdims=True) @ triangle
    _draw_points(ax, points, y)
    if y is not None:
        figure.legend(title="label", loc="outside right upper")
    ax.set(xlim=(-1.05, 1.05), ylim=(-0.64, 1.18), aspect="equal")
    return figure


@styled
def walk(
    images: Any, captions: Sequence[str], image_shape: ImageShape, *, shares: Any = None
) -> FuncAnimation:
    """A walk through the latent space, a frame for each step.

    Args:
      images: what decodes from each step [N, D].
      captions: a line of text for each step.
      image_shape: (height, width), or None where an example is no image.
      shares: the point on the simplex at each step [N, K], drawn as bars beside the image; or
        None.

    Returns:
      The animation; its `save("walk.gif", writer=GifWriter(fps=12))` writes it.

    Raises:
      ValueError, TypeError: if captions or shares are not one for each image, or images do not fit
        image_shape; the argument is named.

    Example:
      >>> animation = walk(np.eye(4), ["a", "b", "c", "d"], (2, 2), shares=np.eye(4))
      >>> import tempfile
      >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
      ...     animation.save(file.name, writer=GifWriter(fps=2))
      ...     with Image.open(file.name) as gif:
      ...         gif.n_frames
      4
    """
    images = _examples("images", images, image_shape)
    if len(captions) != len(images):
        raise ValueError(
            f"captions must be one for each of {len(images)} images, got {len(captions)}"
        )
    figure = Figure(figsize=(3.2 if shares is None else 5.6, 3.6), dpi=80)
    # Placed by hand: a layout of its own for each frame would make the picture tremble.
    width = 0.88 if shares is None else 0.5
    ax = figure.add_axes((0.06, 0.06, width, 0.8))
    caption = figure.suptitle(captions[0], y=0.96)
    ax.set_axis_off()
    if image_shape is None:
        (curve,) = ax.plot(images[0], linewidth=1.5)
        low, high = float(images.min()), float(images.max())
        ax.set_ylim(low, max(high, low + 1e-9))
    else:
        shown = images.reshape(-1, *image_shape)
        picture = ax.imshow(shown[0], vmin=0, vmax=1)
    if shares is not None:
        shares = _examples("shares", shares)
        if len(shares) != len(images):
            raise ValueError(
                f"shares must be one row for each of {len(images)} images, got {len(shares)}"
            )
        categories = range(shares.shape[1])
        side = figure.add_axes((0.64, 0.14, 0.32, 0.7))
        colours = [_look(k)[0] for k in categories]
        bars = side.barh(categories, shares[0], color=colours, edgecolor="0.3", linewidth=0.5)
        side.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "½", "1"))
        side.set(ylim=(len(categories) - 0.4, -0.6), xlabel="share")
        if len(categories) <= 20:
            side.set_yticks(categories)
        side.tick_params(length=0)

    def draw(step: int) -> list[Any]:
        caption.set_text(captions[step])
        if image_shape is None:
            curve.set_ydata(images[step])
        else:
            picture.set_data(shown[step])
        if shares is not None:
            for bar, share in zip(bars, shares[step], strict=True):
                bar.set_width(share)
        return []

    return FuncAnimation(figure, draw, frames=len(images), interval=80)


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
    z, n = _examples("z", z), checks.positive_int("n", n, minimum=2)
    if z.shape[1] != 2:
        raise ValueError(f"z must have the shape [N, 2], got {z.shape}")
    (left, bottom), (right, top) = np.min(z, axis=0), np.max(z, axis=0)
    across, down = np.meshgrid(np.linspace(left, right, n), np.linspace(top, bottom, n))
    half = (right - left) / (n - 1) / 2, (top - bottom) / (n - 1) / 2
    extent = (left - half[0], right + half[0], bottom - half[1], top + half[1])
    return np.stack([across, down], axis=-1).reshape(-1, 2).astype(np.float32), extent


def _examples(name: str, value: Any, image_shape: ImageShape = None) -> np.ndarray:
    """Examples as float64 [N, D], or raise if they are none, or no images of this shape."""
    array = checks.real_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape [N, D], not empty, got {array.shape}")
    if image_shape is not None and math.prod(image_shape) != array.shape[1]:
        raise ValueError(
            f"image_shape must be of the {array.shape[1]} values of an example, got {image_shape}"
        )
    return array.astype(np.float64)


def _look(label: int) -> tuple[str, str]:
    """The colour and the marker of a label: ten of each, a hundred pairs of them."""
    return PALETTE[label % 10], MARKERS[(label + label // 10) % 10]


def _draw_points(ax: Axes, points: np.ndarray, y: np.ndarray | None) -> None:
    """Points [N, 2], smaller the more there are, with a legend entry for each label."""
    size = float(np.clip(9000 / len(points), 4, 36))
    look: dict[str, Any] = {"s": size, "alpha": 0.75, "linewidths": 0}
    large = size > 12  # smaller markers cannot be told apart, and some look larger than others
    if large:
        look |= {"linewidths": 0.4, "edgecolors": "white"}
    if y is None:
        ax.scatter(*points.T, **look)
        return
    for label in np.unique(y):
        colour, marker = _look(label)
        marker = marker if large else "o"
        ax.scatter(*points[y == label].T, color=colour, marker=marker, **look)
        # The legend's own: of one size, however small the points are.
        ax.scatter([], [], color=colour, marker=marker, s=45, label=str(label))


def _loss_panels(runs: Sequence[Sequence[Any]], unit: str) -> Figure:
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    number = [record.epoch + 1 for record in runs[0]]
    for ax, term in zip(panels, ("loss", "reconstruction", "kl"), strict=True):
        values = np.array([[getattr(record, term) for record in epochs] for epochs in runs])
        mean = values.mean(axis=0)
        ax.plot(number, mean, marker="." if len(number) <= 100 else None, zorder=3)
        if len(runs) > 1:
            std = values.std(axis=0, ddof=1)
            band: dict[str, Any] = {"color": PALETTE[0], "linewidth": 0}
            ax.fill_between(number, values.min(axis=0), values.max(axis=0), alpha=0.2, **band)
            ax.fill_between(number, mean - std, mean + std, alpha=0.35, **band)
        ax.set(xlabel="epoch", ylabel=unit, title="KL" if term == "kl" else term)
        ax.xaxis.get_major_locator().set_params(integer=True)
        later = values[:, len(number) // 10 :]
        if (height := np.ptp(later)) > 0:
            ax.set_ylim(later.min() - 0.05 * height, later.max() + 0.05 * height)
        ax.grid()
    return figure


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
