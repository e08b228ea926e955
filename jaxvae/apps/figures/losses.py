"""The loss and its terms against the epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae.apps.figures.style import PALETTE, styled


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
