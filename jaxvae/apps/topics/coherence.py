"""Coherence: do the words of a topic come together in texts? The numbers are gensim's.

A word is present in a stretch of windows from where it enters to where it leaves. From stretches
the windows of a word, and of two words, are counted without going through the windows.
"""

import itertools
import operator
from typing import Any, NamedTuple

import numpy as np

from jaxvae.apps.topics.evaluation import counts_matrix
from jaxvae.data.sparse import is_sparse
from jaxvae.numerics import checks

EPSILON = 1e-12  # gensim's
AT_ONCE = 2**20  # stretches compared in one go, of 8 bytes several times over


def npmi(topics: Any, texts: Any, *, window: int | None = 10) -> np.ndarray:
    """The coherence of topics: mean normalized pointwise mutual information of their words.

    Of two words it is log(p_ab / (p_a p_b)) / -log(p_ab), where p is the share of the windows that
    hold a word, or both, and p_ab has 1e-12 added: 1 for words that only come together, 0 for
    independent ones, about -1 for words that never meet. Windows slide over each text by a token;
    a text shorter than the window is one window, and so is an empty one.

    The result equals that of gensim 4, `CoherenceModel(coherence="c_npmi")`, so that it can be
    compared with published numbers. So it counts as gensim does: when a token leaves the window,
    its word is absent until it enters again, though the window may still hold it a second time.
    And a pair that is in each window has -1.

    Args:
      topics: the most probable words of each topic [K][T], for instance ten each: strings, or
        numbers of columns, different ones within a topic.
      texts: lists of words, or of numbers, in order [N]; each may be a NumPy array. Or counts
        [N, V], a matrix of SciPy's or a NumPy array of rank 2: then each document is one window,
        and topics hold numbers of columns.
      window: tokens a window, or None to take each text for one. It says nothing about counts.

    Returns:
      Float64 [K]. A word that is in no text is left out, as gensim leaves out what is not in its
      dictionary. A topic with fewer than two words left has NaN.

    Raises:
      ValueError, TypeError: if topics or texts are none of these, or none of the topics' words is
        in texts; if window is neither None nor an integer of at least 1.

    Example:
      >>> texts = [["goal", "match"], ["goal", "match"], ["vote", "law"], ["vote"]]
      >>> npmi([["goal", "match"], ["vote", "law"]], texts).round(2).tolist()
      [1.0, 0.5]

    Source: Bouma, 2009, Normalized (pointwise) mutual information in collocation extraction;
      Roeder, Both and Hinneburg, 2015, Exploring the space of topic coherence measures.
    """
    words, presence = _presence(topics, texts, window)
    pairs = [np.triu_indices(len(topic), 1) for topic in words]
    first = np.concatenate([topic[i] for topic, (i, _) in zip(words, pairs, strict=True)])
    second = np.concatenate([topic[j] for topic, (_, j) in zip(words, pairs, strict=True)])
    counts = np.array([len(i) for i, _ in pairs])
    owner = np.repeat(np.arange(len(words)), counts)
    sums = np.bincount(owner, _pair_npmi(presence, first, second), len(words))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def c_v(topics: Any, texts: Any, *, window: int | None = 110) -> np.ndarray:
    """The coherence C_v of topics: how alike their words are by the company that they keep.

    Each word of a topic has the vector of its normalized pointwise mutual information with all
    words of the topic, itself too. The result is the mean cosine of these vectors with their sum.
    It equals that of gensim 4, `CoherenceModel(coherence="c_v")`; windows are counted as in `npmi`.

    Args:
      topics: the most probable words of each topic [K][T], as for `npmi`.
      texts: lists of words or numbers [N], or counts [N, V], as for `npmi`.
      window: tokens a window, or None to take each text for one. It says nothing about counts.

    Returns:
      Float64 [K]. A word that is in no text is left out, as gensim leaves out what is not in its
      dictionary. A topic with fewer than two words left has NaN.

    Raises:
      ValueError, TypeError: as `npmi` does.

    Example:
      >>> texts = [["goal", "match"], ["goal", "match"], ["vote", "law"], ["vote"]]
      >>> c_v([["goal", "match"], ["vote", "law"]], texts).round(2).tolist()
      [1.0, 0.95]

    Source: Roeder, Both and Hinneburg, 2015, Exploring the space of topic coherence measures.
    """
    words, presence = _presence(topics, texts, window)
    pairs = [np.triu_indices(len(topic)) for topic in words]
    first = np.concatenate([topic[i] for topic, (i, _) in zip(words, pairs, strict=True)])
    second = np.concatenate([topic[j] for topic, (_, j) in zip(words, pairs, strict=True)])
    values = _pair_npmi(presence, first, second)
    ends = np.cumsum([len(i) for i, _ in pairs])
    result = np.full(len(words), np.nan)
    for topic, (i, j) in enumerate(pairs):
        if len(words[topic]) < 2:
            continue
        vectors = np.empty((len(words[topic]),) * 2)
        vectors[i, j] = vectors[j, i] = values[ends[topic] - len(i) : ends[topic]]
        whole = vectors.sum(axis=0)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(whole)
        with np.errstate(invalid="ignore"):  # words that cancel out have no direction: NaN
            result[topic] = (vectors @ whole / lengths).mean()
    return result


class _Presence(NamedTuple):
    """Where words are present: stretches of windows, sorted by word, then by window, apart.

    Attributes:
      windows: how many there are.
      word: the number of the word of each stretch.
      start: its first window.
      end: the window after its last.
    """

    windows: int
    word: np.ndarray
    start: np.ndarray
    end: np.ndarray


def _presence(topics: Any, texts: Any, window: int | None) -> tuple[list[np.ndarray], _Presence]:
    """The numbers of each topic's words that texts hold, and where these words are present."""
    if window is not None:
        window = checks.positive_int("window", window)
    numbers, index = _topic_words(topics)
    if is_sparse(texts) or getattr(texts, "ndim", 0) == 2:
        presence = _in_documents(texts, index)
    else:
        presence = _in_windows(*_tokens(texts, index), window)
    if not len(presence.word):
        raise ValueError(
            f"texts must hold at least one word of topics, got none, not even {next(iter(index))!r}"
        )
    present = np.zeros(len(index), bool)
    present[presence.word] = True
    return [topic[present[topic]] for topic in numbers], presence


def _topic_words(topics: Any) -> tuple[list[np.ndarray], dict[Any, int]]:
    """The words of each topic by number, and the number of each word."""
    if isinstance(topics, str) or not hasattr(topics, "__len__") or not len(topics):
        raise TypeError(f"topics must be lists of words or of column numbers, got {topics!r:.80}")
    index: dict[Any, int] = {}
    numbers = []
    for place, topic in enumerate(topics):
        name = f"topics[{place}]"
        if isinstance(topic, str) or not hasattr(topic, "__len__"):
            raise TypeError(
                f"{name} must be a list of words or of column numbers, got {topic!r:.80}"
            )
        words = [_word(name, word) for word in topic]
        if len(words) < 2:
            raise ValueError(f"{name} must hold at least two words, got {words}")
        if len(set(words)) < len(words):
            twice = next(word for word in words if words.count(word) > 1)
            raise ValueError(f"{name} must hold different words, got {twice!r} twice")
        numbers.append(np.array([index.setdefault(word, len(index)) for word in words]))
    if len({type(word) for word in index}) > 1:
        raise TypeError("topics must hold words alone or column numbers alone, got both")
    return numbers, index


def _word(name: str, word: Any) -> str | int:
    if isinstance(word, str):
        return str(word)
    try:
        if isinstance(word, bool | np.bool_):
            raise TypeError
        number = operator.index(word)
    except TypeError:
        raise TypeError(f"{name} must hold strings or column numbers, got {word!r:.80}") from None
    if not 0 <= number < 2**63:
        raise ValueError(f"{name} must hold column numbers of at least 0, got {number}")
    return number


def _tokens(texts: Any, index: dict[Any, int]) -> tuple[np.ndarray, np.ndarray]:
    """All tokens by their word's number, -1 if it is in no topic; and how many each text has."""
    allowed = "lists of words or of numbers, one a text, or counts [N, V]"
    if isinstance(texts, str) or not hasattr(texts, "__len__") or not len(texts):
        raise TypeError(f"texts must be {allowed}, got {texts!r:.80}")
    kind = type(next(iter(index)))
    for place, text in enumerate(texts):
        if not isinstance(text, list | tuple | np.ndarray) or np.ndim(text[:1]) != 1:
            raise TypeError(
                f"texts[{place}] must be a list of words or of numbers, got {text!r:.80}"
            )
        if len(text) and isinstance(text[0], str) != (kind is str):
            what = "words" if kind is str else "numbers"
            raise TypeError(f"texts[{place}] must hold {what} as topics do, got {text[0]!r}")
    lengths = np.array([len(text) for text in texts], np.int64)
    if kind is str:
        found = map(index.get, itertools.chain.from_iterable(texts), itertools.repeat(-1))
        try:
            return np.fromiter(found, np.int64, int(lengths.sum())), lengths
        except TypeError as error:  # a token that cannot be a key
            raise TypeError(f"texts must be lists of words, got other tokens: {error}") from None
    flat = np.concatenate([_integers(place, text) for place, text in enumerate(texts)])
    return _numbers(flat, index), lengths


def _integers(place: int, text: Any) -> np.ndarray:
    if not len(text):
        return np.zeros(0, np.int64)
    array = checks.real_array(f"texts[{place}]", text)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"texts[{place}] must hold integers as topics do, got {text!r:.80}")
    return array.astype(np.int64, copy=False)


def _numbers(columns: np.ndarray, index: dict[Any, int]) -> np.ndarray:
    """The number of the word of each column, -1 for one in no topic."""
    known = np.array(list(index), np.int64)
    order = np.argsort(known)
    place = np.searchsorted(known, columns, sorter=order).clip(max=len(known) - 1)
    number = order[place]
    return np.where(known[number] == columns, number, -1)


def _in_documents(counts: Any, index: dict[Any, int]) -> _Presence:
    """Where words are present if each document is one window."""
    matrix = counts_matrix("texts", counts)
    if isinstance(next(iter(index)), str):
        raise TypeError(
            f"topics must hold column numbers where texts are counts, got {next(iter(index))!r}"
        )
    if max(index) >= matrix.shape[1]:
        raise ValueError(
            f"topics must hold column numbers below {matrix.shape[1]}, the number of columns of "
            f"texts, got {max(index)}"
        )
    entries = matrix[:, list(index)].tocsc().tocoo()  # the columns in the order of the numbers
    document, word = (part.astype(np.int64) for part in entries.coords)
    order = np.lexsort((document, word))
    return _Presence(matrix.shape[0], word[order], document[order], document[order] + 1)


def _in_windows(tokens: np.ndarray, lengths: np.ndarray, window: int | None) -> _Presence:
    """Where words are present as gensim slides a window over each text."""
    longest = max(1, int(lengths.max()))
    window = longest if window is None else min(window, longest)
    windows = np.maximum(lengths - window + 1, 1)  # of each text
    before = np.cumsum(windows) - windows  # windows of the texts before it
    place = np.flatnonzero(tokens >= 0)
    place = place[np.argsort(tokens[place], kind="stable")]
    word = tokens[place]
    text = np.repeat(np.arange(len(lengths)), lengths)[place]
    begin = (np.cumsum(lengths) - lengths)[text]
    # A token enters with the window whose last token it is, or with the first window.
    enters = np.maximum(place - window + 1, begin)
    # Its word is absent after the word's first token from there on has left.
    span = len(tokens)
    leaver = np.searchsorted(word * span + place, word * span + enters)
    leaves = place[leaver] + 1
    new = np.ones(len(place), bool)  # tokens whose word leaves with the same token are one stretch
    new[1:] = leaver[1:] != leaver[:-1]
    text, shift = text[new], (before[text] - begin)[new]
    end = np.minimum(leaves[new] + shift, before[text] + windows[text])
    return _Presence(int(windows.sum()), word[new], enters[new] + shift, end)


def _pair_npmi(presence: _Presence, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The normalized pointwise mutual information of pairs of words, by number [P]."""
    alone = np.bincount(presence.word, presence.end - presence.start) / presence.windows
    together = _together(presence, first, second) / presence.windows + EPSILON
    return np.log(together / (alone[first] * alone[second])) / -np.log(together)


def _together(presence: _Presence, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How many windows hold both words of each pair [P]."""
    stretches = np.bincount(presence.word)
    low, high = np.minimum(first, second), np.maximum(first, second)
    unique, inverse = np.unique(low * len(stretches) + high, return_inverse=True)
    rare, common = unique // len(stretches), unique % len(stretches)
    swap = stretches[rare] > stretches[common]
    rare[swap], common[swap] = common[swap], rare[swap]
    counts = np.empty(len(unique))
    done = np.cumsum(stretches[rare])
    start = 0
    while start < len(unique):
        room = done[start] - stretches[rare[start]] + AT_ONCE
        stop = max(start + 1, int(np.searchsorted(done, room, "right")))
        counts[start:stop] = _overlaps(presence, stretches, rare[start:stop], common[start:stop])
        start = stop
    return counts[inverse]


def _overlaps(
    presence: _Presence, stretches: np.ndarray, rare: np.ndarray, common: np.ndarray
) -> np.ndarray:
    """Sums over the stretches of one word of the windows in them that hold the other."""
    offsets = np.cumsum(stretches) - stretches
    amount = stretches[rare]
    pair = np.repeat(np.arange(len(rare)), amount)
    own = np.arange(len(pair)) + np.repeat(offsets[rare] - (np.cumsum(amount) - amount), amount)
    other = common[pair]
    span = presence.windows + 1
    starts = presence.word * span + presence.start
    so_far = np.concatenate([[0], np.cumsum(presence.end - presence.start)])

    def held_before(window: np.ndarray) -> np.ndarray:
        """How many windows before this one hold a word up to `other`."""
        found = np.searchsorted(starts, other * span + window, "right")
        beyond = np.maximum(presence.end[found - 1] - window, 0)
        return so_far[found] - np.where(found > offsets[other], beyond, 0)

    both = held_before(presence.end[own]) - held_before(presence.start[own])
    return np.bincount(pair, both, len(rare))
