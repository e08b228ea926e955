"""What a topic model is given: counts stored anyhow, variables by name, batches, seeds, starts."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from jaxvae.apps.topics import inputs
from jaxvae.topics import TopicModel, document_completion, planted

DATA = planted(documents=120, topics=3, words=20, length=40, random_state=1)
DENSE = DATA.counts.toarray()
NAMES = [f"word {i}" for i in range(20)]
SMALL = {"hidden_units": 8, "layers": 1, "batch_size": 60, "max_iter": 2, "random_state": 0}


def model(n_components=3, **options):
    return TopicModel(n_components, **SMALL | options)


def annotated(x=DATA.counts, names=NAMES):
    data = pytest.importorskip("anndata").AnnData(scipy.sparse.csr_matrix(x))
    data.var_names = names
    return data


def framed(x=DENSE, names=NAMES):
    return pytest.importorskip("pandas").DataFrame(x, columns=names)


def framed_by_polars(x=DENSE, names=NAMES):
    return pytest.importorskip("polars").DataFrame(x, schema=names)


FORMS = {"annotated": annotated, "framed": framed, "polars": framed_by_polars}


# --- counts


def in_pieces():
    """The same counts, each entry above one as two, in reverse."""
    rows, columns = DENSE.nonzero()
    values = DENSE[rows, columns]
    one, rest = np.ones_like(values), values - 1
    own = scipy.sparse.coo_array(
        (np.r_[one, rest][::-1], (np.r_[rows, rows][::-1], np.r_[columns, columns][::-1])),
        shape=DENSE.shape,
    )
    order = np.argsort(own.row, kind="stable")
    ends = np.r_[0, np.bincount(own.row).cumsum()]
    return scipy.sparse.csr_array((own.data[order], own.col[order], ends), shape=DENSE.shape)


def test_entries_of_one_word_are_summed():
    pieces = in_pieces()
    assert not pieces.has_canonical_format
    np.testing.assert_array_equal(pieces.toarray(), DENSE)
    before = [own.copy() for own in (pieces.data, pieces.indices, pieces.indptr)]
    whole, made = model().fit(DATA.counts), model().fit(pieces)
    np.testing.assert_array_equal(made.topic_word_, whole.topic_word_)
    assert whole.score(pieces) == whole.score(DATA.counts)
    np.testing.assert_array_equal(whole.transform(pieces), whole.transform(DATA.counts))
    assert whole.perplexity([pieces]) == pytest.approx(whole.perplexity(DATA.counts), rel=1e-6)
    for own, same in zip((pieces.data, pieces.indices, pieces.indptr), before, strict=True):
        np.testing.assert_array_equal(own, same)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((4, 1)), "X must have at least 2 columns, one for each word, got 1"),
        (np.full((4, 3), 1e38), r"X must hold counts of at most 2\*\*53, got 1e\+38"),
    ],
)
@pytest.mark.parametrize("form", [lambda x: x, lambda x: lambda: iter([x])])
def test_what_no_model_can_be_of_is_refused(x, message, form):
    with pytest.raises(ValueError, match=message.replace("X must hold", ".* must hold")):
        model(2).fit(form(x))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16])
@pytest.mark.parametrize("form", ["coo_array", "coo_matrix", "csr_array", "csc_array"])
def test_sums_have_room(dtype, form):
    """Of a word that a document has 300 times, each an entry."""
    rows, columns = DENSE.nonzero()
    parts = [own.repeat(300) for own in (rows, columns)]
    ones = np.ones(len(parts[0]), dtype)
    expected = 300 * (DENSE > 0)
    if form.startswith("coo"):
        given = getattr(scipy.sparse, form)((ones, tuple(parts)), shape=DENSE.shape)
    else:
        lines, others = parts if form == "csr_array" else parts[::-1]
        order = np.argsort(lines, kind="stable")
        length = DENSE.shape[form == "csc_array"]
        ends = np.r_[0, np.bincount(lines, minlength=length).cumsum()]
        given = getattr(scipy.sparse, form)((ones, others[order], ends), shape=DENSE.shape)
    before = given.copy()
    np.testing.assert_array_equal(inputs.to_learn("X", given).toarray(), expected)
    found = model()._counts(given, reset=True)
    np.testing.assert_array_equal(found.toarray(), expected)
    (batch, _), *_ = inputs.read_batches([given])
    np.testing.assert_array_equal(batch.toarray(), expected)
    if dtype is not bool:
        np.testing.assert_array_equal(
            document_completion(given, test=0.5).unseen.toarray().sum(axis=1),
            expected[document_completion(given, test=0.5).test].sum(axis=1) / 2,
        )
    assert given.nnz == before.nnz
    assert given.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float16, ">f8", ">i4", ">f2", jnp.bfloat16, np.longdouble])
def test_numbers_that_scipy_does_not_know(dtype):
    if dtype is not jnp.bfloat16:  # scikit-learn has no such numbers
        found = model()._counts(DENSE.astype(dtype), reset=True)
        np.testing.assert_array_equal(found.toarray(), DENSE)
    parts, same = (document_completion(x, test=0.5) for x in (DENSE.astype(dtype), DENSE))
    np.testing.assert_array_equal(parts.seen.toarray(), same.seen.toarray())


# --- variables


@pytest.mark.parametrize("fitted", FORMS)
@pytest.mark.parametrize("given", FORMS)
def test_variables_in_another_order_are_refused(fitted, given):
    made = model().fit(FORMS[fitted]())
    same = made.transform(FORMS[given]())
    np.testing.assert_array_equal(same, made.transform(FORMS[fitted]()))
    message = "variables that were fitted|feature names should match"
    with pytest.raises(ValueError, match=message):
        made.transform(FORMS[given](DENSE[:, ::-1], NAMES[::-1]))
    with pytest.raises(ValueError, match=message):
        made.partial_fit(FORMS[given](DENSE[:, ::-1], NAMES[::-1]))
    fewer = FORMS[given](DENSE[:, :9], NAMES[:9])
    with pytest.raises(ValueError, match=message):
        made.transform(fewer)


def test_a_matrix_without_names_fits_variables():
    """As halves of an AnnData: nothing is said against it, and its width is checked."""
    made = model().fit(annotated())
    np.testing.assert_array_equal(made.transform(DATA.counts), made.transform(annotated()))
    with pytest.raises(ValueError, match="X must have 20 columns, got 9"):
        made.transform(DATA.counts[:, :9])


@pytest.mark.parametrize("form", FORMS)
def test_batches_keep_their_variables(form):
    first, second = (FORMS[form](DENSE[rows]) for rows in (slice(60), slice(60, None)))
    turned = FORMS[form](DENSE[60:, ::-1], NAMES[::-1])
    message = "batch 1 of X must have the variables .* got 'word 19' where 'word 0' was"
    with pytest.raises(ValueError, match=message):
        model().fit([first, turned])
    made = model(seed_words={"mine": ["word 4"]}).fit([first, second])
    plain = model(seed_words={"mine": [4]}).fit([DENSE[:60], DENSE[60:]])
    np.testing.assert_array_equal(made.topic_word_, plain.topic_word_)
    assert {word for topic in made.topics() for word in topic.words} <= {*NAMES}
    np.testing.assert_array_equal(made.transform([first]), made.transform(first))
    for call in (made.transform, made.partial_fit):
        with pytest.raises(ValueError, match="batch 1 of X must have the variables"):
            call([first, turned])
        with pytest.raises(ValueError, match="X must have the variables"):
            call(turned)


def test_names_of_before_are_forgotten():
    made = model().fit(framed())
    assert made.topics()[0].words[0].startswith("word")
    made.fit([DATA.counts])
    assert not hasattr(made, "feature_names_in_")
    assert all(word.isdecimal() for topic in made.topics() for word in topic.words)
    assert model().fit(framed()).fit([DATA.counts[:, :9]]).topics(top=9)[0].words


# --- batches

BATCHES = {
    "a matrix": (lambda: DATA.counts, TypeError, r"must return an iterable .* \(120, 20\)"),
    "an array": (lambda: DENSE, TypeError, r"must return an iterable .* \(120, 20\)"),
    "a frame": (framed_by_polars, TypeError, r"must return an iterable .* \(120, 20\)"),
    "a number": (lambda: 5, TypeError, "function must return an iterable .* got 5"),
    "rows": (lambda: iter(DENSE), ValueError, r"batch 0 of X must be counts \[N, V\], .* \(20,\)"),
    "none": (lambda: iter([]), ValueError, "X must give at least one batch"),
    "labels": (
        lambda: iter([(DATA.counts, np.zeros(120))]), TypeError,
        "batch 0 of X must be counts .* alone, got tuple",
    ),
    "narrow": (
        lambda: iter([DATA.counts, DATA.counts[:, :9]]), ValueError,
        "batch 1 of X must have 20 columns, got 9",
    ),
    "texts": (lambda: iter([["a cat"]]), TypeError, "batch 0 of X must be counts .* got texts"),
    "NaN": (lambda: iter([np.full((2, 20), np.nan)]), ValueError, "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("case", BATCHES)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform"])
def test_what_are_no_batches_is_refused(case, method, plain):
    source, error, message = BATCHES[case]
    with pytest.raises(error, match=message):
        getattr(plain, method)(source)


@pytest.fixture(scope="module")
def plain():
    return model().fit(DATA.counts)


def test_batches_of_another_width_than_was_fitted(plain):
    source = [DATA.counts[:, :9]]
    with pytest.raises(ValueError, match="batch 0 of X must have 20 columns, got 9"):
        plain.partial_fit(source)
    with pytest.raises(ValueError, match="batch 0 of X must have 20 columns, got 9"):
        plain.transform(source)


def test_a_list_with_labels_is_refused(plain):
    with pytest.raises(TypeError, match=r"batch 0 of X must be counts .* alone, got tuple"):
        plain.fit([(DATA.counts, np.zeros(120))])


def test_batches_go_without_labels_and_covariates(plain):
    source, y = [DATA.counts], DATA.mixtures.argmax(axis=1)
    message = "label_weight must be None where X gives batches, got 2.0"
    with pytest.raises(ValueError, match=message):
        model(label_weight=2.0).fit(source)
    made = model(label_weight=2.0).fit(DATA.counts, y)
    for call in (made.fit, made.partial_fit):
        with pytest.raises(ValueError, match=message):
            call(source)
    with pytest.raises(ValueError, match="covariates must be None where X gives batches"):
        plain.transform(source, covariates=y)
    with pytest.raises(ValueError, match="covariates must be given"):
        model().fit(DATA.counts, covariates=y).transform(source)
    with pytest.raises(ValueError, match="X must be documents in memory"):
        model().fit(DATA.counts, covariates=y).partial_fit(source)


def test_batches_without_documents_are_passed_over(plain):
    some, none = [DATA.counts[:60], DATA.counts[60:]], DATA.counts[:0]
    source = [none, some[0], none, some[1], none]
    for method in ("concentration", "transform", "word_probabilities", "score", "perplexity"):
        call = getattr(plain, method)
        np.testing.assert_array_equal(call(source), call(some))
    np.testing.assert_array_equal(plain.intervals(source), plain.intervals(some))
    made, same = (model().fit(own) for own in (source, some))
    np.testing.assert_array_equal(made.topic_word_, same.topic_word_)
    with pytest.raises(ValueError, match="at least one batch of documents, got none"):
        plain.transform([none])


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, np.asarray])
def test_annotated_data_in_an_open_file(form, tmp_path, plain):
    anndata = pytest.importorskip("anndata")
    anndata.AnnData(form(DENSE.astype(np.float32))).write_h5ad(tmp_path / "a.h5ad")
    data = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert data.isbacked
    np.testing.assert_array_equal(plain.transform(data), plain.transform(DATA.counts))
    np.testing.assert_array_equal(plain.transform(data[:9]), plain.transform(DATA.counts[:9]))
    np.testing.assert_array_equal(plain.transform([data]), plain.transform([DATA.counts]))
    np.testing.assert_array_equal(model().fit(data).topic_word_, plain.topic_word_)
    parts, same = (document_completion(x, test=0.5) for x in (data, DENSE))
    np.testing.assert_array_equal(parts.seen.toarray(), same.seen.toarray())
    data.file.close()


# --- seed words and starts

SEEDS = {
    "a fraction": ([[1.5]], TypeError, "seed_words must hold words or numbers .* got 1.5"),
    "a truth": ([[True]], TypeError, "seed_words must hold words or numbers .* got True"),
    "a number": (5, TypeError, "seed_words must be a list of lists .* got 5"),
    "a word": ("cat", TypeError, "seed_words must be a list of lists .* got 'cat'"),
    "words": (["cat"], ValueError, "seed_words must hold lists of words, got 'cat'"),
    "numbers": ([1, 2], ValueError, "seed_words must hold lists of words, got 1"),
    "an iterator": (iter([[1]]), TypeError, "seed_words must be a list of lists"),
    "no such column": ([[20]], ValueError, "seed_words must be columns from 0 to 19, got 20"),
    "no names": ([["cat"]], ValueError, "got 'cat', and X has no names of columns"),
    "too many": ([[0]] * 4, ValueError, "seed_words must be of at most 3 topics, got 4"),
}


@pytest.mark.parametrize("case", SEEDS)
def test_wrong_seed_words(case):
    seeds, error, message = SEEDS[case]
    with pytest.raises(error, match=message):
        model(seed_words=seeds).fit(DATA.counts)


def test_seed_words_as_numbers_of_numpy():
    made = model(seed_words=np.array([[1, 2], [3, 4]])).fit(DATA.counts)
    same = model(seed_words=[[1, 2], [3, 4]]).fit(DATA.counts)
    np.testing.assert_array_equal(made.topic_word_, same.topic_word_)


def test_a_start_without_weights_is_refused():
    start = np.ones((3, 20))
    start[1] = 0
    with pytest.raises(ValueError, match=r"init must have a weight above 0 .* in row 1"):
        model(init=start).fit(DATA.counts)
