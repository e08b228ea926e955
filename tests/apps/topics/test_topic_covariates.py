"""Covariates of a topic model: standardised numbers, names, columns of frames."""

import pickle

import numpy as np
import pytest

import jaxvae
from jaxvae.apps.topics.covariates import Covariates
from jaxvae.topics import TopicModel, planted

DATA = planted(documents=120, topics=3, words=20, length=40, random_state=1)
YEAR = 1950 + np.arange(120) % 60
SOURCE = np.where(np.arange(120) % 3, "a", "b")
ALL = np.ones(120, bool)
SMALL = {"hidden_units": 8, "layers": 1, "batch_size": 60, "max_iter": 10, "random_state": 0}


def model(n_components=3, **options):
    return TopicModel(n_components, **SMALL | options)


def columns(covariates, counted=ALL):
    return Covariates.of(covariates, counted).read(covariates)


# --- numbers


def test_numbers_of_any_size_are_as_good_as_standardised_ones():
    made = model().fit(DATA.counts, covariates=YEAR)
    own = (YEAR - YEAR.mean()) / YEAR.std()
    same = model().fit(DATA.counts, covariates=own)
    np.testing.assert_allclose(made.topic_word_, same.topic_word_, rtol=1e-3)
    assert made.perplexity(DATA.counts, covariates=YEAR) < 25  # of 20 words
    # What was fitted decides, not what comes.
    some = made.transform(DATA.counts[:9], covariates=YEAR[:9])
    whole = made.transform(DATA.counts, covariates=YEAR)
    np.testing.assert_allclose(some, whole[:9], rtol=1e-4)


def test_a_model_with_covariates_is_saved_by_itself(tmp_path):
    made = model(max_iter=1).fit(DATA.counts, covariates=YEAR)
    with pytest.raises(ValueError, match=r"without a condition \(where there is one, data is a"):
        jaxvae.save(tmp_path / "mine", made.vae_, made.params_)
    loaded = jaxvae.load(jaxvae.save(tmp_path / "mine", made))
    own = (YEAR[:9, None] - YEAR.mean()) / YEAR.std()
    x = jaxvae.Batch(DATA.counts[:9].astype(np.float32), condition=own)
    made.refine = False
    found = loaded.encode(x, refine=False)
    np.testing.assert_allclose(found, made.transform(DATA.counts[:9], covariates=YEAR[:9]), 1e-4)
    assert loaded.encode(x).shape == (9, 3)


def test_columns_are_standardised_each():
    given = np.stack([YEAR, np.full(120, 0.1), np.arange(120) * 1e-20], axis=1)
    found = columns(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 1], atol=1e-6)
    known = Covariates.of(given, ALL)
    np.testing.assert_allclose(known.read([[1950, 2.1, 0]])[0, 1], 2, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(value):
    given = YEAR.astype(float)
    given[7] = value
    for covariates in (given, np.stack([YEAR, given], axis=1)):
        with pytest.raises(
            ValueError, match=r"covariates in column [01] must be finite, .* \(7, 0\)"
        ):
            model().fit(DATA.counts, covariates=covariates)
    made = model(max_iter=1).fit(DATA.counts, covariates=YEAR)
    with pytest.raises(ValueError, match="covariates in column 0 must be finite"):
        made.transform(DATA.counts, covariates=given)


def test_documents_that_do_not_count_have_no_say():
    weight = np.ones(120)
    weight[-1] = 0
    far = YEAR.astype(float)
    far[-1] = 1e6
    made = model(max_iter=1).fit(DATA.counts, covariates=far, sample_weight=weight)
    assert made._covariates.columns[0].loc == pytest.approx(YEAR[:-1].mean())


def test_partial_fit_keeps_the_scale_of_the_first_call():
    made = model().partial_fit(DATA.counts[:60], covariates=YEAR[:60])
    first = made._covariates
    made.partial_fit(DATA.counts[60:], covariates=YEAR[60:] + 500)
    assert made._covariates == first
    assert first.columns[0].loc == YEAR[:60].mean()


def test_a_pickle_of_before_has_no_scale():
    made = model(max_iter=1).fit(DATA.counts, covariates=np.stack([YEAR, YEAR], axis=1))
    old = pickle.loads(pickle.dumps(made))
    del old._covariates, old._fixed
    old._known = [None, None]
    known = made._covariates.columns[0]
    standardised = np.stack([(YEAR - known.loc) / known.scale] * 2, axis=1)
    np.testing.assert_allclose(
        old.transform(DATA.counts, covariates=standardised),
        made.transform(DATA.counts, covariates=np.stack([YEAR, YEAR], axis=1)),
        rtol=1e-4,
    )
    old.partial_fit(DATA.counts, covariates=standardised)
    named = Covariates.of_before([["a", "b"], None]).read([["b", 2.5]])
    np.testing.assert_array_equal(named, [[0, 1, 2.5]])


# --- names


def test_names_become_columns_of_ones():
    found = columns(SOURCE)
    np.testing.assert_array_equal(found, np.stack([SOURCE == "a", SOURCE == "b"], axis=1))


def rows():
    return [[str(name), int(year)] for name, year in zip(SOURCE, YEAR, strict=True)]


def pandas_frame():
    return pytest.importorskip("pandas").DataFrame({"source": SOURCE, "year": YEAR})


def polars_frame():
    return pytest.importorskip("polars").DataFrame({"source": SOURCE, "year": YEAR})


def arrow_table():
    return pytest.importorskip("pyarrow").table({"source": SOURCE, "year": YEAR})


@pytest.mark.parametrize(
    "form",
    [rows, lambda: np.array(rows(), dtype=object), pandas_frame, polars_frame, arrow_table],
    ids=["a list", "objects", "pandas", "polars", "arrow"],
)
def test_each_column_is_read_by_its_own_dtype(form):
    np.testing.assert_allclose(
        columns(form()), np.concatenate([columns(SOURCE), columns(YEAR)], axis=1), rtol=1e-6
    )


@pytest.mark.parametrize(
    "form",
    [
        lambda names: pytest.importorskip("pandas").Series(names),
        lambda names: pytest.importorskip("pandas").Series(names, dtype="category"),
        lambda names: pytest.importorskip("pandas").Series(names, dtype="string"),
        lambda names: pytest.importorskip("polars").Series(names),
        list,
    ],
    ids=["pandas", "category", "string", "polars", "list"],
)
def test_forms_of_names(form):
    given = SOURCE.tolist()
    np.testing.assert_array_equal(columns(form(given)), columns(SOURCE))
    given[5] = None
    message = "covariates must not be missing in column 0, got .* in row 5; give"
    with pytest.raises(ValueError, match=message):
        columns(form(given))
    with pytest.raises(ValueError, match=message):
        Covariates.of(SOURCE, ALL).read(form(given))


def test_categories_that_are_numbers_are_names():
    pandas = pytest.importorskip("pandas")
    codes = np.arange(120) % 3
    found = columns(pandas.Series(codes, dtype="category"))
    np.testing.assert_array_equal(found, np.eye(3)[codes])
    with pytest.raises(ValueError, match="must not be missing in column 0, got nan in row 1"):
        columns(pandas.Series([1, None, 2], dtype="category"))


ODD = {
    "a mixture": (["a", 1], TypeError, "all numbers or all names in column 0, got 'a' beside 1"),
    "dates": (
        np.array(["1950-01-01"], "M8[D]"),
        TypeError,
        "numbers or names .* dtype datetime64.D.; give dates",
    ),
    "sets": ([["a", {1}]], TypeError, r"numbers or names in column 1, got \{1\} in row 0"),
    "three axes": (np.ones((2, 2, 2)), ValueError, r"must have the shape \[N\] or \[N, C\]"),
    "no column": (np.ones((2, 0)), ValueError, "must have at least one column, got none"),
    "ragged": ([[1], [1, 2]], ValueError, "must be an array, got rows that differ"),
    "masked": (np.ma.masked_equal([1.0, 2.0], 1.0), ValueError, "must have no masked values"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_covariates(case):
    given, error, message = ODD[case]
    with pytest.raises(error, match=f"covariates {message}|covariates must be {message}"):
        columns(given)


# --- columns by name


@pytest.mark.parametrize("form", [pandas_frame, polars_frame, arrow_table])
def test_columns_of_a_frame_in_another_order_are_refused(form):
    given = form()
    made = model(max_iter=1).fit(DATA.counts, covariates=given)
    turned = given[["year", "source"]] if form is not arrow_table else given.select([1, 0])
    message = r"covariates must have the columns \['source', 'year'\], in their order, got"
    for call in (made.transform, made.partial_fit, made.score):
        with pytest.raises(ValueError, match=message):
            call(DATA.counts, covariates=turned)
    same = made.transform(DATA.counts, covariates=np.array(rows(), dtype=object))
    np.testing.assert_array_equal(same, made.transform(DATA.counts, covariates=given))


def test_frames_of_different_kinds_agree():
    made = model(max_iter=1).fit(DATA.counts, covariates=pandas_frame())
    np.testing.assert_array_equal(
        made.transform(DATA.counts, covariates=polars_frame()),
        made.transform(DATA.counts, covariates=pandas_frame()),
    )
    with pytest.raises(ValueError, match="covariates must have the columns"):
        made.transform(DATA.counts, covariates=polars_frame().rename({"year": "age"}))


def test_a_name_that_is_new_and_a_name_for_a_number():
    known = Covariates.of(pandas_frame(), ALL)
    with pytest.raises(ValueError, match=r"must be of \['a', 'b'\] in column 'source', got 'c'"):
        known.read([["c", 1950]])
    with pytest.raises(ValueError, match="must hold numbers in column 'year', got 'old'"):
        known.read([["a", "old"]])
    with pytest.raises(ValueError, match="must have 2 columns, got 1"):
        known.read(YEAR)
