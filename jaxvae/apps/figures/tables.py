"""Rows of named columns: heat maps, and bars of the largest."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.sheets import SMALL
from jaxvae.apps.figures.style import AMOUNT, PALETTE, SIGNED, short, styled
from jaxvae.numerics import checks

MOST_COLUMNS = 40  # that a heat map shows
WIDEST = 3.0  # standard deviations that have a colour of their own
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue, as Rec. 709 weighs them
SIZE = 8.0  # points, of what is written in and beside small cells


@styled
def heat_maps(
    panels: Mapping[str, Any],
    *,
    column_names: Sequence[str],
    title: str,
    row_names: Sequence[str] = (),
    numbers: Any = None,
    unit: str = "standard deviations",
    signed: bool = True,
    note: str = "",
) -> Figure:
    """Rows of numbers as colours, columns by name; of many columns the 40 that vary most.

    Args:
      panels: what each panel is called, and its rows [R, D] of numbers that compare from column to
        column; NaN where one is missing. Two narrow panels with row names lie beside each other.
      column_names: D of them.
      title: of the figure.
      row_names: of the rows of each panel, or none.
      numbers: what is written into the cells of one panel alone [R, D], as the same in the data's
        own units; None: nothing. Where columns are many, nothing is.
      unit: of the colours.
      signed: whether the numbers have a sign, 0 then white; else they are amounts, from 0 on, and
        the colours go by their square root.
      note: a line below, or nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the panels are no rows of as many columns, or names do not fit
        them; the argument is named.

    Example:
      >>> figure = heat_maps({"": np.eye(3)}, column_names="abc", title="Three", row_names="xyz")
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['x', 'y', 'z', 'a', 'b', 'c']
    """
    arrays, columns = _panels(panels, column_names, row_names)
    if numbers is not None:
        numbers = arguments.examples("numbers", numbers)
        if {array.shape for array in arrays.values()} != {numbers.shape}:
            raise ValueError(
                f"numbers must have the shape of the one panel, got {numbers.shape} for "
                f"{[array.shape for array in arrays.values()]}"
            )
    shown = most_varied(np.concatenate(list(arrays.values())), MOST_COLUMNS)
    if len(shown) < len(columns):
        said = f"{len(shown)} of {len(columns):,} columns, those that vary most here."
        note = f"{said} {note}"
    arrays = {name: array[:, shown] for name, array in arrays.items()}
    names = [short(str(columns[k]), 24) for k in shown]
    norm, beyond = _norm(arrays, signed)
    beside = len(arrays) == 2 and len(shown) <= 16 and len(row_names) > 0
    across = len(shown) * (2 if beside else 1)
    down = max(map(len, arrays.values())) if beside else sum(map(len, arrays.values()))
    wide, high = _cell(down, across)
    rows = [short(str(name), 40) for name in row_names] if high >= SIZE * sheets.LINE else []
    heads = [short(name, 24) for name in arrays]
    inside = len(row_names) == 0  # then the name of a panel stands at its left, else above it
    left = sheets.text_width(heads if inside else rows, SIZE + 1 if inside else SIZE) + 0.12
    slanted = sheets.text_width(names, SIZE) > wide
    foot = sheets.text_width(names, SIZE) * 0.71 + 0.22 if slanted else 0.25
    left = max(left, foot - wide / 2 - 0.1) if slanted else left
    head = 0.0 if inside or not any(heads) else 0.25
    block = len(shown) * wide
    places, x, y = [], left, 0.0
    for array in arrays.values():
        places.append((x, y + head))
        if beside:
            x += block + 0.25
        else:
            y += head + len(array) * high + (0.06 if inside else 0.12)
    bottom = max(top + len(array) * high for (_, top), array in zip(
        places, arrays.values(), strict=True))  # fmt: skip
    right = max(x for x, _ in places) + block
    high_bar = float(np.clip(bottom - places[0][1], 0.9, 2.6))
    height = max(bottom + foot, places[0][1] + high_bar + 0.1)
    figure, ax = sheets.sheet(right + 1.0, height, title=title, note=note)
    colours = mpl.colormaps[SIGNED if signed else AMOUNT].with_extremes(bad="0.8")
    for (name, array), (x, y) in zip(arrays.items(), places, strict=True):
        extent = (x, x + block, y + len(array) * high, y)
        ax.imshow(array, cmap=colours, norm=norm, extent=extent, aspect="auto")
        if inside:
            middle = y + len(array) * high / 2
            ax.text(left - 0.1, middle, short(name, 24), ha="right", va="center", size=SIZE + 1)
        elif head:
            ax.text(x, y - 0.05, name, ha="left", va="bottom", size=SMALL + 1)
        if x == left:
            for i, text in enumerate(rows):
                ax.text(left - 0.1, y + (i + 0.5) * high, text, ha="right", va="center", size=SIZE)
        if y + len(array) * high > bottom - 1e-9:
            _name_columns(ax, names, x, wide, bottom + 0.08, slanted)
    if numbers is not None and fits_numbers(down, across):
        (array,), (x, y) = arrays.values(), places[0]
        _write(ax, numbers[:, shown], colours(norm(array)), (x, y, wide, high))
    bar = _room(figure, ax, (right + 0.2, places[0][1], 0.14, high_bar))
    extend = "both" if beyond else "neither"
    figure.colorbar(ScalarMappable(norm, colours), cax=bar, extend=extend)
    bar.tick_params(labelsize=SIZE)
    bar.set_ylabel(unit if signed else f"{unit}, square-root scale", size=SIZE)
    return figure


@styled
def top_columns(
    shares: Any,
    *,
    names: Sequence[str],
    column_names: Sequence[str],
    title: str,
    top: int = 8,
    note: str = "",
) -> Figure:
    """The columns with the largest share, for each of several rows: the top words of topics.

    Args:
      shares: of each column in a row [K, D], each row of the sum 1.
      names: of the rows, as of categories.
      column_names: D of them.
      title: of the figure.
      top: how many columns of each row.
      note: a line below, or nothing.

    Returns:
      The figure: a bar for each share, and a line at the mean of the column over all rows.

    Raises:
      ValueError, TypeError: if shares are no rows of numbers from 0 on, or names do not fit them;
        the argument is named.

    Example:
      >>> figure = top_columns(np.eye(2), names="ab", column_names=["x", "y"], title="Top", top=1)
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['a', 'x', '100%', 'b', 'y', '100%']
    """
    shares = arguments.examples("shares", shares)
    if not shares.min() >= 0:
        raise ValueError(f"shares must be at least 0, got {shares.min()}")
    for argument, given, count in (
        ("names", names, len(shares)),
        ("column_names", column_names, shares.shape[1]),
    ):
        if len(given) != count:
            raise ValueError(f"{argument} must be one for each of {count}, got {len(given)}")
    top = min(checks.positive_int("top", top), shares.shape[1])
    order = np.argsort(-shares, axis=1, kind="stable")[:, :top]
    words = [[short(str(column_names[k]), 18) for k in row] for row in order]
    label = sheets.text_width([word for row in words for word in row]) + 0.1
    bar, line = 1.1, 0.19
    width, height = label + bar + 0.6, (top + 2.2) * line
    across = min(len(shares), max(1, int(11 / width)))
    down = -(-len(shares) // across)
    said = "Grey line: the column's mean over all of these. " if len(shares) > 1 else ""
    figure, ax = sheets.sheet(across * width, down * height, title=title, note=said + note)
    mean, longest = shares.mean(axis=0), shares.max()
    for i, (row, texts) in enumerate(zip(order, words, strict=True)):
        x, y = i % across * width + label, i // across * height + 1.5 * line
        ax.text(x, y - 0.1, short(str(names[i]), 24), size=SMALL + 1, weight="bold", va="bottom")
        for j, (k, text) in enumerate(zip(row, texts, strict=True)):
            share, middle = shares[i, k], y + (j + 0.5) * line
            length = bar * share / longest
            ax.barh(middle, length, 0.75 * line, x, color=PALETTE[i % len(PALETTE)])
            if len(shares) > 1:
                at = x + bar * mean[k] / longest
                ax.plot([at, at], [middle - 0.42 * line, middle + 0.42 * line], "0.35", lw=1.5)
            ax.text(x - 0.06, middle, text, size=SMALL, ha="right", va="center")
            beyond = max(length, bar * mean[k] / longest) + 0.06
            ax.text(x + beyond, middle, f"{share:.2g}" if share < 1e-4 else _percent(share),
                    size=SIZE, va="center", color="0.35")  # fmt: skip
    return figure


def most_varied(rows: np.ndarray, most: int) -> np.ndarray:
    """The columns that vary most.

    Args:
      rows: numbers [N, D], NaN where one is missing.
      most: how many columns.

    Returns:
      Their numbers, in the order of the columns.
    """
    seen = np.isfinite(rows)
    count = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, rows, 0).sum(axis=0) / count
    spread = np.where(seen, (rows - mean) ** 2, 0).sum(axis=0) / count
    return np.sort(np.argsort(-spread, kind="stable")[:most])


def fits_numbers(rows: int, columns: int) -> bool:
    """Whether the cells of one panel are large enough to write into.

    Args:
      rows: of it.
      columns: of it.

    Returns:
      Whether they are.
    """
    wide, high = _cell(rows, columns)
    return wide >= 0.45 and high >= 0.2


def _cell(down: int, across: int) -> tuple[float, float]:
    """The size of a cell in inches, of so many below and beside each other."""
    return float(np.clip(8.5 / across, 0.22, 0.75)), float(np.clip(9 / down, 0.001, 0.3))


def _panels(
    panels: Mapping[str, Any], column_names: Sequence[str], row_names: Sequence[str]
) -> tuple[dict[str, np.ndarray], Sequence[str]]:
    """Arrays and names that fit each other."""
    if not isinstance(panels, Mapping) or not panels:
        got = "an empty one" if isinstance(panels, Mapping) else type(panels).__name__
        raise TypeError(f"panels must be a dict of arrays by name, got {got}")
    arrays = {str(name): arguments.examples("panels", rows) for name, rows in panels.items()}
    for array in arrays.values():
        if array.shape[1] != len(column_names):
            raise ValueError(
                f"column_names must be one for each of {array.shape[1]} columns, "
                f"got {len(column_names)}"
            )
        if len(row_names) not in (0, len(array)):
            raise ValueError(
                f"row_names must be one for each of {len(array)} rows, got {len(row_names)}"
            )
    return arrays, column_names


def _number(value: float) -> str:
    """Three digits, without an exponent where the number is a common one."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _norm(arrays: Mapping[str, np.ndarray], signed: bool) -> tuple[Normalize, bool]:
    """Which number gets which colour, and whether some lie beyond the last."""
    lows, highs = zip(*(sheets.limits_of(array) for array in arrays.values()), strict=True)
    if not signed:
        return PowerNorm(0.5, 0.0, max(max(highs), 1e-12)), False
    farthest = max(-min(lows), max(highs), 1e-6)
    most = min(farthest, WIDEST)
    return Normalize(-most, most), farthest > most


def _name_columns(
    ax: Axes, names: Sequence[str], left: float, wide: float, top: float, slanted: bool
) -> None:
    look: dict[str, Any] = {"ha": "center", "va": "top"}
    if slanted:
        look = {"ha": "right", "va": "top", "rotation": 45, "rotation_mode": "anchor"}
    for k, name in enumerate(names):
        ax.text(left + (k + 0.5) * wide, top, name, size=SIZE, **look)


def _write(
    ax: Axes, numbers: np.ndarray, cells: np.ndarray, place: tuple[float, float, float, float]
) -> None:
    """Write numbers into cells of the colours [..., 4], white where the cell is dark."""
    left, top, wide, high = place
    dark = cells[..., :3] @ np.array(LUMINANCE) < 0.5
    for (i, k), number in np.ndenumerate(numbers):
        at = left + (k + 0.5) * wide, top + (i + 0.5) * high
        colour = "white" if dark[i, k] else "black"
        ax.text(*at, _number(number), size=SIZE, ha="center", va="center", color=colour)


def _room(figure: Figure, ax: Axes, place: tuple[float, float, float, float]) -> Axes:
    """Axes of their own at (left, top, width, height), in inches of a sheet."""
    left, top, wide, high = place
    corners = ax.transData.transform([(left, top + high), (left + wide, top)])
    (x, low), (right, y) = figure.transFigure.inverted().transform(corners)
    return figure.add_axes((x, low, right - x, y - low))
