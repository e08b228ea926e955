"""Documents whose topics are known, made by the generative story of LDA."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from jaxvae._door import door
from jaxvae.numerics import checks


@door("topics")
class Planted(NamedTuple):
    """Documents and what they were made of.

    Attributes:
      counts: CSR [N, V], float32.
      topics: the probabilities of the words under each topic [K, V].
      mixtures: of topics, of each document [N, K].

    Example:
      >>> planted(documents=10, topics=3, words=20).counts.shape
      (10, 20)
    """

    counts: Any
    topics: np.ndarray
    mixtures: np.ndarray


def planted(
    *,
    documents: int = 1000,
    topics: int = 10,
    words: int = 500,
    length: float = 100,
    doc_topic_prior: float = 0.1,
    topic_word_prior: float = 0.05,
    random_state: int = 0,
) -> Planted:
    """Make documents of planted topics, which a good topic model finds again.

    mixture ~ Dirichlet(doc_topic_prior), topic ~ Dirichlet(topic_word_prior), a document's length
    ~ Poisson(length), its counts ~ Multinomial(length, mixture @ topics).

    Args:
      documents: N, at least 1.
      topics: K, at least 2.
      words: V, at least 2.
      length: mean tokens a document, above zero.
      doc_topic_prior: concentration of the mixtures, for each topic.
      topic_word_prior: concentration of the topics, for each word.
      random_state: a seed.

    Returns:
      The documents, the topics, the mixtures.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> data = planted(documents=10, topics=3, words=20)
      >>> bool(np.allclose(data.mixtures.sum(axis=1), 1))
      True

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """
    width = checks.axis_length("words", words, minimum=2)
    rng = np.random.default_rng(checks.positive_int("random_state", random_state, minimum=0))
    prior = checks.positive_float("topic_word_prior", topic_word_prior)
    number = checks.axis_length("topics", topics, minimum=2)
    topic_word = rng.dirichlet(np.full(width, prior), size=number)
    return _documents(rng, topic_word, documents, length, doc_topic_prior)


def bars(
    *,
    documents: int = 1000,
    side: int = 5,
    length: float = 100,
    doc_topic_prior: float = 0.2,
    random_state: int = 0,
) -> Planted:
    """Make documents that are images of few bars: each topic is a row or a column of a square.

    Args:
      documents: N, at least 1.
      side: of the square, at least 2: there are 2 side topics of side^2 words.
      length: mean tokens a document, above zero.
      doc_topic_prior: concentration of the mixtures, for each topic.
      random_state: a seed.

    Returns:
      The documents, the topics, the mixtures.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> data = bars(documents=10)
      >>> data.counts.shape, data.topics[0].reshape(5, 5)[0].tolist()
      ((10, 25), [0.2, 0.2, 0.2, 0.2, 0.2])

    Source: Griffiths and Steyvers, 2004, Finding scientific topics.
    """
    side = checks.axis_length("side", side, minimum=2)
    rng = np.random.default_rng(checks.positive_int("random_state", random_state, minimum=0))
    rows = np.repeat(np.eye(side)[:, :, None], side, axis=2)
    columns = rows.transpose(0, 2, 1)
    topic_word = np.concatenate([rows, columns]).reshape(2 * side, -1) / side
    return _documents(rng, topic_word, documents, length, doc_topic_prior)


def _documents(
    rng: np.random.Generator,
    topic_word: np.ndarray,
    documents: int,
    length: float,
    doc_topic_prior: float,
) -> Planted:
    rows = checks.positive_int("documents", documents)
    prior = checks.positive_float("doc_topic_prior", doc_topic_prior)
    mixtures = rng.dirichlet(np.full(len(topic_word), prior), size=rows)
    lengths = rng.poisson(checks.positive_float("length", length), size=rows)
    counts = []
    for start in range(0, rows, 1000):  # the probabilities of all would not fit
        own = slice(start, start + 1000)
        p = mixtures[own] @ topic_word
        drawn = rng.multinomial(lengths[own], p / p.sum(axis=1, keepdims=True))
        counts.append(scipy.sparse.csr_array(drawn.astype(np.float32)))
    return Planted(scipy.sparse.vstack(counts, format="csr"), topic_word, mixtures)
