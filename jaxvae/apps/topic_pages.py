"""The pictures of a run of topics: the topics, and where the documents lie among them."""

from typing import Any

import numpy as np

from jaxvae.apps.figures import latents, tables, topics
from jaxvae.apps.figures.style import short
from jaxvae.apps.runs import Run
from jaxvae.apps.samples import evenly
from jaxvae.data.dataset import Dataset

MOST_LABELS = 60  # rows of the heat map
MOST_NAMED = 6  # colours of the map whose names stand among the documents, at most
COLOURED = 20  # labels or topics that have a colour and a marker of their own, at most
POINTS = 700  # documents on the map, at most: more are too small for markers


def pages_of(run: Run, data: Dataset | None) -> dict[str, Any]:
    """Draw the pages of a run of topics, but for its training curves.

    Args:
      run: the run.
      data: its data, or None: then what shows documents is left out.

    Returns:
      Figures by the names of their files.
    """
    own = run.topics
    assert own is not None
    names, words = list(own.names), own.words
    called = _called(names)
    titles = called
    note = ""
    if data is not None:
        titles = [f"{name}: {share:.0%}" for name, share in zip(called, own.shares, strict=True)]
        note = "Behind a topic's name: its share of all words."
    pages: dict[str, Any] = {
        "topics.png": topics.topic_bars(
            own.topic_word,
            names=titles,
            column_names=words.tolist(),
            relevance=own.relevance,
            note=note,
        )
    }
    if data is None:
        return pages
    best = words[own.relevance.argmax(axis=1)]
    short_names = [
        name if not name.isdecimal() else f"{name} {word}"
        for name, word in zip(names, best, strict=True)
    ]
    if own.labels is not None:
        pages["labels.png"] = _by_label(own.mixtures, own.labels, data, short_names)
    pages["documents.png"] = _map(own.mixtures, own.labels, data, short_names)
    return pages


def _called(names: list[str]) -> list[str]:
    return [f"topic {name}" if name.isdecimal() else name for name in names]


def _by_label(mixtures: np.ndarray, y: np.ndarray, data: Dataset, names: list[str]) -> Any:
    """The mean mixture of each label's documents, topics in the order of the labels."""
    known, counts = np.unique(y[y >= 0], return_counts=True)
    note = "Each row is the mean mixture of a label's documents: its sum is 1."
    if len(known) > MOST_LABELS:
        kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_LABELS])
        note += f" The {MOST_LABELS} most frequent of {len(known)} labels."
        known, counts = known[kept], counts[kept]
    means = np.stack([mixtures[y == label].mean(axis=0) for label in known])
    # Each topic beside the others of the label that has most of it, the largest first.
    order = np.lexsort((-means.max(axis=0), means.argmax(axis=0)))
    called = [
        str(label) if data.label_names is None else data.label_names[label] for label in known
    ]
    rows = [f"{short(name, 30)} ({n:,})" for name, n in zip(called, counts, strict=True)]
    return tables.heat_maps(
        {"": means[:, order]},
        column_names=[names[k] for k in order],
        row_names=rows,
        title="Topics of the documents of each label",
        unit="share of the row",
        signed=False,
        note=note,
    )


def _map(mixtures: np.ndarray, y: np.ndarray | None, data: Dataset, names: list[str]) -> Any:
    """The documents in the plane, by the square roots of their mixtures."""
    some = evenly(len(mixtures), POINTS)
    if y is not None:
        label, label_names, legend = y[some], data.label_names, "label"
    else:
        label, label_names, legend = mixtures[some].argmax(axis=1), tuple(names), "largest topic"
    missing = "no label"
    known, counts = np.unique(label[label >= 0], return_counts=True)
    if len(known) > COLOURED:  # a longer legend would leave no room for the points
        kept = known[np.argsort(-counts, kind="stable")[:COLOURED]]
        label = np.where(np.isin(label, kept), label, -1)
        missing = "others"
    return latents.latent_scatter(
        np.sqrt(mixtures[some]),
        label,
        title=f"{len(some):,} training documents by their topics; colours: {legend}",
        names=label_names,
        principal="square-root share",
        medians=len(np.unique(label)) <= MOST_NAMED,
        legend=legend,
        missing=missing,
    )
