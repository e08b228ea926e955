"""Topics by their words: the most probable, how they repeat, and which belongs to which."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from jaxvae.numerics import checks


def top_words(topic_word: Any, features: Any = None, *, top: int = 10) -> np.ndarray:
    """The most probable words of each topic, the first of them first.

    Args:
      topic_word: how much each topic likes each word, such as its probability or the logarithm
        [K, V]. Of equal words the one in the first column comes first.
      features: the names of the words [V], or None.
      top: how many, at most V.

    Returns:
      Column numbers [K, top], or with features the names.

    Raises:
      ValueError, TypeError: if topic_word is no such array or holds NaN; if features are not one
        for each column; if top is not from 1 to V.

    Example:
      >>> top_words([[0.1, 0.6, 0.3], [0.8, 0.1, 0.1]], ["ball", "vote", "law"], top=2).tolist()
      [['vote', 'law'], ['ball', 'vote']]
    """
    array = _topic_word("topic_word", topic_word)
    columns = _top(array, top)
    if features is None:
        return columns
    names = np.asarray(features)
    if names.shape != array.shape[1:]:
        raise ValueError(
            f"features must be one name for each of {array.shape[1]} words, the shape "
            f"({array.shape[1]},), got {names.shape}"
        )
    return names[columns]


def diversity(topic_word: Any, *, top: int = 25) -> float:
    """The share of different words among the most probable of all topics.

    Args:
      topic_word: how much each topic likes each word [K, V].
      top: how many words of each topic to compare, at most V.

    Returns:
      From 1 / K, where all topics have the same words, to 1, where no word is in two.

    Raises:
      ValueError, TypeError: if topic_word is no such array or holds NaN; if top is not from 1 to V.

    Example:
      >>> diversity([[0.5, 0.4, 0.1], [0.5, 0.1, 0.4]], top=2)
      0.75

    Source: Dieng, Ruiz and Blei, 2020, Topic modeling in embedding spaces.
    """
    columns = _top(_topic_word("topic_word", topic_word), top)
    return len(np.unique(columns)) / columns.size


def redundancy(topic_word: Any, *, top: int = 10) -> float:
    """How much of each topic some other topic repeats, in the mean.

    Of each topic it is the largest Jaccard index, the words in both over the words in either, of
    its most probable words with those of any other topic.

    Args:
      topic_word: how much each topic likes each word [K, V], at least two topics.
      top: how many words of each topic to compare, at most V.

    Returns:
      From 0, where no word is in two topics, to 1, where each topic has its double.

    Raises:
      ValueError, TypeError: if topic_word is no such array or holds NaN; if it has one topic; if
        top is not from 1 to V.

    Example:
      >>> redundancy([[0.5, 0.4, 0.1, 0], [0.4, 0.5, 0.1, 0], [0, 0, 0.5, 0.5]], top=2)
      0.6666666666666666

    Source: Burkhardt and Kramer, 2019, Decoupling sparsity and smoothness in the Dirichlet
      variational autoencoder topic model, for the question; the index is Jaccard's.
    """
    array = _topic_word("topic_word", topic_word)
    if len(array) < 2:
        raise ValueError(f"topic_word must have at least two topics, got the shape {array.shape}")
    columns = _top(array, top)
    alike = _jaccard(columns, columns)
    np.fill_diagonal(alike, 0)
    return float(alike.max(axis=1).mean())


def match(first: Any, second: Any) -> np.ndarray:
    """Which row of one array belongs to each row of another, each row used once.

    The pairs have together the largest sum of cosines (the Hungarian method).

    Args:
      first: such as the topics of one model [K, D].
      second: such as those of another [K, D].

    Returns:
      A permutation [K]: `second[match(first, second)]` has the order of first. A row of zeros has
      the cosine 0 with any other.

    Raises:
      ValueError, TypeError: if they are not finite numbers, of one shape [K, D].

    Example:
      >>> match(np.eye(3), np.eye(3)[[2, 0, 1]]).tolist()
      [1, 2, 0]

    Source: Kuhn, 1955, The Hungarian method for the assignment problem.
    """
    one, other = (_matrix(name, x) for name, x in (("first", first), ("second", second)))
    checks.finite_array("first", one)
    checks.finite_array("second", other)
    checks.same_shape("second", other, "first", one, "[K, D]")
    return linear_sum_assignment(_directions(one) @ _directions(other).T, maximize=True)[1]


def consensus(topic_words: Sequence[Any], *, rounds: int = 5) -> np.ndarray:
    """The topics that several runs have in common: the mean of the topics that belong together.

    Those of each run are matched to the mean of all, which is made anew, a few times. A model that
    starts there is a model of all: `TopicModel(init=consensus([...])).fit(X)`.

    Args:
      topic_words: of at least two runs with as many topics, [K, V] each, at least 0, each row with
        a sum above 0.
      rounds: how often, at most; fewer where nothing changes.

    Returns:
      Probabilities of the words [K, V], in the order of the first run's topics.

    Raises:
      ValueError: if there are fewer than two, or they are of different shapes.

    Example:
      >>> first = np.array([[0.9, 0.1], [0.3, 0.7]])
      >>> consensus([first, first[::-1]]).round(2).tolist()
      [[0.9, 0.1], [0.3, 0.7]]

    Source: ensembles of topic models are advised by Hoyle, Goel, Sarkar and Resnik, 2022, Are
    neural topic models broken?
    """
    rounds = checks.positive_int("rounds", rounds)
    runs = [_topic_word(f"topic_words[{i}]", one) for i, one in enumerate(topic_words)]
    if len(runs) < 2:
        raise ValueError(f"topic_words must be of at least two runs, got {len(runs)}")
    for i, one in enumerate(runs):
        if one.shape != runs[0].shape:
            raise ValueError(
                f"topic_words[{i}] must have the shape {runs[0].shape}, got {one.shape}"
            )
        if not (one.min() >= 0 and one.sum(axis=1).min() > 0):
            raise ValueError(f"topic_words[{i}] must be at least 0, with a sum above 0 in each row")
    shares = [one / one.sum(axis=1, keepdims=True) for one in runs]
    mean, before = shares[0], None
    for _ in range(rounds):
        orders = [match(mean, one) for one in shares]
        mean = np.mean([one[order] for one, order in zip(shares, orders, strict=True)], axis=0)
        now = np.array(orders)
        if before is not None and np.array_equal(before, now):
            break
        before = now
    return mean


def stability(topic_words: Sequence[Any], *, top: int = 10) -> float:
    """How alike the topics of several runs are.

    Of each two runs the topics are matched so that the mean Jaccard index of their most probable
    words is largest. The result is the mean of these over all pairs of runs.

    Args:
      topic_words: of each run how much each topic likes each word, arrays [K, V], at least two. V
        is the same in all; of runs with different K the topics that find no partner do not count.
      top: how many words of each topic to compare, at most V.

    Returns:
      From 0, where no matched topics share a word, to 1, where all runs have the same topics.

    Raises:
      ValueError, TypeError: if there are fewer than two runs, or one is no such array or holds
        NaN; if V differs; if top is not from 1 to V.

    Example:
      >>> stability([np.eye(4), np.eye(4)[[3, 1, 0, 2]]], top=1)
      1.0

    Source: Greene, O'Callaghan and Cunningham, 2014, How many topics? Stability analysis for topic
      models.
    """
    if not hasattr(topic_words, "__len__") or len(topic_words) < 2:
        got = len(topic_words) if hasattr(topic_words, "__len__") else topic_words
        raise ValueError(f"topic_words must be the topics of at least two runs, got {got!r:.80}")
    arrays = [_topic_word(f"topic_words[{run}]", array) for run, array in enumerate(topic_words)]
    for run, array in enumerate(arrays):
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"topic_words[{run}] must have {arrays[0].shape[1]} words as topic_words[0] has, "
                f"got the shape {array.shape}"
            )
    scores = []
    for one, other in itertools.combinations([_top(array, top) for array in arrays], 2):
        alike = _jaccard(one, other)
        scores.append(alike[linear_sum_assignment(alike, maximize=True)].mean())
    return float(np.mean(scores))


def _matrix(name: str, value: Any) -> np.ndarray:
    array = checks.real_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have rank 2 and not be empty, got the shape {array.shape}")
    return array.astype(np.float64)


def _topic_word(name: str, value: Any) -> np.ndarray:
    array = _matrix(name, value)
    checks.finite_array(name, array, minus_infinity=True)  # the logarithm of probability zero
    return array


def _top(array: np.ndarray, top: int) -> np.ndarray:
    top = checks.positive_int("top", top)
    if top > array.shape[1]:
        raise ValueError(f"top must be at most the number of words, {array.shape[1]}, got {top}")
    return np.argsort(-array, axis=1, kind="stable")[:, :top]


def _jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The Jaccard index of the words of each topic [K, top] with those of each other, [K, L]."""
    words, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    has = np.zeros((len(first) + len(second), len(words)), np.float32)
    np.put_along_axis(has, place.reshape(len(has), -1), 1, axis=1)
    shared = (has[: len(first)] @ has[len(first) :].T).astype(np.float64)
    return shared / (first.shape[1] + second.shape[1] - shared)


def _directions(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1; rows of zeros as they are."""
    largest = np.abs(rows).max(axis=1, keepdims=True)  # its square may be beyond floats
    rows = rows / np.where(largest > 0, largest, 1)
    return rows / np.where(largest > 0, np.linalg.norm(rows, axis=1, keepdims=True), 1)
