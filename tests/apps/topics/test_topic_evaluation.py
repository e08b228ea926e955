"""How topic models are judged, beside slow computations, closed forms and scikit-learn."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from sklearn.model_selection import StratifiedKFold

from jaxvae.apps.topics import evaluation, matching
from jaxvae.apps.topics.evaluation import (
    agreement,
    cut_in_two,
    document_completion,
    perplexity,
    topics_in_use,
)
from jaxvae.apps.topics.matching import (
    consensus,
    diversity,
    match,
    redundancy,
    stability,
    top_words,
)

PROTOCOL = Path(__file__).parents[3].parent / "shared" / "tools" / "topic_protocol.py"


def some_counts(documents=60, words=12):
    """Counts of which many are zero; the first two documents have no token and one."""
    counts = np.random.default_rng(5).poisson(0.8, (documents, words))
    counts[:2] = 0
    counts[1, 4] = 1
    return counts


def split_by_hand(counts, test, seed):
    """As `document_completion`, row by row on dense counts."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(counts))
    held = sorted(order[: int(len(counts) * test)])
    seen = np.zeros((len(held), counts.shape[1]), int)
    for row, document in enumerate(held):
        words = np.flatnonzero(counts[document])
        tokens = counts[document][words]
        seen[row, words] = generator.multivariate_hypergeometric(tokens, tokens.sum() // 2)
    train = [row for row in range(len(counts)) if row not in held]
    return train, held, seen, counts[held] - seen


@pytest.mark.parametrize(("test", "seed"), [(0.1, 0), (0.5, 0), (0.97, 3)])
def test_completion_equals_the_split_row_by_row(test, seed):
    counts = some_counts()
    parts = document_completion(counts, test=test, random_state=seed)
    expected = split_by_hand(counts, test, seed)
    dense = parts.train, parts.test, parts.seen.toarray(), parts.unseen.toarray()
    for found, other in zip(dense, expected, strict=True):
        np.testing.assert_array_equal(found, other)
    assert (parts.seen.data > 0).all()
    assert (parts.unseen.data > 0).all()


def test_completion_by_default():
    counts = some_counts()
    expected = split_by_hand(counts, 0.1, 0)
    np.testing.assert_array_equal(document_completion(counts).seen.toarray(), expected[2])


@pytest.mark.skipif(not PROTOCOL.exists(), reason="needs the protocol beside the repository")
def test_completion_and_measures_equal_the_protocol(monkeypatch):
    monkeypatch.syspath_prepend(str(PROTOCOL.parent))
    protocol = pytest.importorskip("topic_protocol")
    counts = scipy.sparse.csr_matrix(some_counts().astype(np.float32))
    expected, found = (
        protocol.split(counts, 0.5, 2),
        document_completion(counts, test=0.5, random_state=2),
    )
    for one, other in zip(expected[2:], found[2:], strict=True):
        assert other.dtype == one.dtype
        np.testing.assert_array_equal(other.toarray(), one.toarray())
    generator = np.random.default_rng(0)
    guesses = generator.random(found.unseen.shape) * (generator.random(12) > 0.1)
    assert perplexity(guesses, found.unseen) == protocol.perplexity(guesses, found.unseen)
    runs = list(generator.gamma(0.3, size=(3, 7, 40)))
    assert diversity(runs[0]) == protocol.diversity(runs[0])
    assert stability(runs) == protocol.stability(runs)
    names = [f"w{column}" for column in range(40)]
    assert top_words(runs[0], names).tolist() == protocol.top(runs[0], names)


def test_completion_halves_each_document():
    counts = some_counts()
    parts = document_completion(counts, test=0.97)
    tokens = counts[parts.test].sum(axis=1)
    assert {0, 1} <= set(tokens)
    np.testing.assert_array_equal(parts.seen.sum(axis=1), tokens // 2)
    np.testing.assert_array_equal((parts.seen + parts.unseen).toarray(), counts[parts.test])


@pytest.mark.parametrize(("test", "held"), [(0.29, 29), (0.57, 57), (0.289, 28)])
def test_a_share_is_of_whole_documents(test, held):
    """100 * 0.29 is 28.999999999999996."""
    assert len(document_completion(np.ones((100, 3)), test=test).test) == held


def stored_oddly(counts):
    """The same counts: columns out of order, entries in two parts, zeros that are stored."""
    places, values = counts.nonzero(), counts[counts.nonzero()]
    zeros = (counts == 0).nonzero()
    row, column = (
        np.concatenate([part, part, zero])[::-1] for part, zero in zip(places, zeros, strict=True)
    )
    parts = np.concatenate([values - 1, np.ones_like(values), np.zeros_like(zeros[0])])[::-1]
    order = np.argsort(row, kind="stable")
    offsets = np.searchsorted(row[order], np.arange(len(counts) + 1))
    return scipy.sparse.csr_array((parts[order], column[order], offsets), counts.shape)


@pytest.mark.parametrize(
    "form",
    [
        np.float64,
        np.uint8,
        scipy.sparse.csr_array,
        scipy.sparse.csc_matrix,
        scipy.sparse.coo_array,
        scipy.sparse.dok_array,
        stored_oddly,
        jnp.asarray,
        np.ndarray.tolist,
    ],
)
def test_completion_of_any_form(form):
    counts = some_counts()
    given = counts.astype(form) if isinstance(form, type) and form.__module__ == "numpy" else None
    given = form(counts) if given is None else given
    before = given.copy() if hasattr(given, "tocsr") else None
    expected = document_completion(counts, test=0.3, random_state=1)
    found = document_completion(given, test=0.3, random_state=1)
    for one, other in zip(expected, found, strict=True):
        one, other = (x.toarray() if hasattr(x, "toarray") else x for x in (one, other))
        np.testing.assert_array_equal(one, other)
    assert found.seen.dtype == found.unseen.dtype == getattr(given, "dtype", np.int64)
    if before is not None:
        assert before.nnz == given.nnz
        np.testing.assert_array_equal(before.toarray(), given.toarray())
    if form is stored_oddly:  # that is odd indeed, and was left as it was
        np.testing.assert_array_equal(before.indices, given.indices)
        assert not given.has_canonical_format


COUNTS = some_counts(10)
WRONG_COMPLETION = {
    "a vector": ((np.ones(3),), {}, ValueError, r"counts .*\[N, V\].*\(3,\)"),
    "nothing": ((np.ones((0, 3)),), {}, ValueError, r"counts .*\(0, 3\)"),
    "words": (([["a", "b"]],), {}, TypeError, "counts must hold .*got dtype <U1"),
    "complex": ((scipy.sparse.csr_array(np.eye(4) * 1j),), {}, TypeError, "counts .*complex128"),
    "half": ((np.eye(4) / 2,), {}, ValueError, r"counts .*integers.*got 0.5 at index \(0, 0\)"),
    "negative": ((np.eye(4)[::-1] * -2,), {}, ValueError, r"counts .*got -2.0 at index \(0, 3\)"),
    "nan": ((np.where(np.eye(4), np.nan, 0),), {}, ValueError, "counts .*got nan at index"),
    "infinite": ((np.where(np.eye(4), np.inf, 0),), {}, ValueError, "counts .*got inf at index"),
    "none to test": ((COUNTS,), {"test": 0.09}, ValueError, "test must .* of 10 .*got 0.09"),
    "none to train": ((COUNTS,), {"test": 1.0}, ValueError, "test must .* of 10 .*got 1.0"),
    "no share": ((COUNTS,), {"test": "half"}, TypeError, "test must be a number, got 'half'"),
    "negative share": ((COUNTS,), {"test": -0.5}, ValueError, "test must be .*got -0.5"),
    "a seed": ((COUNTS,), {"random_state": -1}, ValueError, "random_state must .*got -1"),
    "no seed": ((COUNTS,), {"random_state": None}, TypeError, "random_state must .*got None"),
}


@pytest.mark.parametrize("name", WRONG_COMPLETION)
def test_completion_refuses(name):
    arguments, options, error, message = WRONG_COMPLETION[name]
    with pytest.raises(error, match=message):
        document_completion(*arguments, **options)


def test_halves_of_annotated_data():
    counts = np.arange(24).reshape(8, 3)
    data = pytest.importorskip("anndata").AnnData(
        scipy.sparse.csr_matrix(counts.astype(np.float32))
    )
    parts, same = (document_completion(x, test=0.5) for x in (data, counts))
    np.testing.assert_array_equal(parts.seen.toarray(), same.seen.toarray())
    np.testing.assert_array_equal(parts.test, same.test)


@pytest.mark.parametrize("value", [2**40, 1e300])
def test_documents_too_long_to_cut(value):
    counts = np.ones((4, 3))
    counts[2, 1] = value
    with pytest.raises(ValueError, match=r"at most 999,999,999 tokens .* in row 2"):
        cut_in_two(counts)
    with pytest.raises(ValueError, match="in row 2"):
        document_completion(counts, test=0.25, random_state=0)
    assert document_completion(counts, test=0.25, random_state=1).test == [0]  # the rest is not cut


def test_perplexity_of_one_who_knows_nothing_and_of_one_who_knows_all():
    counts = some_counts()[2:]
    assert perplexity(np.full(counts.shape, 7.0), counts) == pytest.approx(12)
    one_word = np.eye(5, 12, dtype=int) * 3
    assert perplexity(one_word, one_word) == 1


def test_perplexity_word_by_word():
    generator = np.random.default_rng(1)
    counts = some_counts()
    guesses = generator.random(counts.shape)
    total = tokens = 0
    for row, column in np.ndindex(*counts.shape):
        share = guesses[row, column] / guesses[row].sum()
        total -= counts[row, column] * math.log(share)
        tokens += counts[row, column]
    expected = math.exp(total / tokens)
    for form in (np.asarray, scipy.sparse.csc_array, scipy.sparse.coo_matrix, stored_oddly):
        assert perplexity(guesses, form(counts)) == pytest.approx(expected, rel=1e-12)
    assert perplexity(5 * guesses, counts) == pytest.approx(expected, rel=1e-12)


def test_a_word_of_probability_zero_counts_with_little():
    found = perplexity([[1.0, 0.0], [0.5, 0.5]], [[0, 1], [1, 0]])
    assert found == pytest.approx(math.sqrt(1e12 * 2))


P = np.full((2, 3), 1 / 3)
WRONG_PERPLEXITY = {
    "negative": (-P, np.ones((2, 3)), ValueError, "word_probabilities .*at least 0, got -0.33"),
    "nan": (P * np.nan, np.ones((2, 3)), ValueError, "word_probabilities .*got nan at index"),
    "infinite": (P * np.inf, np.ones((2, 3)), ValueError, "word_probabilities .*got inf at index"),
    "words": ([["a"]], [[1]], TypeError, "word_probabilities must hold real numbers"),
    "a vector": (P[0], np.ones((2, 3)), ValueError, r"word_probabilities .*got \(3,\)"),
    "shapes": (P, np.ones((2, 4)), ValueError, r"word_probabilities .*\(2, 4\), got \(2, 3\)"),
    "a row of zeros": (P * [[1], [0]], np.ones((2, 3)), ValueError, "word_prob.* in row 1"),
    "no tokens": (P, np.zeros((2, 3)), ValueError, "unseen must hold at least one token"),
    "fractions": (P, P, ValueError, "unseen must hold counts, integers of at least 0, got 0.33"),
}


@pytest.mark.parametrize("name", WRONG_PERPLEXITY)
def test_perplexity_refuses(name):
    probabilities, unseen, error, message = WRONG_PERPLEXITY[name]
    with pytest.raises(error, match=message):
        perplexity(probabilities, unseen)


def test_topics_in_use():
    largest = np.repeat([0, 1, 3], [26, 3, 1])
    mixtures = np.full((30, 5), 0.1)
    mixtures[np.arange(30), largest] = 0.6
    assert topics_in_use(mixtures) == 3
    assert topics_in_use(mixtures, share=0.1) == 2  # just so many
    assert topics_in_use(mixtures, share=0.11) == 1
    assert topics_in_use(mixtures, share=1) == 0
    many = np.zeros((1000, 3))
    many[:, 0] = 1
    many[0], many[1] = [0, 1, 0], [0, 0, 1]
    assert topics_in_use(many) == 1
    assert topics_in_use(many, share=0.001) == 3


@pytest.mark.parametrize(
    ("mixtures", "share", "error", "message"),
    [
        ([0.5, 0.5], 0.1, ValueError, r"mixtures .*\[N, K\].*\(2,\)"),
        ([[0.5, -0.5]], 0.1, ValueError, r"mixtures .*got -0.5 at index \(0, 1\)"),
        ([[0.5, math.nan]], 0.1, ValueError, "mixtures .*got nan"),
        ([[0.5, 0.5]], 0, ValueError, "share .*got 0"),
        ([[0.5, 0.5]], 1.1, ValueError, "share .*at most 1, got 1.1"),
        ([[0.5, 0.5]], "all", TypeError, "share .*got 'all'"),
    ],
)
def test_topics_in_use_refuses(mixtures, share, error, message):
    with pytest.raises(error, match=message):
        topics_in_use(mixtures, share=share)


def some_mixtures(documents=90, topics=4):
    """Mixtures, and labels in which they have a say; not in order."""
    generator = np.random.default_rng(8)
    labels = generator.integers(0, 3, documents)
    concentration = 0.4 + 2 * np.eye(topics)[labels]
    return np.array([generator.dirichlet(row) for row in concentration]), labels


def rand_index_by_hand(one, other):
    """From all pairs of documents: alike in both, in one, in the other."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    first = np.array([one[i] == one[j] for i, j in pairs])
    second = np.array([other[i] == other[j] for i, j in pairs])
    chance = first.sum() * second.sum() / len(pairs)
    return ((first & second).sum() - chance) / ((first.sum() + second.sum()) / 2 - chance)


def information_by_hand(one, other):
    """Mutual information over the mean of the two entropies."""

    def entropy(*parts):
        joint = list(zip(*parts, strict=True))
        shares = np.array([joint.count(value) for value in set(joint)]) / len(joint)
        return -(shares * np.log(shares)).sum()

    first, second = entropy(one), entropy(other)
    return (first + second - entropy(one, other)) / ((first + second) / 2)


def accuracy_by_hand(mixtures, labels):
    """Five nearest neighbours by the Hellinger distance, in four folds."""
    shares = []
    for train, test in StratifiedKFold(4).split(mixtures, labels):
        distance = np.array(
            [[1 - np.sqrt(mixtures[i] * mixtures[j]).sum() for j in train] for i in test]
        )
        nearest = labels[train][np.argsort(distance, axis=1)[:, :5]]
        guesses = [np.bincount(row).argmax() for row in nearest]
        shares.append(np.mean(guesses == labels[test]))
    return np.mean(shares)


def test_agreement_by_hand():
    mixtures, labels = some_mixtures()
    found, largest = agreement(mixtures, labels), mixtures.argmax(axis=1).tolist()
    assert found.adjusted_rand_index == pytest.approx(rand_index_by_hand(largest, labels))
    expected = information_by_hand(largest, labels.tolist())
    assert found.normalized_mutual_information == pytest.approx(expected)
    expected = accuracy_by_hand(mixtures, labels)
    assert found.nearest_neighbour_accuracy == pytest.approx(expected)
    assert 0.3 < found.adjusted_rand_index < 0.95
    assert all(type(number) is float for number in found)


@pytest.mark.parametrize("missing", [-1, "", None, math.nan])
def test_agreement_without_those_that_have_no_label(missing):
    mixtures, labels = some_mixtures()
    known = np.arange(len(labels)) % 5 > 0
    expected = agreement(mixtures[known], labels[known])
    names = labels.tolist() if missing == -1 else [f"class {label}" for label in labels]
    given = [name if keep else missing for name, keep in zip(names, known, strict=True)]
    assert agreement(mixtures, given) == expected
    assert agreement(mixtures, np.array(given, object)) == expected


LABELLED = {
    "integers and NaN": lambda labels: np.where(labels < 0, np.nan, labels),
    "a list of them": lambda labels: [math.nan if label < 0 else label for label in labels],
    "pandas": lambda labels: pytest.importorskip("pandas").Series(
        [None if label < 0 else label for label in labels], dtype="Int64"
    ),
    "categories": lambda labels: pytest.importorskip("pandas").Categorical(
        [None if label < 0 else label for label in labels], categories=[7, 2, 1, 0]
    ),
    "a column": lambda labels: labels[:, None],
    "both kinds": lambda labels: [["zero", 1, 2, None][label] for label in labels],
}


@pytest.mark.parametrize("case", LABELLED)
def test_agreement_with_labels_of_any_form(case):
    mixtures, labels = some_mixtures()
    labels = np.where(np.arange(len(labels)) % 5, labels, -1)
    expected, found = agreement(mixtures, labels), agreement(mixtures, LABELLED[case](labels))
    np.testing.assert_allclose(found[:2], expected[:2])
    # Of neighbours that are as many the first label is taken.
    np.testing.assert_allclose(found[2], expected[2], atol=0.02)


def test_agreement_with_booleans():
    mixtures, labels = some_mixtures()
    expected = agreement(mixtures, (labels > 0).astype(int))
    assert agreement(mixtures, labels > 0) == expected
    assert agreement(mixtures, [*(labels > 0).tolist()]) == expected
    with pytest.raises(ValueError, match="labels must hold a label, got 90 that are missing"):
        agreement(mixtures, pytest.importorskip("pandas").Categorical([None] * 90, categories=[1]))


def test_agreement_where_neighbours_cannot_tell():
    mixtures, labels = some_mixtures(40)
    labels = labels.copy()
    labels[labels == 2] = 1
    labels[:4] = 2
    assert agreement(mixtures, labels).nearest_neighbour_accuracy is not None
    labels[0] = 1
    found = agreement(mixtures, labels)
    assert found.nearest_neighbour_accuracy is None
    assert found.adjusted_rand_index != 0
    assert agreement(mixtures[:6], [1] * 6).nearest_neighbour_accuracy is None
    assert agreement(mixtures[:7], [1] * 7).nearest_neighbour_accuracy == 1


M = np.full((4, 2), 0.5)
WRONG_LABELS = {
    "too few": ([1, 2, 3], ValueError, "labels must be one for each of 4 documents, got 3"),
    "one string": ("abcd", ValueError, r"labels must be labels \[N\], .* got the shape \(\)"),
    "one number": (np.array(3), ValueError, r"labels must be labels \[N\], .* got the shape \(\)"),
    "a matrix": (np.full((4, 2), 3), ValueError, r"labels must be labels \[N\], .* \(4, 2\)"),
    "fractions": ([1.5, 2.0, 1.0, 2.0], TypeError, "labels must name categories, got 1.5"),
    "none": ([None, "", -1, -1], ValueError, "labels must hold a label, got 4 that are missing"),
}


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_agreement_refuses(name):
    labels, error, message = WRONG_LABELS[name]
    with pytest.raises(error, match=message):
        agreement(M, labels)


def test_agreement_refuses_mixtures():
    with pytest.raises(ValueError, match=r"mixtures .*got -0.5 at index"):
        agreement(-M, [0, 1, 0, 1])


def best_by_hand(row, top):
    return sorted(range(len(row)), key=lambda column: (-row[column], column))[:top]


def jaccard_by_hand(one, other, top):
    one, other = (set(best_by_hand(row, top)) for row in (one, other))
    return len(one & other) / len(one | other)


def test_top_words():
    topics = np.random.default_rng(2).integers(0, 6, (5, 30)) / 10  # many are equal
    found = top_words(topics)
    assert found.tolist() == [best_by_hand(row, 10) for row in topics]
    names = [f"word {column}" for column in range(30)]
    named = top_words(topics, names, top=3)
    assert named.tolist() == [[names[column] for column in row] for row in found[:, :3]]
    with np.errstate(divide="ignore"):
        assert top_words(np.log(topics)).tolist() == found.tolist()
    unsigned = (10 * topics).round().astype(np.uint8)
    assert top_words(unsigned).tolist() == found.tolist()
    assert top_words(topics, top=30).shape == (5, 30)


def test_diversity():
    topics = np.random.default_rng(2).random((5, 60))
    different = {column for row in topics for column in best_by_hand(row, 25)}
    assert diversity(topics) == len(different) / 125
    assert diversity(np.ones((4, 60)), top=10) == 1 / 4
    assert diversity(np.eye(4), top=1) == 1


def test_redundancy():
    topics = list(np.random.default_rng(2).random((6, 40)))
    expected = [
        max(jaccard_by_hand(row, other, 10) for other in topics if other is not row)
        for row in topics
    ]
    assert redundancy(topics) == pytest.approx(np.mean(expected))
    assert redundancy(np.eye(4), top=1) == 0
    assert redundancy(np.ones((3, 40))) == 1
    assert redundancy(np.concatenate([np.eye(4), np.eye(4)[:1]]), top=1) == pytest.approx(2 / 5)


def test_match_is_the_best_of_all_permutations():
    generator = np.random.default_rng(4)
    first, second = generator.normal(size=(2, 5, 3))
    second[1] *= 1000  # the cosine does not see it
    second[2] *= 1e-200

    def score(order):
        return sum(
            a @ b / math.sqrt(a @ a) / np.linalg.norm(b / np.abs(b).max()) / np.abs(b).max()
            for a, b in zip(first, second[list(order)], strict=True)
        )

    best = max(itertools.permutations(range(5)), key=score)
    assert match(first, second).tolist() == list(best)


def test_match_finds_what_was_put_out_of_order():
    first = np.random.default_rng(4).dirichlet(np.full(30, 0.1), 8)
    order = np.random.default_rng(5).permutation(8)
    second = first[order] + 0.001
    np.testing.assert_array_equal(second[match(first, second)], first + 0.001)
    first[3] = 0
    assert sorted(match(first, second)) == list(range(8))


def test_stability_is_the_best_of_all_permutations():
    runs = np.random.default_rng(6).random((3, 4, 15))
    scores = [
        max(
            np.mean([jaccard_by_hand(a, b, 5) for a, b in zip(one, order, strict=True)])
            for order in itertools.permutations(other)
        )
        for one, other in itertools.combinations(runs, 2)
    ]
    assert stability(runs, top=5) == pytest.approx(np.mean(scores))
    assert stability([runs[0], runs[0][::-1]]) == 1
    assert stability([runs[0], runs[0][:2]]) == 1
    assert stability(list(runs)) == stability(runs, top=10)
    assert stability(runs) != stability(runs, top=5)


T = np.eye(4)
WRONG_TOPICS = {
    "words of a vector": (lambda: top_words(T[0]), ValueError, r"topic_word .*\(4,\)"),
    "words of nan": (lambda: top_words(T * np.nan), ValueError, "topic_word .*got nan"),
    "no words": (lambda: top_words(T, top=0), ValueError, "top must be .*got 0"),
    "too many": (lambda: top_words(T), ValueError, "top must be at most .* 4, got 10"),
    "names": (lambda: top_words(T, list("abc"), top=2), ValueError, r"features .* 4 .*\(3,\)"),
    "diversity": (lambda: diversity(T), ValueError, "top must be at most .* 4, got 25"),
    "diversity of": (lambda: diversity([["a"]]), TypeError, "topic_word must hold real"),
    "redundancy": (lambda: redundancy(T), ValueError, "top must be at most .* 4, got 10"),
    "one topic": (lambda: redundancy(T[:1], top=1), ValueError, r"two topics.*\(1, 4\)"),
    "first": (lambda: match((T + 1) * np.inf, T), ValueError, "first must be finite, got"),
    "second": (lambda: match(T, T * np.nan), ValueError, "second must be finite, got"),
    "shapes": (lambda: match(T, T[:3]), ValueError, r"second .*\(4, 4\), got \(3, 4\)"),
    "one run": (lambda: stability([T]), ValueError, "topic_words .*two runs, got 1"),
    "no runs": (lambda: stability(3), ValueError, "topic_words .*two runs, got 3"),
    "a run": (lambda: stability([T, T[0]]), ValueError, r"topic_words\[1\] .*\(4,\)"),
    "words": (lambda: stability([T, T[:, :3]], top=1), ValueError, r"topic_words\[1\] .*4 words"),
    "stability": (lambda: stability([T, T]), ValueError, "top must be at most .* 4, got 10"),
}


@pytest.mark.parametrize("name", WRONG_TOPICS)
def test_topics_are_refused(name):
    call, error, message = WRONG_TOPICS[name]
    with pytest.raises(error, match=message):
        call()


def test_public_classes_say_their_door():
    assert {evaluation.Completion.__module__, evaluation.Agreement.__module__} == {"jaxvae.topics"}
    assert matching.__doc__


def test_the_library_is_imported_without_topics():
    code = "import sys, jaxvae; assert 'jaxvae.apps.topics' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_consensus_has_less_noise_than_its_runs():
    """Topics in another order in each run, with noise of their own: the mean of five has about a
    fifth of its variance."""
    generator = np.random.default_rng(0)
    truth = generator.dirichlet(np.full(40, 0.1), size=6)
    runs = [
        (truth * generator.gamma(4, 0.25, truth.shape))[generator.permutation(6)] for _ in range(5)
    ]
    found = consensus(runs)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert match(runs[0], found).tolist() == list(range(6))  # in the order of the first

    def error(topics):
        own = topics / topics.sum(axis=1, keepdims=True)
        return ((own[match(truth, own)] - truth) ** 2).sum()

    assert error(found) < 0.4 * np.mean([error(run) for run in runs])


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([np.eye(3)], "topic_words must be of at least two runs, got 1"),
        ([np.eye(3), np.eye(4)], r"topic_words\[1\] must have the shape \(3, 3\)"),
        ([np.eye(3), -np.eye(3)], r"topic_words\[1\] must be at least 0"),
    ],
)
def test_a_wrong_consensus_is_named(runs, message):
    with pytest.raises(ValueError, match=message):
        consensus(runs)
