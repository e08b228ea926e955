"""Several runs side by side, and one figure against the value of an option."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jaxvae.apps.figures.style import MARKERS, PALETTE, short, styled
from jaxvae.numerics import checks

STYLES: tuple[Any, ...] = ("-", "--", ":", "-.")  # of the second ten runs, the third, and so on
DASHED: dict[str, Any] = {"color": "0.45", "linestyle": "--", "linewidth": 1.2, "zorder": 1}
LONGEST = 36  # letters of a run's name
COLUMNS = 4  # panels side by side
LOG_FROM = 8.0  # times from the smallest value to the largest: from here on the axis is logarithmic

Panels = Mapping[str, Mapping[str, Any]]
Marks = Mapping[str, tuple[str, float]]


@styled
def run_comparison(
    curves: Panels,
    figures: Panels,
    *,
    names: Sequence[str] | None = None,
    marks: Marks | None = None,
) -> Figure:
    """The training curves of several runs together, and below them each run's figures.

    Args:
      curves: by the title of a panel the curve of each run by its name: a value an epoch [E], or a
        list of such, one a seed. The first tenth of the epochs may leave the picture.
      figures: by the title of a panel the figure of each run by its name: a number, or one a seed
        [S], which is drawn as the mean and one standard deviation.
      names: of the runs, in the order in which they are shown; None: as they come in the panels.
      marks: by the title of a panel of `figures` what its figures are compared with and its value,
        drawn as a dashed line.

    Returns:
      The figure. A run has one colour in all panels.

    Raises:
      ValueError, TypeError: if there is nothing to draw, a run of a panel is not in names, or what
        is to be drawn is no array of finite numbers; the argument is named.

    Example:
      >>> curves = {"loss": {"a": [3.0, 2.0, 1.5], "b": [[3.0, 2.5], [3.1, 2.4]]}}
      >>> figure = run_comparison(curves, {"RMSE": {"a": 0.12, "b": [0.14, 0.15]}})
      >>> [ax.get_title() for ax in figure.axes]
      ['loss', 'RMSE']
    """
    shown = list(dict.fromkeys(name for own in (*curves.values(), *figures.values())
                               for name in own))  # fmt: skip
    if not shown:
        raise ValueError("curves or figures must hold a run, got neither")
    if names is not None:
        if unknown := [name for name in shown if name not in names]:
            raise ValueError(f"names must hold every run, got {list(names)} without {unknown}")
        shown = list(names)
    looks = {name: (PALETTE[i % 10], STYLES[i // 10 % 4]) for i, name in enumerate(shown)}
    # Inches: of the curves, at least as many as the legend takes; of the dots.
    high = [0.3 + max(3.0 * -(-len(curves) // COLUMNS), 0.26 * len(shown)),
            (0.9 + 0.27 * len(shown)) * -(-len(figures) // COLUMNS)]  # fmt: skip
    high = [inches for inches, own in zip(high, (curves, figures), strict=True) if own]
    across = min(max(len(curves), len(figures)), COLUMNS)
    figure = Figure(figsize=(max(3.1 * across, 5.0) + 1.6, sum(high)), layout="constrained")
    rows = figure.subfigures(len(high), 1, squeeze=False, height_ratios=high)[:, 0]
    if curves:
        for ax, (title, panel) in zip(_axes(rows[0], len(curves)), curves.items(), strict=True):
            _draw_curves(ax, {name: _rows("curves", own) for name, own in panel.items()}, looks)
            ax.set(xlabel="epoch", title=_title(title))
        lines = [Line2D([], [], color=c, linestyle=s, linewidth=1.8) for c, s in looks.values()]
        rows[0].legend(lines, [short(name, LONGEST) for name in shown], loc="outside right upper")
    if figures:
        axes = _axes(rows[-1], len(figures))
        for i, (ax, (title, panel)) in enumerate(zip(axes, figures.items(), strict=True)):
            _draw_dots(ax, shown, {n: _numbers("figures", own) for n, own in panel.items()}, looks)
            if marks and title in marks:
                label, value = marks[title]
                ax.axvline(value, **DASHED)
                ax.set_xlabel(f"dashed: {label}", fontsize=9, color="0.35")
            ax.set_yticks(range(len(shown)), [short(name, LONGEST) for name in shown])
            ax.tick_params(axis="y", length=0, labelleft=i % COLUMNS == 0)
            ax.set_title(_title(title))
    return figure


def _axes(part: SubFigure, count: int) -> list[Axes]:
    """Axes in rows of at most four."""
    down = -(-count // COLUMNS)
    grid = part.subplots(down, min(count, COLUMNS), squeeze=False).ravel()
    for ax in grid[count:]:
        ax.set_visible(False)
    return list(grid[:count])


def _title(text: str) -> str:
    """A title on lines that its panel has room for."""
    return "\n".join(textwrap.wrap(text, 30, break_on_hyphens=False))


def _draw_curves(
    ax: Axes, panel: Mapping[str, list[np.ndarray]], looks: Mapping[str, tuple[str, Any]]
) -> None:
    later: list[np.ndarray] = []
    for name, rows in panel.items():
        colour, style = looks[name]
        for row in rows:
            look: dict[str, Any] = {"color": colour, "linestyle": style}
            look["linewidth"] = 1.8 if len(rows) == 1 else 1.0
            ax.plot(np.arange(1, len(row) + 1), row, marker="." if len(row) < 3 else None, **look)
            later.append(row[len(row) // 10 :])
    ax.grid()
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    if later and (height := np.ptp(np.concatenate(later))) > 0:
        every = np.concatenate(later)
        ax.set_ylim(every.min() - 0.05 * height, every.max() + 0.05 * height)


def _draw_dots(
    ax: Axes,
    names: Sequence[str],
    panel: Mapping[str, np.ndarray],
    looks: Mapping[str, tuple[str, str]],
) -> None:
    for row, name in enumerate(names):
        if name not in panel:
            continue
        values, colour = panel[name], looks[name][0]
        if len(values) > 1:
            spread = values.std(ddof=1)
            ax.errorbar(values.mean(), row, xerr=spread, color=colour, capsize=3, linewidth=1.5)
        ax.plot(values.mean(), row, "o", color=colour, markersize=7)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.margins(x=0.12)
    ax.grid()


@styled
def sweep_curves(
    values: Sequence[float],
    panels: Panels,
    *,
    option: str,
    best: tuple[int, str] | None = None,
    marks: Marks | None = None,
    legend: str | None = None,
) -> Figure:
    """Figures of runs that differ in one option, against its value.

    Args:
      values: of the option [V], rising. Where all are above 0 and the last is at least 8 times the
        first, their axis is logarithmic.
      panels: by the title of a panel its curves by their names: a figure for each value [V], or
        one for each value and seed [V, S], which is drawn as the mean and one standard deviation.
        NaN: there is no such figure.
      option: its name.
      best: which value, by its place, and which curve of the first panel are marked; None: none.
      marks: by the title of a panel what its figures are compared with and its value, drawn as a
        dashed line.
      legend: what the curves' names are of, as the name of a second option; None: nothing.

    Returns:
      The figure.

    Raises:
      ValueError, TypeError: if the values do not rise, a curve is not one figure a value, or best
        names no curve of the first panel; the argument is named.

    Example:
      >>> panels = {"loss": {"held out": [3.0, 1.0, 2.0], "test": [3.1, 1.2, 2.1]}}
      >>> figure = sweep_curves([2, 4, 8], panels, option="latent_dim", best=(1, "held out"))
      >>> figure.axes[0].get_xlabel()
      'latent_dim'
    """
    numbers = checks.real_array("values", values).astype(np.float64)
    if numbers.ndim != 1 or not len(numbers) or (np.diff(numbers) <= 0).any():
        raise ValueError(f"values must be numbers [V] that rise, got {list(values)}")
    if not panels:
        raise ValueError("panels must hold at least one panel, got none")
    first = next(iter(panels.values()))
    if best is not None and (best[1] not in first or not 0 <= best[0] < len(numbers)):
        raise ValueError(f"best must be a place in values and a curve of the first panel, "
                         f"{', '.join(first)}; got {best}")  # fmt: skip
    across = min(len(panels), COLUMNS)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(3.4 * across + 0.4, 3.6 * down), layout="constrained")
    names = list(dict.fromkeys(itertools.chain.from_iterable(panels.values())))
    for i, (title, curves) in enumerate(panels.items()):
        ax = figure.add_subplot(down, across, i + 1, xlabel=option)
        ax.set_title(_title(title))
        for name, rows in curves.items():
            place = names.index(name)
            look: dict[str, Any] = {"color": PALETTE[place % 10], "marker": MARKERS[place % 10]}
            _draw_sweep(ax, numbers, _per_value(rows, len(numbers)), name, look)
        if marks and title in marks:
            ax.axhline(marks[title][1], label=marks[title][0], **DASHED)
        if best is not None:
            ax.axvline(numbers[best[0]], color="0.8", linewidth=6, alpha=0.5, zorder=0)
        if best is not None and i == 0:
            height = np.nanmean(_per_value(curves[best[1]], len(numbers))[best[0]])
            mark: dict[str, Any] = {
                "markersize": 17,
                "markerfacecolor": "none",
                "markeredgecolor": "0.2",
            }
            ax.plot(numbers[best[0]], height, "o", zorder=4, label="best", **mark)
        _value_axis(ax, numbers)
        ax.grid(axis="y")
        if len(ax.get_legend_handles_labels()[0]) > 1:
            ax.legend(title=legend, fontsize=9)
    return figure


def _draw_sweep(
    ax: Axes, numbers: np.ndarray, rows: np.ndarray, name: str, look: dict[str, Any]
) -> None:
    seen = ~np.isnan(rows).all(axis=1)
    mean = np.array([np.nanmean(row) for row in rows[seen]])
    look |= {"linewidth": 1.6, "markersize": 5, "label": name}
    if rows.shape[1] == 1:
        ax.plot(numbers[seen], mean, **look)
        return
    spread = [np.nanstd(row, ddof=1) if (~np.isnan(row)).sum() > 1 else 0.0 for row in rows[seen]]
    ax.errorbar(numbers[seen], mean, yerr=spread, capsize=3, **look)


def _value_axis(ax: Axes, numbers: np.ndarray) -> None:
    """Ticks at the values alone, as far as they have room."""
    places = numbers
    if numbers[0] > 0 and numbers[-1] >= LOG_FROM * numbers[0]:
        ax.set_xscale("log")
        places = np.log(numbers)
    apart = 0.1 * float(np.ptp(places))
    shown = [0]
    for i in range(1, len(numbers)):
        if places[i] - places[shown[-1]] >= apart:
            shown.append(i)
    ax.set_xticks(numbers[shown], [f"{value:g}" for value in numbers[shown]])
    ax.minorticks_off()


def _per_value(rows: Any, count: int) -> np.ndarray:
    """A curve of a sweep as [V, S]."""
    array = np.asarray(rows, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) != count or np.isinf(array).any():
        raise ValueError(f"panels must hold finite numbers or NaN, one for each of {count} values, "
                         f"got the shape {np.shape(rows)}")  # fmt: skip
    return array


def _rows(name: str, rows: Any) -> list[np.ndarray]:
    """The curves of a run, one a seed."""
    each = [rows] if np.ndim(rows[0]) == 0 else rows
    return [_numbers(name, row) for row in each]


def _numbers(name: str, values: Any) -> np.ndarray:
    array = np.atleast_1d(checks.real_array(name, values)).astype(np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite numbers, got {values!r}")
    return array
