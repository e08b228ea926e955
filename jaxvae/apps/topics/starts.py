"""Where topics start: at factors of the documents.

From a random start a topic model ends in one of many optima, most of them poor. A factorisation
costs a second or two, and the topics that training makes of it are better, and alike from seed to
seed.
"""

import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer

from jaxvae.apps.samples import evenly

ITERATIONS, OF_COUNTS = 50, 10  # of the weights, then of the counts
FLOOR = 1e-3  # of the mean: a multiplicative update never moves a zero
LOOKED_AT, UPDATES = 200, 20  # documents for the dispersion; updates of their mixtures
SMOOTHING = 20.0  # tokens of the background in each factor
SPREAD = 0.02  # standard deviation of the start of a product: about Glorot's


def factors(
    counts: Any,
    topics: int,
    random_state: int,
    hints: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Log-odds of words in the factors of the documents beside all of them.

    log-odds = log p(word | factor) - log p(word), smoothed. The factors are those of a
    non-negative factorisation of the tf-idf weights, which tells topics apart; a few updates by the
    counts' Kullback-Leibler divergence then bring them near the likeliest topics.

    Args:
      counts: CSR [N, V], each row with at least one word.
      topics: K; where there are fewer documents or words, the last have odds of zero.
      random_state: of the factorisation.
      hints: the topic that a document is known to be of [N], -1 where none is; or None.
      weight: of the documents [N]; None weighs all alike.

    Returns:
      float32 [K, V].
    """
    tfidf = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    if weight is not None:  # an error of tf-idf weights is squared, one of counts is not
        tfidf, counts = weighed(tfidf, np.sqrt(weight)), weighed(counts, weight)
    found = min(topics, *counts.shape)
    words = np.zeros((topics, counts.shape[1]))
    if hints is not None and (hints >= 0).any():
        words = _beside(tfidf, topics, found, random_state, hints)
    else:
        words[:found] = _factorised(tfidf, found, random_state)
    return log_odds(_likelier(words, counts), counts)


def weighed(rows: Any, weight: np.ndarray | None) -> Any:
    """Rows, each times a number.

    Args:
      rows: CSR [N, V].
      weight: [N]; None leaves them as they are.

    Returns:
      CSR [N, V].
    """
    if weight is None:
        return rows
    return scipy.sparse.diags_array(weight.astype(rows.dtype), format="csr") @ rows


def log_odds(words: np.ndarray, counts: Any) -> np.ndarray:
    """Topics beside the words' frequencies, smoothed: log p(word | topic) - log p(word).

    Args:
      words: how much of each word each topic has, at least 0 [K, V]; only ratios in a row matter.
      counts: of the documents, CSR [N, V].

    Returns:
      float32 [K, V].
    """
    frequency = np.asarray(counts.sum(axis=0), np.float64).ravel() + 0.5
    frequency = frequency / frequency.sum()
    share = words / np.maximum(words.sum(axis=1, keepdims=True), 1e-12)
    totals = share * (counts.sum() / len(words)) + SMOOTHING * frequency
    odds = np.log(totals / totals.sum(axis=1, keepdims=True)) - np.log(frequency)
    return odds.astype(np.float32)


def dispersion(counts: Any, odds: np.ndarray, weight: np.ndarray | None = None) -> float:
    """How far counts lie from the topics that they start at: the variance beside a multinomial's.

    1 where the tokens of a document are independent, as LDA says; n documents' worth where its
    words come in bursts of n. Of a word it is sum (x - m)^2 / sum m over a few hundred documents,
    where m are the likeliest mixtures of the topics; the median over the words is taken, as a few
    of them may be far off for want of a topic.

    Args:
      counts: CSR [N, V], each row with at least one word.
      odds: log-odds of words at which the topics start [K, V].
      weight: of the documents [N], 1 in the mean; None weighs all alike.

    Returns:
      A power of two, at least 1: a close number would be compiled into each training anew.

    Example:
      >>> from scipy.sparse import csr_array
      >>> even = np.random.default_rng(0).multinomial(100, np.full(9, 1 / 9), 50)
      >>> each = [dispersion(csr_array(n * even), np.zeros((2, 9))) for n in (1, 30)]
      >>> each  # of tokens that come alone, and in thirties
      [1.0, 32.0]

    Source: McCullagh and Nelder, 1989, Generalized linear models, section 4.5.
    """
    frequency = np.asarray(weighed(counts, weight).sum(axis=0), np.float64).ravel() + 0.5
    topics = np.exp(odds) * (frequency / frequency.sum())
    topics /= topics.sum(axis=1, keepdims=True)
    off, total = np.zeros((2, counts.shape[1]))
    each = np.ones(counts.shape[0]) if weight is None else weight
    for place in evenly(counts.shape[0], LOOKED_AT):
        row = slice(*counts.indptr[place : place + 2])
        words, x = counts.indices[row], counts.data[row].astype(np.float64)
        shares, own, length = np.full(len(topics), 1 / len(topics)), topics[:, words], x.sum()
        for _ in range(UPDATES):  # of expectation and maximisation
            shares *= own @ (x / (shares @ own)) / length
        mean = length * (shares @ topics)
        off += each[place] * np.square(mean)
        off[words] += each[place] * x * (x - 2 * mean[words])
        total += each[place] * mean
    seen = total >= 1
    found = np.median(off[seen] / total[seen]) if seen.any() else 1.0
    return float(2 ** round(np.log2(max(found, 1.0))))


def hints(counts: Any, odds: np.ndarray) -> np.ndarray:
    """The topic whose seed words are much of a document.

    Args:
      counts: CSR [N, V].
      odds: the log-odds that seed words have in the prior of topics [K, V].

    Returns:
      Topics [N], -1 where none's are.

    Example:
      >>> from scipy.sparse import csr_array
      >>> hints(csr_array(np.eye(3)), np.array([[5.0, 0, 0], [0, 5, 0]])).tolist()
      [0, 1, -1]
    """
    tokens = np.asarray(counts.sum(axis=1)).reshape(-1, 1)
    found = np.asarray(counts @ odds.T) / np.maximum(tokens, 1)
    much = found >= np.maximum(0.5 * found.max(axis=0, keepdims=True), 1e-9)
    return np.where(much.any(axis=1), np.where(much, found, 0).argmax(axis=1), -1)


def _factorised(tfidf: Any, factors: int, random_state: int, **start: Any) -> np.ndarray:
    """The words of each factor [factors, V]."""
    if factors < 1 or tfidf.shape[0] < 1:
        return np.zeros((0, tfidf.shape[1]))
    own = {"init": "nndsvda" if factors <= min(tfidf.shape) else "random"} | start
    weights = {name: own.pop(name) for name in ("W", "H") if name in own}
    model = NMF(factors, max_iter=ITERATIONS, tol=1e-3, random_state=random_state, **own)
    # Where factors fit exactly, the square of scikit-learn's error rounds to one below zero.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be the end
        model.fit_transform(tfidf, **weights)
    return model.components_


def _likelier(words: np.ndarray, counts: Any) -> np.ndarray:
    """Factors that fit the counts themselves better, from those [K, V] on; of zeros none."""
    some = np.flatnonzero(words.sum(axis=1) > 0)
    if not len(some):
        return words
    start = words[some] / words[some].sum(axis=1, keepdims=True)
    model = NMF(
        len(some), init="custom", solver="mu", beta_loss="kullback-leibler",
        max_iter=OF_COUNTS, tol=0,
    )  # fmt: skip
    shape = (counts.shape[0], len(some))
    shares = np.full(shape, float(counts.sum()) / (shape[0] * shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit_transform(
            counts.astype(np.float64), W=shares, H=np.maximum(start, FLOOR * start.mean())
        )
    found = words.copy()
    found[some] = model.components_
    return found


def _beside(
    tfidf: Any, topics: int, found: int, random_state: int, hints: np.ndarray
) -> np.ndarray:
    """Factors of which the first are where documents of known topics lie."""
    known = np.unique(hints[hints >= 0])
    free = np.setdiff1d(np.arange(found), known)
    words = np.zeros((topics, tfidf.shape[1]))
    for topic in known:
        words[topic] = tfidf[np.flatnonzero(hints == topic)].mean(axis=0)
    rest = tfidf[np.flatnonzero(hints < 0)]
    most = min(len(free), *rest.shape) if rest.shape[0] else 0
    words[free[:most]] = _factorised(rest, most, random_state)
    return words


def started(params: Any, decoder: str, odds: np.ndarray) -> Any:
    """Parameters whose topics start at given log-odds.

    Args:
      params: of a `topic_network`.
      decoder: as `topic_network` calls it.
      odds: [K, V].

    Returns:
      The parameters; the scale of a product, or of a hybrid's correction, says nothing, and is
      about that of others.
    """
    own = dict(params["decoder"])
    kernel = odds * (SPREAD / max(float(odds.std()), 1e-6))
    own["topics"] = {**own["topics"], "kernel": kernel} if decoder == "product" else odds
    if "correction" in own:
        own["correction"] = {**own["correction"], "kernel": kernel}
    return {**params, "decoder": own}
