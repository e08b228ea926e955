"""The last phase of a topic model: the decoder learns from the documents' own posteriors."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxvae.apps.topics.finishing import finished
from jaxvae.apps.topics.posteriors import RATE, posteriors_of
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
