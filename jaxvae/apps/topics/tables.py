"""Topics as a table: their share of the documents and their words."""

from typing import NamedTuple

import numpy as np

from jaxvae._door import door

WIDTH = 80  # columns of a terminal


@door("topics")
class Topic(NamedTuple):
    """One topic.

    Attributes:
      name: what it is called.
      share: of all documents' tokens, from 0 to 1.
      words: the most relevant words, best first.
      weights: their probabilities.

    Example:
      >>> Topic("sports", 0.1, ("game", "team"), (0.2, 0.1)).words
      ('game', 'team')
    """

    name: str
    share: float
    words: tuple[str, ...]
    weights: tuple[float, ...]


@door("topics")
class TopicTable(tuple):
    """Topics, each a `Topic`; it prints as a table of at most 80 columns.

    Example:
      >>> print(TopicTable([Topic("sports", 0.1, ("game", "team"), (0.2, 0.1))]))
      topic   share  words
      sports    10%  game, team
    """

    __slots__ = ()

    def __str__(self) -> str:
        width = max(5, *(len(topic.name) for topic in self)) if self else 5
        lines = [f"{'topic':{width}}  share  words"]
        room = max(20, WIDTH - width - 9)
        for topic in self:
            lines.append(f"{topic.name:{width}}  {topic.share:5.0%}  {_fitting(topic.words, room)}")
        return "\n".join(lines)


def _fitting(words: tuple[str, ...], room: int) -> str:
    """As many words as there is room for, at least one."""
    line = ""
    for word in words:
        longer = f"{line}, {word}" if line else word
        if line and len(longer) > room:
            break
        line = longer
    return line[:room]


def relevant(topic_word: np.ndarray, frequency: np.ndarray, share: float = 0.8) -> np.ndarray:
    """How much each word is a topic's own: p(word | topic) / p(word)^(1 - share), as shares.

    Args:
      topic_word: probabilities [K, V].
      frequency: of the words in all documents [V], above zero.
      share: lambda, from 0 to 1.

    Returns:
      float32 [K, V], each row with the sum 1.

    Source: the relevance of Sievert and Shirley, 2014, LDAvis.
    """
    own = topic_word / (frequency / frequency.sum()) ** (1 - share)
    return (own / own.sum(axis=1, keepdims=True)).astype(np.float32)


def table(
    names: list[str],
    shares: np.ndarray,
    topic_word: np.ndarray,
    features: np.ndarray,
    top: int,
    relevance: np.ndarray | None = None,
) -> TopicTable:
    """The table of a model.

    Args:
      names: of the topics.
      shares: of the tokens [K].
      topic_word: probabilities [K, V].
      features: names of the words [V].
      top: how many words each.
      relevance: by which words are ordered [K, V]; None: their probabilities.

    Returns:
      The table, in the order of the topics.
    """
    best = np.argsort(-(topic_word if relevance is None else relevance), axis=1, kind="stable")[
        :, :top
    ]
    return TopicTable(
        Topic(
            name,
            float(share),
            tuple(str(features[j]) for j in own),
            tuple(float(row[j]) for j in own),
        )
        for name, share, row, own in zip(names, shares, topic_word, best, strict=True)
    )
