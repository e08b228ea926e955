"""Points of the latent space: in the plane, and on the simplex."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.style import PALETTE, colour_and_marker, short, styled
from jaxvae.numerics import checks

MOST_NAMES = 40  # of corners, around a polygon
ROOM = 5.0  # inches that points in the plane have, about
MOST_HIDDEN = 0.3  # of the points of a label, behind its name


@styled
def latent_scatter(
    z: Any,
    y: Any = None,
    *,
    title: str = "Latent space",
    names: Sequence[str] | None = None,
    corners: Sequence[str] | None = None,
    principal: str | None = None,
    medians: bool = True,
    legend: str = "label",
    missing: str = "no label",
) -> Figure:
    """Examples in the latent space, coloured by label.

    Args:
      z: posterior means [N, K]. K = 2 is drawn as it is, and on a simplex as the second share. Rows
        that lie on a simplex of more are drawn in a regular polygon with a corner for each
        category; of any other z, the first two axes, or the principal ones.
      y: integer labels [N], -1 where one is missing; or None.
      title: of the figure.
      names: of the labels, by number; None: the numbers.
      corners: of the categories, the corners of a simplex; None: their numbers.
      principal: what the dimensions are called, as "style"; where they are more than two and no
        simplex, their first two principal components are then drawn. None: the first two axes.
      medians: whether the name of each label stands at the median of its examples, outside a
        simplex.
      legend: what the colours are of.
      missing: what an example of the label -1 is called.

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
    z = arguments.examples("z", z, finite=True)
    y, name_of = _labels(y, len(z), names, missing)
    categories = z.shape[1]
    simplex = categories > 1 and bool(np.allclose(z.sum(axis=1), 1, atol=1e-3) and z.min() >= 0)
    corner_names = tuple(corners or map(str, range(categories)))
    if simplex and len(corner_names) != categories:
        raise ValueError(
            f"corners must be one for each of {categories} categories, got {len(corner_names)}"
        )
    if simplex and categories == 2:
        return _shares_of_two(z[:, 1], y, name_of, corner_names, title)
    # Names at the sides get room of their own, so that the polygon keeps its size.
    aside = 2 * sheets.text_width([short(name, 20) for name in corner_names], 11)
    figure = Figure(figsize=(8 + aside if simplex else 8, 7), layout="constrained")
    ax = figure.add_subplot(title=title)
    if simplex:
        z = z @ _polygon(categories)
        radius = min(1.0, 1.15 * float(np.linalg.norm(z, axis=1).max()))
        _draw_simplex_axes(ax, radius=radius, names=corner_names)
    elif categories == 1:
        z = np.column_stack([z[:, 0], np.zeros(len(z))])
        ax.set(xlabel="$z_0$", yticks=[])
    elif principal is not None and categories > 2:
        z, explained = _principal_plane(z)
        of = f"principal component of {categories} {principal} dimensions"
        first, second = (f"{share:.0%} of variance" for share in explained)
        ax.set(xlabel=f"first {of} ({first})", ylabel=f"second {of} ({second})")
        ax.set_aspect("equal", adjustable="datalim")
    else:
        of = "" if principal is None else f"{principal}, "
        ax.set(xlabel=f"{of}$z_0$", ylabel=f"{of}$z_1$")
    _draw_points(ax, z[:, :2], y, name_of)
    if y is not None:
        if medians and not simplex:
            _name_medians(ax, z[:, :2], y, name_of)
        _legend(figure, y, legend)
    return figure


@styled
def ternary(
    shares: Any,
    y: Any = None,
    *,
    names: Sequence[str],
    title: str,
    label_names: Sequence[str] | None = None,
    note: str = "",
) -> Figure:
    """Examples in the triangle of three categories, coloured by label.

    Args:
      shares: what each example has of the three [N, 3], at least 0 and not all 0; scaled to a sum
        of 1.
      y: integer labels [N], -1 where one is missing; or None.
      names: of the three corners: the first at the top, then clockwise.
      title: of the figure.
      label_names: of the labels, by number; None: the numbers.
      note: a line below the triangle, or nothing.

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
    shares = arguments.examples("shares", shares, finite=True)
    if shares.shape[1] != 3 or len(names) != 3:
        raise ValueError(
            f"shares must have the shape [N, 3], with three names, got {shares.shape} and "
            f"{len(names)} names"
        )
    if shares.min() < 0 or not (shares.sum(axis=1) > 0).all():
        raise ValueError(f"shares must be at least 0 and not all 0, got {shares.min()}")
    y, name_of = _labels(y, len(shares), label_names)
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
                f"{share:.0%} of {short(names[k].removeprefix('category '), 10)}",
                start * share + end * (1 - share),
                xytext=(14 if k == 1 else 8) * (start + end) / np.linalg.norm(start + end),
                textcoords="offset points",
                ha=("left", "center", "right")[k],
                va="center",
                fontsize=8,
                color="0.45",
            )
        side = ("center", "right", "left")[k]  # so that a long name stays in the picture
        place = 1.08 * start if k == 0 else start - [0, 0.17]
        ax.annotate(short(names[k], 28), place, ha=side, va="center", fontsize=13)
    points = shares / shares.sum(axis=1, keepdims=True) @ triangle
    _draw_points(ax, points, y, name_of)
    if y is not None:
        _legend(figure, y)
    if note:
        figure.supxlabel(note, fontsize=10, color="0.35")
    ax.set(xlim=(-1.05, 1.05), ylim=(-0.76, 1.18), aspect="equal")
    return figure


def lattice(z: Any, n: int = 30) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A square lattice over the range of a two-dimensional latent.

    Args:
      z: points [N, 2].
      n: points a side, at least 2.

    Returns:
      [n * n, 2], row by row from the top left, and the extent (left, right, bottom, top) of the
      cells around them. Where all points are alike in a column, it spans one to each side of them.

    Raises:
      ValueError, TypeError: if z is not of two finite columns, or n no integer of at least 2.

    Example:
      >>> points, extent = lattice(np.array([[-1.0, -1.0], [1.0, 1.0]]), n=3)
      >>> points.shape, tuple(float(edge) for edge in extent)
      ((9, 2), (-1.5, 1.5, -1.5, 1.5))
    """
    z, n = arguments.examples("z", z, finite=True), checks.positive_int("n", n, minimum=2)
    if z.shape[1] != 2:
        raise ValueError(f"z must have the shape [N, 2], got {z.shape}")
    lowest, highest = (edge(z, axis=0).astype(np.float64) for edge in (np.min, np.max))
    alike = highest - lowest <= 1e-6 * (1 + np.abs(lowest))  # up to rounding: a line has no lattice
    (left, bottom), (right, top) = lowest - alike, highest + alike
    across, down = np.meshgrid(np.linspace(left, right, n), np.linspace(top, bottom, n))
    half = (right - left) / (n - 1) / 2, (top - bottom) / (n - 1) / 2
    extent = (left - half[0], right + half[0], bottom - half[1], top + half[1])
    return np.stack([across, down], axis=-1).reshape(-1, 2).astype(np.float32), extent


def _labels(
    y: Any, examples: int, names: Sequence[str] | None, missing: str = "no label"
) -> tuple[np.ndarray | None, Callable[[int], str]]:
    """Labels checked, and what each is called."""
    if y is not None:
        categories = None if names is None else len(names)
        y = checks.label_array("y", y, examples, categories=categories, missing=True)

    def name_of(label: int) -> str:
        if label < 0:
            return missing
        return str(label) if names is None else short(names[label])

    return y, name_of


def _draw_points(
    ax: Axes, points: np.ndarray, y: np.ndarray | None, name_of: Callable[[int], str]
) -> None:
    """Points [N, 2], smaller the more there are, with a legend entry for each label."""
    size = float(np.clip(9000 / len(points), 4, 36))
    look: dict[str, Any] = {"s": size, "alpha": 0.75, "linewidths": 0}
    large = size > 12  # smaller markers cannot be told apart, and some look larger than others
    if large:
        look |= {"linewidths": 0.4, "edgecolors": "white"}
    if y is None:
        ax.scatter(*points.T, color=PALETTE[0], **look)
        return
    for label in np.unique(y):
        colour, marker = ("0.8", "o") if label < 0 else colour_and_marker(label)
        marker = marker if large else "o"
        ax.scatter(*points[y == label].T, color=colour, marker=marker, **look)
        # The legend's own: of one size, however small the points are.
        ax.scatter([], [], color=colour, marker=marker, s=45, label=name_of(label))


def _name_medians(
    ax: Axes, points: np.ndarray, y: np.ndarray, name_of: Callable[[int], str]
) -> None:
    """The name of each label at the median of its points; beside points that it would hide."""
    labels = np.unique(y[y >= 0])
    middles = {label: np.median(points[y == label], axis=0) for label in labels}
    centre = np.mean(list(middles.values()), axis=0) if middles else np.zeros(2)
    inch = max(float(np.ptp(points, axis=0).max()), 1e-12) / ROOM
    for label, middle in middles.items():
        colour, _ = colour_and_marker(label)
        box = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": colour, "alpha": 0.85}
        half = np.array([sheets.text_width([name_of(label)], 11) + 0.15, 0.3]) / 2
        from_middle = (points[y == label] - middle) / inch
        hidden = (np.abs(from_middle) < half).all(axis=1).mean()
        place = np.zeros(2)
        if hidden > MOST_HIDDEN:  # towards the other labels, where the picture has room
            inwards = (centre - middle) / inch
            length = float(np.linalg.norm(inwards))
            inwards = inwards / length if length > 0.5 else np.array([0.0, 1.0])
            points_end = float(np.quantile(from_middle @ inwards, 0.95))
            place = inwards * (points_end + float(half @ np.abs(inwards)) + 0.15)
        ax.annotate(
            name_of(label),
            middle,
            xytext=(72 * place[0], 72 * place[1]),
            textcoords="offset points",
            ha="center",
            va="center",
            bbox=box,
        )


def _draw_simplex_axes(ax: Axes, *, radius: float, names: Sequence[str]) -> None:
    """A ray towards each corner of the projected simplex, as far as the points reach."""
    corners = _polygon(len(names))
    every = -(-len(names) // MOST_NAMES)
    for k, (name, corner) in enumerate(zip(names, corners, strict=True)):
        if k % every:
            continue
        ax.plot(*np.outer(corner, [0, radius]), color="0.85", linewidth=1, zorder=0)
        long = max(map(len, names)) > 3
        side = (
            "center" if not long or abs(corner[0]) < 0.3 else "left" if corner[0] > 0 else "right"
        )
        at = (1.04 if long else 1.07) * radius * corner
        ax.annotate(short(name, 20), at, ha=side, va="center", size=11 if long else 13)
    limit = 1.15 * radius
    said = "Each point is the mean of the corners, weighted by the shares of the example."
    if len(names) > 3:
        said += "\nThis is a projection: other shares can lie at the same place."
    if every > 1:
        said += f"\nShown are the rays of {-(-len(names) // every)} of {len(names)} categories."
    if radius < 1:
        said += f"\nThe rays end at {radius:.0%} of the way to the corners."
    ax.set(xticks=[], yticks=[], xlim=(-limit, limit))
    ax.set_ylim(min(-0.7 * radius, (corners[:, 1].min() - 0.15) * radius), limit)
    ax.set_xlabel(said, size=10, color="0.35")
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)


def _shares_of_two(
    share: np.ndarray,
    y: np.ndarray | None,
    name_of: Callable[[int], str],
    corners: Sequence[str],
    title: str,
) -> Figure:
    """What the second of two categories has of each example, a row of points for each label."""
    labels = [0] if y is None else [int(label) for label in np.unique(y)]
    figure = Figure(figsize=(8, 1.6 + 0.9 * len(labels)), layout="constrained")
    ax = figure.add_subplot(title=title)
    row = np.zeros(len(share)) if y is None else np.searchsorted(labels, y)
    # Points of a row lie beside each other at heights that mean nothing.
    height = row + 0.7 * (np.arange(len(share)) * 0.618034 % 1 - 0.5)
    _draw_points(ax, np.column_stack([share, height]), y, name_of)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(labels) - 0.5, -0.5))
    ax.set_xlabel(
        f"share of category {short(corners[1], 24)}; the rest is the share of category "
        f"{short(corners[0], 24)}"
    )
    ax.set_yticks(range(len(labels)), ["" if y is None else name_of(label) for label in labels])
    ax.tick_params("y", length=0)
    ax.grid(axis="x")
    return figure


def _principal_plane(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 2] in the plane of the most variance, and the share of it along each axis."""
    centred = z - z.mean(axis=0)
    left, size, axes = np.linalg.svd(centred, full_matrices=False)
    size = np.append(size, [0.0, 0.0])[: max(2, len(size))]
    signs = np.where(np.abs(axes).max(axis=1) == axes.max(axis=1), 1.0, -1.0)  # of either, one
    points = np.zeros((len(z), 2))
    points[:, : len(axes)] = (left * size[: len(axes)] * signs)[:, :2]
    return points, size[:2] ** 2 / max(float((size**2).sum()), 1e-300)


def _legend(figure: Figure, y: np.ndarray, title: str = "label") -> None:
    """The labels at the right, in columns that are not too long."""
    columns = -(-len(np.unique(y)) // 24)
    if columns <= 3:  # more would leave no room for the points
        figure.legend(title=title, loc="outside right upper", ncols=columns)


def _polygon(corners: int) -> np.ndarray:
    """The corners of a regular polygon, the first at the top, clockwise."""
    angle = 2 * np.pi * np.arange(corners) / corners
    return np.column_stack([np.sin(angle), np.cos(angle)])
