"""The last phase of a topic model: the decoder learns from the documents' own posteriors."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxvae.apps.topics.finishing import finished
from jaxvae.apps.topics.posteriors import RATE, marks, posteriors_of
from jaxvae.data.batches import Batch
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.refinement import posterior_elbo, refine
from jaxvae.topics import TopicModel, document_completion, perplexity, planted

# Of 60 words, each document with 200 tokens.
LONG = planted(documents=300, topics=4, words=60, length=200, random_state=1)
SHORT = planted(documents=300, topics=4, words=60, length=5, random_state=1)
SMALL = {"hidden_units": 16, "random_state": 0}


def quality(counts, **options):
    """The perplexity of unseen halves."""
    parts = document_completion(counts, test=0.3)
    model = TopicModel(4, **SMALL | options).fit(counts[parts.train])
    return perplexity(model.word_probabilities(parts.seen), parts.unseen)


def cosine(known, found):
    """Of topics matched to those found, the mean."""
    known, found = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, found))
    return (known @ found.T)[linear_sum_assignment(-known @ found.T)].mean()


@pytest.mark.parametrize("decoder", ["hybrid", "mixture", "product"])
def test_of_long_documents_it_predicts_better(decoder):
    without, four = (
        quality(LONG.counts, decoder=decoder, max_iter=30, final_rounds=n) for n in (0, 4)
    )
    assert four < 0.995 * without


def test_topics_come_nearer_to_those_planted():
    without, four = (
        TopicModel(4, decoder="mixture", max_iter=20, final_rounds=n, **SMALL).fit(LONG.counts)
        for n in (0, 4)
    )
    off = [1 - cosine(LONG.topics, model.topic_word_) for model in (without, four)]
    assert off[1] < 0.5 * off[0]
    # The encoder, and what a norm keeps, are those of before.
    jax.tree.map(np.testing.assert_array_equal, four.params_["encoder"], without.params_["encoder"])
    kept, same = (model.params_["statistics"] for model in (four, without))
    jax.tree.map(np.testing.assert_array_equal, kept, same)


def test_where_it_is_left_open_the_documents_decide():
    """It is of four rounds where they are long, and of none where they are short."""
    long, four, none = (
        quality(LONG.counts, **options) for options in ({}, {"final_rounds": 4}, {"max_iter": 60})
    )
    assert long == four != none
    short, zero = (quality(SHORT.counts, **options) for options in ({}, {"final_rounds": 0}))
    assert short == zero


def test_a_stream_has_it_too():
    """From an even sample of its documents; of all of them where they are few."""
    batches = [LONG.counts[start : start + 70] for start in range(0, 300, 70)]
    given = {"max_iter": 20, **SMALL}
    without, two = (
        TopicModel(4, decoder="mixture", final_rounds=n, **given).fit(batches) for n in (0, 2)
    )
    off = [1 - cosine(LONG.topics, model.topic_word_) for model in (without, two)]
    assert off[1] < 0.5 * off[0]
    params = finished(
        jax.random.key(two._seed), two.vae_, without.params_, Batch(LONG.counts),
        rounds=2, batch_size=200, words=0.0, dispersion=without._burstiness,
    )  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, two.params_, params)


def test_a_stream_has_no_prior_of_words():
    """Neither before the last phase nor in it."""
    each = [
        TopicModel(4, max_iter=2, final_rounds=1, topic_word_prior=prior, **SMALL).fit(
            [LONG.counts]
        )
        for prior in (0.0, 100.0)
    ]
    np.testing.assert_array_equal(each[0].topic_word_, each[1].topic_word_)


def test_where_it_is_left_open_the_documents_of_a_stream_decide(monkeypatch):
    found = []
    monkeypatch.setattr(
        "jaxvae.apps.topics.finishing.finished",
        lambda key, vae, params, documents, **given: found.append(given["rounds"]) or params,
    )
    for data in (SHORT, LONG):
        TopicModel(4, **SMALL).fit(lambda own=data.counts: iter([own[:100], own[100:]]))
    TopicModel(4, max_iter=2, **SMALL).fit([LONG.counts])
    TopicModel(4, **SMALL).partial_fit([LONG.counts])
    assert found == [4]


def test_partial_fit_goes_on_from_it():
    """Not from before: one more pass changes little."""
    model = TopicModel(4, decoder="mixture", max_iter=20, final_rounds=4, **SMALL)
    before = model.fit(LONG.counts).topic_word_
    off = 1 - cosine(LONG.topics, before)
    model.partial_fit(LONG.counts[:100])
    assert np.abs(model.topic_word_ - before).max() > 0
    assert 1 - cosine(LONG.topics, model.topic_word_) < 3 * off  # before the phase 7 times it


def test_labels_covariates_weights_and_devices():
    y = np.where(np.arange(300) % 3, LONG.mixtures.argmax(axis=1), -1)
    options = {"label_weight": 3.0, "max_iter": 5, "final_rounds": 2, **SMALL}
    given = {
        "sample_weight": np.linspace(0, 2, 300),
        "covariates": np.random.default_rng(0).normal(size=(300, 2)),
    }
    one, four = (
        TopicModel(4, devices=devices, **options).fit(LONG.counts, y, **given)
        for devices in (None, 4)
    )
    np.testing.assert_allclose(four.topic_word_, one.topic_word_, rtol=2e-3, atol=2e-5)
    agreed = one.transform(LONG.counts, covariates=given["covariates"]).argmax(axis=1)
    assert np.mean(agreed == LONG.mixtures.argmax(axis=1)) > 0.8


def test_of_many_documents_each_round_takes_some(monkeypatch):
    """And all have their turn."""
    model = TopicModel(4, max_iter=5, **SMALL).fit(LONG.counts)
    seen = []

    def spy(key, vae, params, documents, **options):
        seen.append(documents.x)
        return posteriors_of(key, vae, params, documents, **options)

    monkeypatch.setattr("jaxvae.apps.topics.finishing.DOCUMENTS", 200)
    monkeypatch.setattr("jaxvae.apps.topics.finishing.posteriors_of", spy)
    key, data = jax.random.key(0), Batch(LONG.counts)
    options = {"rounds": 3, "batch_size": 100, "words": 0.1, "dispersion": 1.0}
    params = finished(key, model.vae_, model.params_, data, **options)
    assert [x.shape[0] for x in seen] == [200, 200, 200]
    assert all((x.toarray() != seen[0].toarray()).any() for x in seen[1:])
    assert np.isfinite(params["decoder"]["topics"]).all()


def test_a_long_document_starts_as_sure_as_its_length_lets_it():
    """A few steps find its mixture, where from the encoder's concentration they do not."""
    data = planted(documents=50, topics=4, words=60, length=20_000, random_state=2)
    model = TopicModel(4, max_iter=20, **SMALL).fit(LONG.counts)
    key, documents = jax.random.key(0), Batch(data.counts)
    given = (key, model.vae_, model.params_)
    few, many = (posteriors_of(*given, documents, steps=n) for n in (15, 300))
    by_encoder = refine(*given, documents, steps=15, learning_rate=RATE).concentration
    bound, mine, best = (
        posterior_elbo(*given, Dirichlet(q), documents).mean() for q in (by_encoder, few, many)
    )
    assert best - mine < 0.4 * (best - bound)


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "all"])
def test_wrong_rounds_are_refused(wrong):
    with pytest.raises((ValueError, TypeError), match="final_rounds must be"):
        TopicModel(2, final_rounds=wrong, max_iter=1).fit(LONG.counts[:20])


def test_a_posterior_is_the_documents_own():
    """Wherever the document stands, and whatever stands beside it; twice, it has the same twice."""
    model = TopicModel(4, max_iter=20, **SMALL).fit(LONG.counts)
    whole = model.transform(LONG.counts)
    order = np.random.default_rng(0).permutation(300)
    moved = model.transform(LONG.counts[order])
    np.testing.assert_allclose(moved, whole[order], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model.transform(LONG.counts[7:9]), whole[7:9], rtol=1e-3, atol=1e-5)
    twice = model.transform(LONG.counts[[5, 5, 6]])
    np.testing.assert_array_equal(twice[0], twice[1])
    assert np.abs(twice[0] - twice[2]).max() > 0.01


def test_marks_of_documents_are_as_good_as_random():
    """Of 50,000 different short documents: a bit of them is set half of the time, within five
    standard deviations (false alarms: 2 in 100,000), and no more pairs agree than by chance, 0.58
    in the mean (more than 6: once in 100,000)."""
    counts = planted(documents=60_000, topics=4, words=500, length=12, random_state=4).counts
    _, first = np.unique(counts.toarray(), axis=0, return_index=True)
    found = marks(counts[np.sort(first)[:50_000]])
    assert len(found) == 50_000
    assert found.dtype == np.int32
    assert (found >= 0).all()
    assert len(found) - len(np.unique(found)) <= 6
    bits = (found[:, None] >> np.arange(31)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(50_000)
    backwards = counts[:9].copy()  # the order of the entries says nothing
    for start, end in zip(backwards.indptr[:-1], backwards.indptr[1:], strict=True):
        backwards.indices[start:end] = backwards.indices[start:end][::-1]
        backwards.data[start:end] = backwards.data[start:end][::-1]
    np.testing.assert_array_equal(marks(backwards), marks(counts[:9]))
