"""Topics as bars of their words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxvae.apps.figures import arguments, sheets
from jaxvae.apps.figures.sheets import SMALL
from jaxvae.apps.figures.style import PALETTE, short, styled
from jaxvae.numerics import checks

LONGEST = 16  # letters of a word
BAR, LINE, WIDEST = 0.75, 0.175, 12.0  # inches: the longest bar, a word, the picture


@styled
def topic_bars(
    topic_word: Any,
    *,
    names: Sequence[str],
    column_names: Sequence[str],
    relevance: Any = None,
    title: str = "Topics by their words",
    top: int = 8,
    note: str = "",
) -> Figure:
    """The first words of each topic as bars, a small panel for each topic.

    Args:
      topic_word: the probability of each word under each topic [K, D].
      names: of the topics.
      column_names: of the words, D of them.
      relevance: by which the words of a topic are ordered [K, D]; None: their probabilities.
      title: of the figure.
      top: how many words of each topic.
      note: a line below, or nothing.

    Returns:
      The figure. A bar is as long as its word is likely, beside the likeliest of its topic; the
      number behind the likeliest says how likely that is.

    Raises:
      ValueError, TypeError: if topic_word holds no numbers from 0 on, or names do not fit it; the
        argument is named.

    Example:
      >>> figure = topic_bars(np.eye(2), names="ab", column_names=["x", "y"], top=1)
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['a', 'x', '100%', 'b', 'y', '100%']
    """
    array = arguments.examples("topic_word", topic_word)
    if not array.min() >= 0:
        raise ValueError(f"topic_word must be at least 0, got {array.min()}")
    for argument, given, count in (
        ("names", names, len(array)),
        ("column_names", column_names, array.shape[1]),
    ):
        if len(given) != count:
            raise ValueError(f"{argument} must be one for each of {count}, got {len(given)}")
    top = min(checks.positive_int("top", top), array.shape[1])
    by = array if relevance is None else arguments.examples("relevance", relevance)
    if by.shape != array.shape:
        raise ValueError(f"relevance must have the shape {array.shape}, got {by.shape}")
    order = np.argsort(-by, axis=1, kind="stable")[:, :top]
    words = [[short(str(column_names[j]), LONGEST) for j in row] for row in order]
    label = sheets.text_width([word for row in words for word in row]) + 0.1
    width, height = label + BAR + 0.55, (top + 2.0) * LINE
    across = min(len(array), max(1, int(WIDEST / width)))
    down = -(-len(array) // across)
    said = "Each bar beside the longest of its topic; the number is the probability of that word."
    if relevance is not None:
        said += " The first words are frequent in the topic, and rarer in others."
    figure, ax = sheets.sheet(
        across * width, down * height, title=title, note=f"{said} {note}".strip()
    )
    for i, (row, texts) in enumerate(zip(order, words, strict=True)):
        x, y = i % across * width + label, i // across * height + 1.3 * LINE
        name = short(str(names[i]), 26)
        ax.text(x - label + 0.1, y - 0.06, name, size=SMALL + 1, weight="bold", va="bottom")
        at_most = int(array[i, row].argmax())
        longest = max(float(array[i, row[at_most]]), 1e-12)
        for j, (k, text) in enumerate(zip(row, texts, strict=True)):
            middle = y + (j + 0.5) * LINE
            ax.barh(middle, BAR * array[i, k] / longest, 0.75 * LINE, x, color=PALETTE[0])
            ax.text(x - 0.06, middle, text, size=SMALL, ha="right", va="center")
            if j == at_most:
                share = f"{100 * array[i, k]:.2g}" if array[i, k] < 0.995 else "100"
                at = x + BAR + 0.05
                ax.text(at, middle, f"{share}%", size=SMALL - 1, va="center", color="0.35")
    return figure
