"""The parameters of a topic model: checked first, fixed by a fit, left alone by a refused one."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.apps.topics import topic_training
from jaxvae.datasets import encode_labels
from jaxvae.topics import TopicModel, planted

DATA = planted(documents=120, topics=3, words=20, length=40, random_state=1)
LABELS = DATA.mixtures.argmax(axis=1)
SMALL = {"hidden_units": 8, "layers": 1, "batch_size": 60, "max_iter": 2, "random_state": 0}


def model(n_components=3, **options):
    return TopicModel(n_components, **SMALL | options)


WRONG = {
    "n_components": (1, "n_components must be at least 2, got 1"),
    "decoder": ("lda", "decoder must be one of"),
    "init": ("lda", "init must be one of"),
    "doc_topic_prior": (0, "doc_topic_prior must be finite and above 0"),
    "learn_prior": ("yes", "learn_prior must be True or False, got 'yes'"),
    "topic_word_prior": (-1, "topic_word_prior must be finite and at least 0"),
    "label_weight": (-1, "label_weight must be finite and above 0, got -1"),
    "seed_words": (5, "seed_words must be a list of lists"),
    "seed_weight": (0, "seed_weight must be finite and above 0, got 0"),
    "layers": (0, "layers must be at least 1, got 0"),
    "hidden_units": (0, "hidden_units must be at least 1, got 0"),
    "dropout": (1.0, "dropout must be below 1, got 1.0"),
    "batch_size": (0, "batch_size must be at least 1, got 0"),
    "max_iter": (0, "max_iter must be at least 1, got 0"),
    "final_rounds": (-1, "final_rounds must be at least 0, got -1"),
    "learning_rate": (-1, "learning_rate must be finite and above 0"),
    "relevance": (1.1, "relevance must be at most 1, got 1.1"),
    "refine": (None, "refine must be True or False, got None"),
    "max_doc_update_iter": (-1, "max_doc_update_iter must be at least 0, got -1"),
    "devices": (99, "devices must be at most 8 here, got 99"),
    "random_state": ("x", "random_state must be None"),
}


def test_every_parameter_is_there():
    assert {*WRONG} == {*TopicModel().get_params()}


@pytest.fixture
def nothing_is_trained(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("it was trained")

    monkeypatch.setattr(topic_training, "init_state", refused)
    monkeypatch.setattr(topic_training, "fit", refused)


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("given", [DATA.counts, [DATA.counts]], ids=["rows", "batches"])
def test_a_wrong_parameter_is_named_before_training(name, given, nothing_is_trained):
    value, message = WRONG[name]
    for method in ("fit", "partial_fit"):
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(model(**{name: value}), method)(given)


# --- what a fit fixes

OTHER = {
    "n_components": 4,
    "decoder": "mixture",
    "doc_topic_prior": 0.7,
    "learn_prior": False,
    "label_weight": 2.0,
    "seed_words": [[1]],
    "seed_weight": 9.0,
    "layers": 2,
    "hidden_units": 9,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def fitted():
    return model().fit(DATA.counts)


def copied(made):
    return pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize("name", OTHER)
def test_a_fitted_model_is_fixed(name, fitted):
    made, value = copied(fitted), OTHER[name]
    made.set_params(**{name: value})
    assert made.vae_ == fitted.vae_
    np.testing.assert_array_equal(made.transform(DATA.counts), fitted.transform(DATA.counts))
    assert made.score(DATA.counts[:9]) == fitted.score(DATA.counts[:9])
    with pytest.raises(ValueError, match=f"{name} must be as it was fitted, .* for partial_fit"):
        made.partial_fit(DATA.counts, LABELS)
    made.fit(DATA.counts, LABELS)  # and here it counts
    assert (made.vae_ == fitted.vae_) == (name == "seed_weight")  # that is of seed words alone


def test_seed_words_that_are_changed_in_place():
    seeds = [[1]]
    made = model(seed_words=seeds).fit(DATA.counts)
    seeds[0].append(2)
    with pytest.raises(ValueError, match="seed_words must be as it was fitted"):
        made.partial_fit(DATA.counts)


def test_a_model_of_no_such_record_follows_its_parameters(fitted):
    """As a pickle of before does."""
    old = copied(fitted)
    del old._fixed, old._covariates
    old._known = None
    assert old.vae_ == fitted.vae_
    np.testing.assert_array_equal(old.transform(DATA.counts), fitted.transform(DATA.counts))
    assert old.partial_fit(DATA.counts).n_iter_ == 3


def test_labels_of_before_are_forgotten():
    made = model(label_weight=2.0).fit(DATA.counts, LABELS)
    assert made.classes_.tolist() == [0, 1, 2]
    made.set_params(label_weight=None).fit(DATA.counts)
    assert not hasattr(made, "classes_")
    assert made.topic_names_[0] == "topic 0"


# --- labels

NUMBERS = np.array([3, 5, 90])[LABELS]


def categories(known, of=(3, 5, 90)):
    return pytest.importorskip("pandas").Categorical(known, categories=of)


GIVEN = {
    "integers": lambda: NUMBERS,
    "floats": lambda: np.where(np.arange(120) % 5, NUMBERS.astype(float), np.nan),
    "booleans": lambda: LABELS > 0,
    "texts": lambda: np.array(["a", "b", "c"])[LABELS],
    "a list": lambda: [None, *NUMBERS[1:].tolist()],
    "bytes": lambda: np.array([b"a", b"b", b"c"])[LABELS],
    "a column": lambda: NUMBERS[:, None],
    "of JAX": lambda: jnp.asarray(NUMBERS),
    "categories": lambda: categories(NUMBERS),
    "a series": lambda: pytest.importorskip("pandas").Series(categories(NUMBERS)),
}


@pytest.mark.parametrize("case", GIVEN)
def test_classes_are_the_labels_as_they_were_given(case):
    """So that they can be compared with these."""
    y = GIVEN[case]()
    codes, names = encode_labels(y)
    made = model(len(names), label_weight=20.0, max_iter=8).fit(DATA.counts, y)
    found, given = made.classes_[made.transform(DATA.counts).argmax(axis=1)], np.ravel(y)
    assert np.mean((found == given)[codes >= 0]) > 0.7
    assert made.topic_names_ == list(names)
    assert type(made.classes_.tolist()[0]) is type(given.tolist()[1])
    classes = made.classes_
    assert made.partial_fit(DATA.counts, y).classes_ is classes
    with pytest.raises(ValueError, match="y must hold labels of"):
        made.partial_fit(DATA.counts, np.full(120, 77))


def test_one_hot_labels_are_called_as_their_columns():
    y = pytest.importorskip("pandas").DataFrame(np.eye(3, dtype=int)[LABELS], columns=[*"abc"])
    assert model(label_weight=2.0).fit(DATA.counts, y).classes_.tolist() == ["a", "b", "c"]


def test_labels_of_a_pickle_of_before_are_texts():
    made = model(label_weight=2.0).fit(DATA.counts, NUMBERS)
    old = copied(made)
    del old._names_of_labels
    old.classes_ = np.array(["3", "5", "90"], dtype=object)
    for own in (made, old):
        own.partial_fit(DATA.counts, NUMBERS)
    np.testing.assert_array_equal(old.topic_word_, made.topic_word_)
    assert old._described().label_names == made._described().label_names == ("3", "5", "90")


def test_categories_that_no_document_has_are_no_labels():
    y = categories(NUMBERS, of=(1, 3, 5, 90))
    made = model(label_weight=2.0).fit(DATA.counts, y)
    assert made.classes_.tolist() == [3, 5, 90]
    same = model(label_weight=2.0).fit(DATA.counts, NUMBERS)
    np.testing.assert_array_equal(made.topic_word_, same.topic_word_)
    with pytest.raises(ValueError, match="n_components must be at least 4"):  # 1 may come
        model(label_weight=2.0).partial_fit(DATA.counts, y)
    more = model(4, label_weight=2.0).partial_fit(DATA.counts, y)
    assert more.classes_.tolist() == [1, 3, 5, 90]
    with pytest.raises(ValueError, match="y must hold a label, got 120 that are missing"):
        made.fit(DATA.counts, categories([None] * 120))


# --- what is refused changes nothing

REFUSED = {
    "no counts": lambda made: made.fit(-DATA.counts[:, :9]),
    "no words": lambda made: made.fit(np.zeros((4, 9))),
    "labels": lambda made: made.set_params(label_weight=1.0).fit(DATA.counts[:, :9], [1, 2]),
    "seeds": lambda made: made.set_params(n_components=4, seed_words=[[99]]).fit(DATA.counts),
    "batches": lambda made: made.fit([DATA.counts[:, :9], DATA.counts]),
    "covariates": lambda made: made.fit(DATA.counts[:, :9], covariates=[1, 2]),
    "going on": lambda made: made.partial_fit([DATA.counts[:, :9]]),
    "training": lambda made: made.set_params(learning_rate=1e30).fit(DATA.counts[:, :9]),
}


@pytest.fixture(scope="module")
def gone_on(fitted):
    return copied(fitted).partial_fit(DATA.counts)


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_leaves_the_model_as_it_was(case, fitted, gone_on, monkeypatch):
    if case == "training":
        monkeypatch.setattr(topic_training, "averaged_params", lambda state: 1 / 0)
    made = copied(fitted)
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        REFUSED[case](made)
    assert vars(made).keys() == vars(fitted).keys()
    assert made.loss_curve_ == fitted.loss_curve_
    np.testing.assert_array_equal(made.transform(DATA.counts), fitted.transform(DATA.counts))
    monkeypatch.undo()
    made.set_params(**fitted.get_params()).partial_fit(DATA.counts)
    np.testing.assert_array_equal(made.topic_word_, gone_on.topic_word_)
    assert len(fitted.loss_curve_) == 2


def test_a_refused_first_fit_leaves_nothing():
    made = model(seed_words=[[99]])
    before = {*vars(made)}
    with pytest.raises(ValueError, match="seed_words"):
        made.fit(DATA.counts)
    assert {*vars(made)} == before
