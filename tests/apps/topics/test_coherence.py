"""Coherence is gensim's: against numbers that it gave, and against windows counted one by one."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from jaxvae.apps.topics import coherence
from jaxvae.apps.topics.coherence import c_v, npmi

TEXTS = [
    line.split()
    for line in (
        "the cat saw the dog and the dog saw the cat",
        "a dog and a cat and a bird",
        "the bird saw a cat the cat saw a bird and the bird sang",
        "the law and the vote and the court saw the law",
        "a vote a law a court a vote",
        "the court saw the dog",
        "vote",
        "a bird sang and sang and sang and a dog saw the law",
    )
]
TOPICS = [
    ["cat", "dog", "bird", "sang"],
    ["law", "vote", "court"],
    ["cat", "law"],
    ["the", "a", "and", "saw", "vote"],
]
MEASURES = {"npmi": npmi, "c_v": c_v}
# What gensim 4.4.0 gives: CoherenceModel(topics=[topic], texts=TEXTS, window_size=window,
# dictionary=Dictionary(TEXTS), processes=1, coherence="c_npmi" or "c_v").
GENSIM = {
    ("npmi", 1): [-0.803914025, -0.784859233, -0.799876108, -0.844420984],
    ("npmi", 2): [-0.677886225, -0.828661879, -0.843336151, -0.34369868],
    ("npmi", 4): [-0.414123916, 0.221895022, -0.878878555, -0.190699132],
    ("npmi", 10): [0.091217976, 0.668301744, -0.920354345, -0.084226738],
    ("npmi", 110): [0.279323264, 0.415037499, -0.929005211, 0.047436654],
    ("c_v", 1): [0.411759019, 0.220180534, 0.110506612, 0.541832836],
    ("c_v", 2): [0.357646536, 0.246341057, 0.084684006, 0.17594568],
    ("c_v", 4): [0.205392861, 0.790615655, 0.064331222, 0.215813469],
    ("c_v", 10): [0.592533757, 0.980437471, 0.041438833, 0.308059558],
    ("c_v", 110): [0.784228338, 0.911225529, 0.036778934, 0.444053876],
}
NEWS = Path(__file__).parents[3].parent / "shared" / "data" / "counts" / "news.npz"
NEWS_TOPICS = [
    ["bus", "company", "snow", "storm", "service", "york", "weather", "city", "rail", "safety"],
    [
        "water",
        "arab",
        "berlin",
        "hamburg",
        "charges",
        "resort",
        "port",
        "visitors",
        "state",
        "directive",
    ],
    ["games", "win", "government", "minister", "film"],
]
# By gensim 4.4.0 too, on all 845,166 tokens.
NEWS_GENSIM = {
    ("npmi", 10): [0.054874552, -0.197037501, -0.067246014],
    ("npmi", None): [0.171661279, -0.064974874, 0.043506289],
    ("c_v", 110): [0.610309909, 0.241160104, 0.450101226],
}


def random_texts(count=40, words=7, longest=30):
    """Texts of few words, so that they come again and again; some are empty."""
    generator = np.random.default_rng(3)
    return [
        generator.integers(0, words, generator.integers(0, longest)).tolist() for _ in range(count)
    ]


def windows_by_hand(texts, window):
    """The words that gensim takes to be present in each window, window by window."""
    for text in texts:
        present = set(text[:window])
        yield frozenset(present)
        for leaves, enters in zip(text, text[window:], strict=False):
            present.discard(leaves)
            present.add(enters)
            yield frozenset(present)


def counts_by_hand(windows):
    """How many windows there are, hold a word, and hold two words."""
    alone, together, total = Counter(), Counter(), 0
    for words in windows:
        total += 1
        alone.update(words)
        together.update(itertools.product(words, repeat=2))
    return total, alone, together


def npmi_by_hand(windows, one, other):
    total, alone, together = windows
    joint = together[one, other] / total + 1e-12
    return math.log(joint / (alone[one] / total * alone[other] / total)) / -math.log(joint)


def by_hand(measure, topics, windows):
    counts, results = counts_by_hand(windows), []
    for topic in topics:
        if measure == "npmi":
            pairs = itertools.combinations(topic, 2)
            results.append(np.mean([npmi_by_hand(counts, *pair) for pair in pairs]))
            continue
        vectors = [np.array([npmi_by_hand(counts, i, j) for j in topic]) for i in topic]
        whole = sum(vectors)
        cosines = [v @ whole / math.sqrt((v @ v) * (whole @ whole)) for v in vectors]
        results.append(np.mean(cosines))
    return results


@pytest.mark.parametrize(("measure", "window"), GENSIM)
def test_equals_gensim(measure, window):
    found = MEASURES[measure](TOPICS, TEXTS, window=window)
    np.testing.assert_allclose(found, GENSIM[measure, window], rtol=0, atol=1e-8)


@pytest.mark.skipif(not NEWS.exists(), reason="needs the news counts beside the repository")
@pytest.mark.parametrize(("measure", "window"), NEWS_GENSIM)
def test_equals_gensim_on_the_news(measure, window):
    with np.load(NEWS) as news:
        tokens, offsets = news["tokens"], news["token_offsets"]
        column = {str(word): number for number, word in enumerate(news["features"])}
    texts = [tokens[start:end] for start, end in itertools.pairwise(offsets)]
    topics = [[column[word] for word in topic] for topic in NEWS_TOPICS]
    found = MEASURES[measure](topics, texts, window=window)
    np.testing.assert_allclose(found, NEWS_GENSIM[measure, window], rtol=0, atol=1e-8)


def test_the_windows_are_by_default_those_that_are_published():
    texts, topics = random_texts(longest=200, words=60), [[0, 1, 2, 3]]
    for measure, window in ((npmi, 10), (c_v, 110)):
        assert measure(topics, texts) == measure(topics, texts, window=window)
        assert measure(topics, texts) != measure(topics, texts, window=window - 1)


@pytest.mark.parametrize("window", [1, 2, 3, 7, 29, 10**9])
@pytest.mark.parametrize("measure", MEASURES)
def test_equals_windows_counted_one_by_one(measure, window):
    texts, topics = random_texts(), [[0, 1, 2], [6, 3], [5, 1, 4, 0, 2]]
    found = MEASURES[measure](topics, texts, window=window)
    expected = by_hand(measure, topics, windows_by_hand(texts, window))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_word_is_absent_after_one_of_its_tokens_left():
    """Windows "a a" and "a b": gensim takes the second to hold b alone."""
    texts = [["a", "a", "b"], ["c", "c"]]
    presence = coherence._presence([["a", "b"]], texts, 2)[1]
    assert presence.windows == 3
    stretches = zip(presence.word, presence.start, presence.end, strict=True)
    assert [tuple(map(int, stretch)) for stretch in stretches] == [(0, 0, 1), (1, 1, 2)]
    expected = math.log(1e-12 * 9) / -math.log(1e-12)
    assert npmi([["a", "b"]], texts, window=2)[0] == pytest.approx(expected, abs=1e-12)


def test_closed_forms():
    """Words that only come together have 1, independent ones 0, in either order."""
    texts = [["a", "b", "c"], ["a", "b", "d"], ["c"], ["d"]]
    assert npmi([["a", "b"], ["a", "c"]], texts).tolist() == pytest.approx([1, 0], abs=1e-9)
    assert npmi([["b", "a"], ["c", "a"]], texts).tolist() == pytest.approx([1, 0], abs=1e-9)
    assert c_v([["a", "b"]], texts)[0] == pytest.approx(1)
    never = -1 + math.log(1 / 4) / math.log(1e-12)  # of c and d, which never meet
    assert npmi([["c", "d"]], texts)[0] == pytest.approx(never)
    # The cosine of (1, never) with (1 + never, 1 + never), twice.
    cosine = (1 + never) / math.sqrt(2 * (1 + never**2))
    assert c_v([["c", "d"]], texts)[0] == pytest.approx(cosine)


def test_an_empty_text_is_a_window():
    texts = [["a", "b"], ["a"], ["b"]]
    before, after = npmi([["a", "b"]], texts)[0], npmi([["a", "b"]], [*texts, []])[0]
    assert before == pytest.approx(math.log(3 / 4) / math.log(3), abs=1e-9)
    assert after == pytest.approx(0, abs=1e-9)


def test_a_pair_in_each_window_has_what_gensim_gives():
    assert npmi([["a", "b"]], [["a", "b"], ["b", "a"]]).tolist() == [-1]


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_words_numbers_and_arrays_are_one(measure):
    words = sorted({word for text in TEXTS for word in text}, reverse=True)
    column = {word: 5 * number for number, word in enumerate(words)}
    topics = [[column[word] for word in topic] for topic in TOPICS]
    texts = [[column[word] for word in text] for text in TEXTS]
    expected = measure(TOPICS, TEXTS, window=4)
    arrays = [np.array(text, np.uint16) for text in texts]
    for given in (texts, arrays, tuple(map(tuple, texts))):
        np.testing.assert_array_equal(measure(topics, given, window=4), expected)
    named = [np.array(text) for text in TEXTS]
    np.testing.assert_array_equal(measure(TOPICS, named, window=4), expected)
    square = np.array([topic[:2] for topic in TOPICS])
    lists = [topic[:2] for topic in TOPICS]
    np.testing.assert_array_equal(measure(square, TEXTS), measure(lists, TEXTS))


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_counts_are_a_window_a_document(measure):
    texts, topics = random_texts(), np.array([[0, 1, 2], [6, 3, 5]])
    counts = np.array([np.bincount(np.array(text, int), minlength=9) for text in texts])
    expected = measure(topics, texts, window=None)
    assert (expected != measure(topics, texts, window=3)).all()
    for given in (
        counts,
        counts.astype(np.float32),
        *(scipy.sparse.coo_array(counts).asformat(kind) for kind in ("csr", "csc", "coo", "lil")),
        scipy.sparse.csr_matrix(counts),
    ):
        np.testing.assert_array_equal(measure(topics, given), expected)
        np.testing.assert_array_equal(measure(topics, given, window=3), expected)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_word_in_no_text_is_left_out(measure):
    known, more = ["cat", "dog", "bird"], ["cat", "whale", "dog", "bird", "squid"]
    assert measure([more], TEXTS) == measure([known], TEXTS)
    found = measure([["cat", "whale"], ["squid", "whale"], known], TEXTS)
    assert np.isnan(found).tolist() == [True, True, False]
    counts = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]])
    assert measure([[0, 1, 2]], counts) == measure([[0, 1]], counts)


@pytest.mark.parametrize("at_once", [1, 5, 40])
def test_parts_change_nothing(monkeypatch, at_once):
    texts, topics = random_texts(), [[0, 1, 2], [6, 3], [5, 1, 4, 0, 2]]
    expected = npmi(topics, texts)
    monkeypatch.setattr(coherence, "AT_ONCE", at_once)
    np.testing.assert_array_equal(npmi(topics, texts), expected)


WRONG = {
    "no topics": (([], TEXTS), TypeError, r"topics must be lists .* got \[\]"),
    "one string": (("cat dog", TEXTS), TypeError, "topics must be lists .* got 'cat dog'"),
    "a topic that is a string": ((["cat dog"], TEXTS), TypeError, r"topics\[0\] .* 'cat dog'"),
    "one word": (([["cat", "dog"], ["law"]], TEXTS), ValueError, r"topics\[1\] .*two .*'law'"),
    "a word twice": (([["cat", "dog", "cat"]], TEXTS), ValueError, r"topics\[0\] .*'cat' twice"),
    "a fraction": (([[0.5, 1.0]], TEXTS), TypeError, r"topics\[0\] .*column numbers, got 0.5"),
    "a truth": (([[True, False]], [[1, 0]]), TypeError, r"topics\[0\] .*got True"),
    "a negative column": (([[0, -1]], [[0]]), ValueError, r"topics\[0\] .*at least 0, got -1"),
    "both kinds": (([["cat", "dog"], [1, 2]], TEXTS), TypeError, "topics .*alone.* got both"),
    "no texts": ((TOPICS, []), TypeError, r"texts must be lists .*got \[\]"),
    "a text in one piece": ((TOPICS, ["the cat"]), TypeError, r"texts\[0\] .*got 'the cat'"),
    "a set": ((TOPICS, [{"cat"}]), TypeError, r"texts\[0\] must be a list .*got \{'cat'\}"),
    "numbers for words": ((TOPICS, [["cat"], [3]]), TypeError, r"texts\[1\] .*words .*got 3"),
    "words for numbers": (([[0, 1]], [[0], ["a"]]), TypeError, r"texts\[1\] .*numbers .*'a'"),
    "fractions": (([[0, 1]], [[0, 1.5]]), TypeError, r"texts\[0\] .*integers .*1.5"),
    "nested tokens": ((TOPICS, [["cat", ["dog"]]]), TypeError, "texts must be lists of words"),
    "no word of theirs": ((TOPICS, [["whale"]]), ValueError, "texts .*at least one word.*'cat'"),
    "names for counts": ((TOPICS, np.eye(3)), TypeError, "topics .*column numbers.*'cat'"),
    "a column too many": (([[0, 3]], np.eye(3)), ValueError, "topics .*below 3.*got 3"),
    "negative counts": (([[0, 1]], -np.eye(3)), ValueError, r"texts .*got -1.0 at index \(0, 0\)"),
    "empty counts": (([[0, 1]], np.zeros((0, 3))), ValueError, r"texts .*\(0, 3\)"),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("name", WRONG)
def test_refuses(measure, name):
    arguments, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        measure(*arguments)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize(("window", "error"), [(0, ValueError), (2.0, TypeError)])
def test_refuses_a_window(measure, window, error):
    with pytest.raises(error, match=f"window must be .*got {window}"):
        measure(TOPICS, TEXTS, window=window)
