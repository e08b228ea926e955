"""The loss and its terms against the epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxvae.apps.figures.style import PALETTE, styled

TERMS = ("loss", "reconstruction", "kl")
STEEP = 2.5  # how many times as high as the rest a curve with its first tenth may be
FEWEST = 6  # epochs, for which the rest is drawn once more
HELD_OUT = PALETTE[1]


@styled
def loss_curves(epochs: Sequence[Any], *, unit: str = "nats") -> Figure:
    """Loss and its terms against the epoch, training and held-out.

    Where the first tenth of the epochs is so steep that the rest looks flat, a second row of panels
    shows the rest by itself.

    Args:
      epochs: records with `epoch`, `loss`, `reconstruction` and `kl`, as `History.epochs`. Where
        they have a `validation_loss`, its curve and its lowest point are drawn too; where they have
        the KL of each part, as `kl_style`, each part's curve.
      unit: what the loss is measured in.

    Returns:
      The figure.

    Raises:
      ValueError: if there are no epochs.

    Example:
      >>> from jaxvae import EpochRecord
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0]))
      >>> [ax.get_title() for ax in loss_curves([record]).axes]
      ['loss', 'reconstruction', 'KL']
    """
    if not len(epochs):
        raise ValueError("epochs must be at least one record, got none")
    return _loss_panels([epochs], unit)


@styled
def loss_spread(runs: Sequence[Sequence[Any]], *, unit: str = "nats") -> Figure:
    """Loss and its terms against the epoch, over several runs: their mean and their spread.

    As in `loss_curves`, a second row of panels may show the epochs after the first tenth.

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
    if len(runs) < 2 or len({len(epochs) for epochs in runs}) > 1 or not runs[0]:
        raise ValueError(
            "runs must be at least two, each of as many epochs, got "
            f"{[len(epochs) for epochs in runs]} epochs"
        )
    figure = _loss_panels(runs, unit)
    figure.suptitle(
        f"{len(runs)} seeds: mean, one standard deviation (dark), lowest to highest (light)"
    )
    return figure


def _loss_panels(runs: Sequence[Sequence[Any]], unit: str) -> Figure:
    number = np.array([record.epoch + 1 for record in runs[0]])
    curves: list[dict[str, tuple[str, np.ndarray]]] = [
        {"training": (PALETTE[0], _values(runs, term))} for term in TERMS
    ]
    held_out = _values(runs, "validation_loss")
    if known := bool(np.isfinite(held_out).any()):
        curves[0]["held out"] = (HELD_OUT, held_out)
    names = [name for name in _names(runs) if np.isfinite(_values(runs, name)).all()]
    if names:
        curves[2] = {"all parts": curves[2]["training"]}
        for name, colour in zip(names, (*PALETTE[4:], *PALETTE), strict=False):
            curves[2][name.removeprefix("kl_")] = (colour, _values(runs, name))
    steep = len(number) >= FEWEST and any(_is_steep(v) for own in curves for _, v in own.values())
    first = len(number) // 10 or 1
    rows = [slice(None), slice(first, None)] if steep else [slice(None)]
    figure = Figure(figsize=(11, 0.9 + 2.9 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), 3, squeeze=False)
    mean = held_out.mean(axis=0)
    best = int(np.nanargmin(mean)) if np.isfinite(mean).any() else None
    for own, part in zip(panels, rows, strict=True):
        for ax, term, lines in zip(own, TERMS, curves, strict=True):
            title = "KL" if term == "kl" else term
            ax.set_title(title if part == rows[0] else f"{title}, from epoch {number[first]} on")
            for name, (colour, values) in lines.items():
                _draw(ax, number[part], values[:, part], colour, name)
            if best is not None and (part == rows[0] or best >= first):
                ax.axvline(number[best], color="0.45", linewidth=1, linestyle=":", zorder=1)
                if term == "loss":
                    text = f"lowest held out: epoch {number[best]}"
                    look: dict[str, Any] = {"mfc": "none", "color": HELD_OUT, "ms": 9, "mew": 2}
                    ax.plot(number[best], mean[best], "o", label=text, zorder=4, ls="none", **look)
            ax.set(xlabel="epoch" if part == rows[-1] else None, ylabel=unit)
            ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            ax.grid()
    for ax, lines in zip(panels[-1], curves, strict=True):
        if len(lines) > 1:  # below the panel, where it covers nothing
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=10)
    if known and len(runs) == 1:
        figure.supxlabel(
            "Training: the mean over the epoch, while the parameters change. "
            "Held out: after the epoch.",
            fontsize=10,
            color="0.35",
        )
    return figure


def _names(runs: Sequence[Sequence[Any]]) -> list[str]:
    """Of the KL of each part, where the records have them."""
    record = runs[0][0]
    own = getattr(record, "more", {}) or {}
    found = [*own, *getattr(record, "__dict__", {})]
    return [name for name in found if name.startswith("kl_") and not name.endswith("weight")]


def _values(runs: Sequence[Sequence[Any]], name: str) -> np.ndarray:
    """A number of each record [runs, epochs], NaN where there is none."""

    def value(record: Any) -> float:
        more: Mapping[str, Any] = getattr(record, "more", {}) or {}
        found = getattr(record, name, more.get(name))
        return np.nan if found is None else float(found)

    return np.array([[value(record) for record in epochs] for epochs in runs])


def _is_steep(values: np.ndarray) -> bool:
    """Whether the first tenth of the epochs would make the rest look flat."""
    seen = np.where(np.isfinite(values), values, np.nan)
    later = seen[:, values.shape[1] // 10 or 1 :]
    if np.isnan(later).all():
        return False
    return float(np.nanmax(seen) - np.nanmin(seen)) > STEEP * float(
        np.nanmax(later) - np.nanmin(later)
    )


def _draw(ax: Axes, number: np.ndarray, values: np.ndarray, colour: str, name: str) -> None:
    """The mean of several curves [runs, epochs], and of more than one their spread."""
    mean = values.mean(axis=0)
    marker = "." if len(number) <= 60 else None
    ax.plot(number, mean, color=colour, marker=marker, zorder=3, label=name)
    if len(values) > 1:
        std = values.std(axis=0, ddof=1)
        band: dict[str, Any] = {"color": colour, "linewidth": 0}
        ax.fill_between(number, values.min(axis=0), values.max(axis=0), alpha=0.2, **band)
        ax.fill_between(number, mean - std, mean + std, alpha=0.35, **band)
