"""`TopicModel`: planted topics recovered, wrong input, scikit-learn's manner, streams, hints."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from scipy.stats import beta
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

import jaxvae
from jaxvae.apps.topics import starts
from jaxvae.parallel import Placement
from jaxvae.topics import (
    TopicModel,
    bars,
    document_completion,
    match,
    perplexity,
    planted,
)

SMALL = {"hidden_units": 32, "layers": 1, "batch_size": 100, "random_state": 0}
DATA = planted(documents=600, topics=5, words=60, length=60, random_state=1)


def model(n_components=5, **options):
    return TopicModel(n_components, **({"max_iter": 40} | SMALL | options))


@pytest.fixture(scope="module")
def fitted():
    return model().fit(DATA.counts)


def cosine(first, second):
    first, second = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (first, second))
    return (first * second).sum(axis=1)


# --- what is found


@pytest.mark.parametrize("decoder", ["hybrid", "mixture"])
def test_planted_topics_are_recovered(decoder, fitted):
    made = fitted if decoder == "hybrid" else model(decoder=decoder).fit(DATA.counts)
    order = match(DATA.topics, made.topic_word_)
    assert cosine(DATA.topics, made.topic_word_[order]).mean() > 0.97
    mixtures = made.transform(DATA.counts)[:, order]
    assert np.abs(mixtures - DATA.mixtures).sum(axis=1).mean() < 0.35  # 2 at worst


def test_a_product_predicts_better_than_word_frequencies():
    parts = document_completion(DATA.counts)
    made = model(decoder="product").fit(DATA.counts[parts.train])
    usual = np.tile(made.background_, (len(parts.test), 1))
    found = perplexity(made.word_probabilities(parts.seen), parts.unseen)
    assert found < 0.8 * perplexity(usual, parts.unseen)


def test_a_refined_posterior_predicts_better():
    parts = document_completion(DATA.counts)
    made = model(max_iter=10).fit(DATA.counts[parts.train])
    refined = perplexity(made.word_probabilities(parts.seen), parts.unseen)
    bound = made.perplexity(parts.seen)
    made.refine = False
    assert refined < perplexity(made.word_probabilities(parts.seen), parts.unseen)
    assert bound < made.perplexity(parts.seen)


def test_the_start_alone_finds_bars():
    data = bars(documents=500, side=4, random_state=0)
    odds = starts.factors(data.counts, 8, 0)
    found = np.exp(odds)
    assert cosine(data.topics, found[match(data.topics, found)]).min() > 0.8


def test_the_score_is_the_bound_of_the_tokens_in_order(fitted):
    """By the model's own ELBO, refined a hundred steps: within a percent."""
    x = np.asarray(DATA.counts[:50].todense())
    q = jaxvae.refine(jax.random.key(5), fitted.vae_, fitted.params_, x, steps=100)
    z = jax.random.dirichlet(jax.random.key(1), q.concentration, (400, 50))
    p = np.asarray(jax.nn.softmax(fitted.vae_.parts.network.decode(
        fitted.params_, jnp.asarray(z.reshape(-1, 5))), axis=-1)).reshape(400, 50, 60)  # fmt: skip
    reconstruction = (x[None] * np.log(p)).sum(axis=2).mean(axis=0)
    prior = jnp.tile(jnp.exp(fitted.params_["prior"]["log_concentration"]), (50, 1))
    kl = np.asarray(jaxvae.kl_dirichlet(q.concentration, prior))
    expected = (reconstruction - kl).sum()
    assert fitted.score(DATA.counts[:50]) == pytest.approx(expected, rel=0.01)
    tokens = x.sum()
    assert fitted.perplexity(DATA.counts[:50]) == pytest.approx(
        np.exp(-expected / tokens), rel=0.05
    )


def test_the_mean_and_the_intervals_are_the_dirichlets(fitted):
    q = fitted.concentration(DATA.counts[:20]).astype(float)
    np.testing.assert_allclose(
        fitted.transform(DATA.counts[:20]), q / q.sum(axis=1, keepdims=True), rtol=1e-5
    )
    lower, upper = fitted.intervals(DATA.counts[:20], level=0.8)
    rest = q.sum(axis=1, keepdims=True) - q
    np.testing.assert_allclose(beta.cdf(upper, q, rest) - beta.cdf(lower, q, rest), 0.8, rtol=1e-6)


def test_components_are_the_probabilities_beside_those_of_all(fitted):
    own = fitted.topic_word_ / (fitted.background_ / fitted.background_.sum()) ** 0.2
    np.testing.assert_allclose(fitted.components_, own / own.sum(1, keepdims=True), rtol=1e-4)
    plain = model(relevance=1.0, max_iter=2).fit(DATA.counts)
    np.testing.assert_allclose(plain.components_, plain.topic_word_, rtol=1e-4)


# --- what it is given


@pytest.mark.parametrize(
    "form",
    [
        scipy.sparse.csc_matrix,
        scipy.sparse.coo_array,
        lambda x: np.asarray(x.todense()),
        lambda x: np.asarray(x.todense()).astype(np.int64),
    ],
)
def test_any_form_of_the_same_counts_gives_the_same(form, fitted):
    again = model().fit(form(DATA.counts))
    np.testing.assert_array_equal(again.topic_word_, fitted.topic_word_)


def test_annotated_data():
    anndata = pytest.importorskip("anndata")
    data = anndata.AnnData(scipy.sparse.csr_matrix(DATA.counts))
    data.var_names = [f"gene{i}" for i in range(60)]
    made = model(max_iter=2).fit(data)
    assert made.topics(top=1)[0].words[0].startswith("gene")
    with pytest.raises(ValueError, match="variables that were fitted"):
        made.transform(data[:, ::-1])


def test_texts_in_a_pipeline():
    texts = ["the cat sat", "the dog ran", "cat and dog", "sat and ran"] * 10
    pipe = make_pipeline(CountVectorizer(), model(2, max_iter=2))
    assert pipe.fit_transform(texts).shape == (40, 2)
    names = pipe[0].get_feature_names_out()
    assert {w for topic in pipe[1].topics(names, top=3) for w in topic.words} <= {*names}
    assert list(pipe.get_feature_names_out()) == ["topicmodel0", "topicmodel1"]


def test_batches_are_read_again_for_each_pass():
    passes = []

    def batches():
        passes.append(1)
        for start in range(0, 600, 150):
            yield DATA.counts[start : start + 150]

    made = model(max_iter=30).fit(batches)
    assert len(passes) >= 30
    order = match(DATA.topics, made.topic_word_)
    assert cosine(DATA.topics, made.topic_word_[order]).mean() > 0.9
    assert made.transform(batches).shape == (600, 5)
    with pytest.raises(TypeError, match="X must give its batches again"):
        model().fit(iter([DATA.counts]))


def test_partial_fit_goes_on():
    made = model()
    for start in range(0, 600, 200):
        made.partial_fit(DATA.counts[start : start + 200])
    assert (made.n_iter_, len(made.loss_curve_)) == (3, 3)
    assert made.loss_curve_[-1] < made.loss_curve_[0]
    with pytest.raises(ValueError, match="59 features"):
        made.partial_fit(DATA.counts[:, :59])


def test_partial_fit_counts_all_documents():
    """Words that come in later documents alone are nothing special in the topics."""
    first, second = DATA.counts[:200].copy(), DATA.counts[200:]
    first.data[first.indices >= 50] = 0
    first.eliminate_zeros()
    made = model(max_iter=2).partial_fit(first)
    shares, old = made.topic_shares_, pickle.loads(pickle.dumps(made))
    made.partial_fit(second)
    counts = scipy.sparse.vstack([first, second]).sum(axis=0) + 0.5
    own = made.topic_word_ / (counts / counts.sum()) ** 0.2
    np.testing.assert_allclose(made.components_, own / own.sum(axis=1, keepdims=True), rtol=1e-4)
    made.refine = False
    lengths = second.sum(axis=1)
    tokens = shares * first.sum() + lengths @ made.transform(second)
    np.testing.assert_allclose(made.topic_shares_, tokens / tokens.sum(), rtol=1e-4)
    del old._word_counts, old._topic_tokens  # as of a pickle of before
    old.partial_fit(second)
    np.testing.assert_allclose(old.components_, made.components_, rtol=1e-4)
    np.testing.assert_allclose(old.topic_shares_, made.topic_shares_, rtol=1e-2)
    streamed = model(max_iter=2).partial_fit([first]).partial_fit([second[:100], second[100:]])
    np.testing.assert_allclose(streamed._word_counts, counts)
    again = made.fit(first)  # forgets what was before
    np.testing.assert_allclose(again._word_counts, first.sum(axis=0) + 0.5)


def test_what_is_found_can_be_written_to():
    made = model(max_iter=1).fit(DATA.counts)
    for name in ("components_", "topic_word_", "topic_shares_", "background_"):
        assert getattr(made, name).flags.writeable
    assert made.transform(DATA.counts[:3]).flags.writeable
    assert made.word_probabilities(DATA.counts[:3]).flags.writeable


def test_documents_without_a_word():
    x = scipy.sparse.vstack([DATA.counts[:100], scipy.sparse.csr_array((2, 60))], format="csr")
    made = model(max_iter=2).fit(x)
    same = model(max_iter=2).fit(DATA.counts[:100])
    np.testing.assert_array_equal(made.topic_word_, same.topic_word_)
    own = np.exp(made.params_["prior"]["log_concentration"])
    assert own.min() > 0.101  # 0.1 is where it starts
    np.testing.assert_allclose(made.concentration(x)[-2:], [own, own], rtol=1e-5)
    np.testing.assert_allclose(made.transform(x)[-2:], [own / own.sum()] * 2, rtol=1e-5)
    fixed = model(max_iter=2, learn_prior=False).fit(x)
    np.testing.assert_allclose(fixed.concentration(x)[-2:], 0.1, rtol=1e-5)
    with pytest.raises(ValueError, match="at least one document with a word"):
        made.fit(np.zeros((5, 60)))
    with pytest.raises(ValueError, match="at least one document with a word"):
        made.perplexity(np.zeros((5, 60)))


WRONG = {
    "negative": (lambda: -np.eye(5), ValueError, "X must hold counts, .* got -1"),
    "fractions": (
        lambda: np.eye(5) / 2,
        ValueError,
        r"X must hold counts, .* got 0.5 at index \(0, 0\); logarithms",
    ),
    "texts": (lambda: ["a cat", "a dog"], TypeError, "got texts: make_pipeline"),
    "one text": (lambda: "a cat", TypeError, "got texts"),
    "an array of texts": (lambda: np.array(["a", "b"]), TypeError, "got texts"),
    "NaN": (lambda: np.full((5, 3), np.nan), ValueError, "NaN"),
    "one axis": (lambda: np.ones(5), ValueError, "2D array"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_are_no_counts_is_refused(case):
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        model().fit(make())


OPTIONS = {
    "init": (np.ones((5, 3)), r"init must have the shape \(5, 60\), got \(5, 3\)"),
    "n_components": (1, "n_components must be at least 2, got 1"),
    "decoder": ("lda", "decoder must be one of"),
    "doc_topic_prior": (0, "doc_topic_prior must be finite and above 0, got 0"),
    "dropout": (1.0, "dropout must be below 1"),
    "batch_size": (0, "batch_size must be at least 1, got 0"),
    "max_iter": (0, "max_iter must be at least 1, got 0"),
    "learning_rate": (-1, "learning_rate must be finite and above 0"),
    "relevance": (2.0, "relevance must be at most 1, got 2"),
    "seed_words": ([[99]], "seed_words must be columns from 0 to 59, got 99"),
    "label_weight": (1.0, "y must be given where label_weight is set"),
    "random_state": ("x", "random_state must be None"),
    "devices": (99, "devices must be at most 8 here, got 99"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_wrong_option_is_named(name):
    value, message = OPTIONS[name]
    with pytest.raises((ValueError, TypeError), match=message):
        model(**{name: value}).fit(DATA.counts)


def test_before_fit():
    with pytest.raises(NotFittedError):
        model().transform(DATA.counts)


def test_topics_start_where_they_are_told():
    """Before a step: the given topics, in their order; and a random start knows none."""
    held = {"max_iter": 1, "learning_rate": 1e-12}
    made = model(init=DATA.topics[::-1].copy(), **held).fit(DATA.counts)
    assert cosine(DATA.topics[::-1], made.topic_word_).min() > 0.95
    assert (
        cosine(DATA.topics, model(init="random", **held).fit(DATA.counts).topic_word_).max() < 0.9
    )


# --- hints and covariates


def test_labels_own_their_topics():
    y = np.array(["a", "b", "c", "d", "e"])[DATA.mixtures.argmax(axis=1)].astype(object)
    known = y.copy()
    known[::2] = None
    made = model(label_weight=3.0).fit(DATA.counts, known)
    assert list(made.classes_) == ["a", "b", "c", "d", "e"] == made.topic_names_
    found = made.classes_[made.transform(DATA.counts).argmax(axis=1)]
    assert (found == y).mean() > 0.85  # 0.2 by chance
    with pytest.raises(ValueError, match="n_components must be at least 5"):
        model(3, label_weight=1.0).fit(DATA.counts, y)


def test_seed_words_name_and_place_a_topic():
    topic = 3
    words = np.argsort(-DATA.topics[topic])[:4]
    made = model(seed_words={"mine": [int(w) for w in words]}).fit(DATA.counts)
    assert made.topic_names_[0] == "mine"
    assert match(made.topic_word_, DATA.topics)[0] == topic


def test_covariates_are_explained_and_kept_out_of_topics():
    """Half of the documents come from a source that adds one word."""
    source = np.arange(600) % 2
    x = np.asarray(DATA.counts.todense())
    x[:, 0] = np.where(source == 1, 30, 0)
    names = np.where(source == 1, "loud", "still")
    made = model(max_iter=60).fit(x, covariates=names)
    p = made.word_probabilities(x[:2], covariates=names[:2])
    assert p[1, 0] > 10 * p[0, 0]
    with pytest.raises(ValueError, match="covariates must be given"):
        made.transform(x)
    with pytest.raises(ValueError, match="covariates must be of"):
        made.transform(x[:1], covariates=["new"])
    with pytest.raises(ValueError, match="covariates must be None"):
        model(max_iter=1).fit(x).transform(x, covariates=names)


# --- weights


def test_a_weight_of_two_is_the_document_twice():
    """In what is counted; but for the 0.5 of each word, and weights have a mean of 1."""
    weight = 1.0 + (np.arange(600) % 3 == 0)
    twice = scipy.sparse.vstack([DATA.counts, DATA.counts[weight == 2]], format="csr")
    made = model(max_iter=1).fit(DATA.counts, sample_weight=weight)
    words = twice.sum(axis=0) * 600 / 800
    np.testing.assert_allclose(made.background_, words + 0.5, rtol=1e-6)
    assert np.abs(words - DATA.counts.sum(axis=0)).max() > 5
    own = made.topic_word_ / (words + 0.5) ** 0.2
    np.testing.assert_allclose(made.components_, own / own.sum(axis=1, keepdims=True), rtol=1e-4)
    made.refine = False
    tokens = weight * DATA.counts.sum(axis=1)
    expected = tokens @ made.transform(DATA.counts) / tokens.sum()
    np.testing.assert_allclose(made.topic_shares_, expected, rtol=1e-5)
    made.fit(DATA.counts, sample_weight=1e-9 * weight)  # what counts is their ratio
    np.testing.assert_allclose(made.topic_shares_, expected, rtol=1e-3)


def test_documents_of_hardly_a_weight_do_not_move_the_start():
    """Half of the documents are of other topics."""
    other = planted(documents=600, topics=5, words=60, length=60, random_state=2).counts
    both = scipy.sparse.vstack([DATA.counts, other], format="csr")
    weight = np.repeat([1.0, 1e-6], 600)
    each = ((DATA.counts, None), (both, weight), (both, None))
    alone, weighed, alike = (starts.factors(x, 5, 0, weight=own) for x, own in each)
    assert cosine(alone, weighed[match(alone, weighed)]).min() > 0.99
    assert cosine(alone, alike[match(alone, alike)]).min() < 0.9
    given, same, off = (starts.log_odds(DATA.topics, starts.weighed(*own)) for own in each)
    np.testing.assert_allclose(same, given, atol=0.01)
    assert np.abs(off - given).max() > 0.5
    burst = scipy.sparse.vstack([DATA.counts, 32 * DATA.counts], format="csr")
    assert starts.dispersion(burst, alone) > 4
    assert starts.dispersion(burst, alone, 2 * weight) == 1


# --- scikit-learn's manner


def test_the_same_seed_is_the_same_model(fitted):
    again = clone(fitted).fit(DATA.counts)
    np.testing.assert_array_equal(again.topic_word_, fitted.topic_word_)
    other = clone(fitted).set_params(random_state=1).fit(DATA.counts)
    assert not np.array_equal(other.topic_word_, fitted.topic_word_)


def test_the_same_topics_on_any_number_of_devices():
    one = model(max_iter=5).fit(DATA.counts)
    split = Placement(4, data="split")
    for devices in (4, split):
        more = model(max_iter=5, devices=devices).fit(DATA.counts)
        assert clone(more).get_params()["devices"] == devices
        np.testing.assert_allclose(more.topic_word_, one.topic_word_, rtol=2e-3)
        np.testing.assert_allclose(more.loss_curve_, one.loss_curve_, rtol=1e-5)
        mixtures = more.transform(DATA.counts)
        np.testing.assert_allclose(mixtures, one.transform(DATA.counts), atol=2e-3)


def test_devices_of_a_clone():
    """JAX's own can be neither copied nor pickled."""
    mesh = jax.make_mesh((2,), ("device",))
    for devices in (jax.devices()[:1], mesh):
        where = Placement(devices)
        assert clone(model(devices=where)).get_params()["devices"] == where


def test_a_pickle_answers_alike(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(
        again.transform(DATA.counts[:9]), fitted.transform(DATA.counts[:9])
    )


def test_a_pickle_of_before_sees_the_counts(fitted):
    """Its encoder was trained on the counts themselves, not on their logarithms."""
    old = pickle.loads(pickle.dumps(fitted))
    del old._sees_log
    x = np.asarray(DATA.counts[:9].todense())
    expected = fitted.vae_.encode(fitted.params_, np.expm1(x)).concentration
    np.testing.assert_allclose(old.vae_.encode(old.params_, x).concentration, expected, rtol=1e-4)


def test_long_documents_do_not_flood_the_encoder():
    """Documents of 20 to 20,000 words: what the encoder alone says predicts well."""
    generator = np.random.default_rng(0)
    length = np.exp(generator.uniform(3, 10, 600)).astype(int)
    counts = generator.multinomial(length, DATA.mixtures @ DATA.topics)
    parts = document_completion(counts)
    made = model(refine=False).fit(counts[parts.train])
    best = perplexity((DATA.mixtures @ DATA.topics)[parts.test], parts.unseen)
    assert perplexity(made.word_probabilities(parts.seen), parts.unseen) < 1.15 * best


def test_fit_transform_is_fit_and_transform(fitted):
    np.testing.assert_array_equal(model().fit_transform(DATA.counts), fitted.transform(DATA.counts))


def test_a_saved_model_encodes_alike(fitted, tmp_path):
    jaxvae.save(tmp_path / "topics", fitted.vae_, fitted.params_)
    loaded = jaxvae.load(tmp_path / "topics")
    x = np.asarray(DATA.counts[:7].todense())
    # Its own draws are of another seed: that alone is what they differ by.
    refined = clone_with(fitted, _seed=0).transform(x)
    np.testing.assert_allclose(loaded.encode(x), refined, rtol=1e-4, atol=1e-6)
    assert np.abs(refined - fitted.transform(x)).mean() < 0.02
    quick = clone_with(fitted, refine=False).transform(x)
    np.testing.assert_allclose(loaded.encode(x, refine=False), quick, rtol=1e-4, atol=1e-6)
    assert np.abs(quick - refined).mean() > 0.03
    np.testing.assert_allclose(loaded.encode(0 * x), fitted.transform(0 * x), rtol=1e-6)
    stored = scipy.sparse.csr_array(x + 1)  # with zeros among its entries
    stored.data -= 1
    np.testing.assert_array_equal(loaded.encode(stored), loaded.encode(x))


def test_what_is_not_fitted_has_no_model():
    with pytest.raises(NotFittedError):
        model().vae_  # noqa: B018


def clone_with(fitted, **attributes):
    """The same fitted model with other attributes."""
    other = copy.copy(fitted)
    vars(other).update(attributes)
    return other


def test_the_table_fits_a_terminal(fitted):
    text = str(fitted.topics([f"a rather long word {i}" for i in range(60)]))
    assert len(text.splitlines()) == 6
    assert max(map(len, text.splitlines())) <= 80


def test_factors_that_fit_exactly_start_without_a_warning():
    """Texts of one word each: by rounding, scikit-learn takes the root of a number below zero."""
    words = np.random.default_rng(0).integers(0, 3, 100)
    odds = starts.factors(scipy.sparse.csr_array(np.eye(3, dtype=np.float32)[words]), 3, 0)
    assert sorted(odds.argmax(axis=1).tolist()) == [0, 1, 2]
