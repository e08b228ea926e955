"""Labels in every form that people have become codes and names, by one rule."""

import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from jaxvae.data.labels import encode_labels, encode_together, plain_labels

NAN = float("nan")
# What is given; its codes; its names.
FORMS = {
    "names": (["dog", "cat", "dog"], [1, 0, 1], ("cat", "dog")),
    "an array of names": (np.array(["dog", "cat"]), [1, 0], ("cat", "dog")),
    "objects": (np.array(["dog", None, "cat"], object), [1, -1, 0], ("cat", "dog")),
    "bytes": (np.array([b"b\xc3\xa9", b"a"]), [1, 0], ("a", "bé")),
    "a tuple": (("b", "a"), [1, 0], ("a", "b")),
    "an empty string": (["a", "", "b"], [0, -1, 1], ("a", "b")),
    "codes": ([0, 1, 2], [0, 1, 2], ("0", "1", "2")),
    "gaps": ([900, 0, 100, 0], [2, 0, 1, 0], ("0", "100", "900")),
    "by size, not by the alphabet": ([10, 9, 100], [1, 0, 2], ("9", "10", "100")),
    "names that are numbers, by size": (["10", "9", "-3"], [2, 1, 0], ("-3", "9", "10")),
    "whole floats": ([1.0, 3.0], [0, 1], ("1", "3")),
    "floats with NaN": ([3.0, NAN, 1.0], [1, -1, 0], ("1", "3")),
    "unsigned": (np.array([7, 5], np.uint8), [1, 0], ("5", "7")),
    "large": ([2**60, 2**60 + 1], [0, 1], (str(2**60), str(2**60 + 1))),
    "booleans": ([True, False], [1, 0], ("False", "True")),
    "booleans, one alone": ([True, True], [1, 1], ("False", "True")),
    "booleans with None": ([True, None, False], [1, -1, 0], ("False", "True")),
    "-1 is missing": ([0, -1, 4], [0, -1, 1], ("0", "4")),
    "-1 and 1 are two classes": ([-1, 1, -1], [0, 1, 0], ("-1", "1")),
    "-1 and 1 are so beside None": ([-1, 1, None], [0, 1, -1], ("-1", "1")),
    "-1 beside None is missing too": ([-1, 3, None], [-1, 0, -1], ("3",)),
    "-1 is a label where one is lower": ([-2, -1, 0], [0, 1, 2], ("-2", "-1", "0")),
    "-1.0 is missing": ([0.0, -1.0, 2.0], [0, -1, 1], ("0", "2")),
    "a column": ([[3], [1]], [1, 0], ("1", "3")),
    "a column of names": (np.array([["b"], ["a"]]), [1, 0], ("a", "b")),
    "one-hot": ([[0, 1, 0], [0, 0, 1], [1, 0, 0]], [1, 2, 0], ("0", "1", "2")),
    "one-hot with a class that no one has": ([[0, 1, 0], [1, 0, 0]], [1, 0], ("0", "1", "2")),
    "one-hot with empty rows": ([[0.0, 1.0], [NAN, NAN], [0, 0]], [1, -1, -1], ("0", "1")),
    "one-hot of booleans": (np.eye(3, dtype=bool)[[2, 0]], [2, 0], ("0", "1", "2")),
    "a sparse one-hot": (scipy.sparse.csr_array(np.eye(2)), [0, 1], ("0", "1")),
    "one-hot with names": (pd.DataFrame({"c": [1, 0], "a": [0, 1]}), [0, 1], ("c", "a")),
    "masked": (np.ma.masked_array([5, 7, 9], [False, True, False]), [0, -1, 1], ("5", "9")),
    "a Series": (pd.Series(["b", "a"], index=[7, 3]), [1, 0], ("a", "b")),
    "a Series with NA": (pd.Series(["b", pd.NA, "a"]), [1, -1, 0], ("a", "b")),
    "a Series of Int64": (pd.Series([7, None, 5], dtype="Int64"), [1, -1, 0], ("5", "7")),
    "a Series of boolean": (
        pd.Series([True, None, False], dtype="boolean"),
        [1, -1, 0],
        ("False", "True"),
    ),
    "categories in their own order": (
        pd.Series(["low", "high", None], dtype=pd.CategoricalDtype(["low", "mid", "high"])),
        [0, 2, -1],
        ("low", "mid", "high"),
    ),
    "a Categorical": (pd.Categorical([3, 1], categories=[3, 2, 1]), [0, 2], ("3", "2", "1")),
    "a Series of polars": (pl.Series(["b", None, "a"]), [1, -1, 0], ("a", "b")),
    "numbers of polars": (pl.Series([7, None, 5]), [1, -1, 0], ("5", "7")),
    "mixed": (["a", 1, 2.0], [2, 0, 1], ("1", "2", "a")),
    "one class": (["a", "a"], [0, 0], ("a",)),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form(form):
    """One rule for all: the code is the place among the sorted names, -1 where it is missing."""
    given, codes, names = FORMS[form]
    found, own = encode_labels(given)
    assert (found.tolist(), own) == (codes, names)
    assert found.dtype == np.int32


@pytest.mark.parametrize("form", FORMS)
def test_what_was_encoded_is_encoded_again(form):
    """By the names that a model knows, a file's labels get the model's codes in any form."""
    given, codes, names = FORMS[form]
    wider = ("zzz", *reversed(names))  # the model's order is its own
    found, own = encode_labels(given, wider)
    assert own == wider
    place = {name: k for k, name in enumerate(wider)}
    assert found.tolist() == [-1 if code < 0 else place[names[code]] for code in codes]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (np.array(["2020-01-01"], "datetime64[D]"), TypeError, "dates or durations"),
        (np.array([3], "timedelta64[s]"), TypeError, "dates or durations"),
        (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), TypeError, "dates or durations"),
        ([datetime.date(2020, 1, 1)] * 2, TypeError, "names, integers or booleans, got datetime"),
        ([0.5, 1.0], TypeError, "0.5: a measurement is no label; for bins use names, as text"),
        ([1.0, float("inf")], TypeError, "got inf"),
        (np.array([0.5, "a"], object), TypeError, "names, integers or booleans, got 0.5"),
        ([2.0**60], TypeError, "a measurement is no label"),
        (np.array([1 + 2j]), TypeError, "got dtype complex128"),
        ([None, None], ValueError, "must hold a label, got 2 that are missing"),
        ([NAN, NAN], ValueError, "must hold a label, got 2 that are missing"),
        ([-1, -1], ValueError, "must hold a label, got 2 that are missing"),
        ([[0, 0], [0, 0]], ValueError, "must hold a label, got 2 that are missing"),
        (np.arange(300), ValueError, "must name categories, got 300 different ones for 300"),
        ([f"id{i}" for i in range(300)], ValueError, "got 300 different ones for 300 examples"),
        ([[0, 2], [1, 0]], ValueError, "got the shape (2, 2)"),
        ([[1, 1], [1, 0]], ValueError, "one-hot rows [N, K], got the shape (2, 2)"),
        (np.zeros((2, 2, 2)), ValueError, "got the shape (2, 2, 2)"),
        (np.array(3), ValueError, "got the shape ()"),
        ([[1, 2], [3]], ValueError, "rows that differ"),
        ([object(), "a"], TypeError, "must hold names, integers or booleans"),
        ([["a", "b"], None], TypeError, "must hold names, integers or booleans, got ['a', 'b']"),
    ],
)
def test_what_names_no_category(given, error, words):
    """Refused in one line that says what it is: a model of 300 ids is not what was wanted."""
    with pytest.raises(error, match=re.escape(words)) as caught:
        encode_labels(given)
    assert str(caught.value).startswith("y must")
    assert "\n" not in str(caught.value)


def test_many_classes_that_examples_share():
    """As CIFAR-100's and more: what tells ids from classes is how many examples each has."""
    codes, names = encode_labels(np.arange(2000) % 500)
    assert (codes.max(), len(names)) == (499, 500)


def test_a_label_that_a_model_does_not_know():
    with pytest.raises(ValueError, match="y must hold labels of cat, dog, got 'cow' at index 2"):
        encode_labels(["dog", None, "cow"], ("cat", "dog"))
    with pytest.raises(ValueError, match=r"of 0, 1, 2, 3, 4, 5, 6, 7, \.\.\. \(20 in all\)"):
        encode_labels([77], [str(i) for i in range(20)])
    with pytest.raises(ValueError, match="names that differ, got 'a' twice"):
        encode_labels(["a"], ("a", "b", "a"))


def test_all_may_be_missing_where_it_is_asked_for():
    """As in a file that is only encoded: its labels are of no use but beside the result."""
    assert encode_labels([None, NAN], allow_none=True)[0].tolist() == [-1, -1]
    assert len(encode_labels([f"id{i}" for i in range(300)], allow_none=True)[1]) == 300


def test_together():
    """A class that only the test has is one of all; order and known names as they are asked for."""
    codes, names = encode_together({"y": ["b", "c"], "y_test": ["a", None]})
    assert ([own.tolist() for own in codes], names) == ([[1, 2], [0, -1]], ("a", "b", "c"))
    codes, names = encode_together({"y": ["b", "a"]}, ("b", "x", "a"))
    assert (codes[0].tolist(), names) == ([0, 1], ("b", "a"))  # x, which no example has, is none
    codes, names = encode_together({"y": ["b"]}, None, ("a", "b", "c"))
    assert (codes[0].tolist(), names) == ([1], ("a", "b", "c"))  # but a model's names all hold
    categories = pd.Categorical(["low", "high"], categories=["low", "mid", "high"])
    codes, names = encode_together({"y": categories, "y_test": pd.Series(["high"])})
    assert ([own.tolist() for own in codes], names) == ([[0, 1], [1]], ("low", "high"))
    with pytest.raises(ValueError, match="must hold labels of a, b, got 'z'"):
        encode_together({"y": ["a"], "y_test": ["z"]}, None, ("a", "b"))


def test_whether_minus_one_is_a_label_is_decided_once():
    """Of the train's and the test's together; for a model by the names that it knows."""
    codes, names = encode_together({"y": [0, 1, -1], "y_test": [-1, 1]})
    assert ([own.tolist() for own in codes], names) == ([[0, 1, -1], [-1, 1]], ("0", "1"))
    codes, names = encode_together({"y": [1, -1, 1], "y_test": [-1, -1]})
    assert ([own.tolist() for own in codes], names) == ([[1, 0, 1], [0, 0]], ("-1", "1"))
    assert encode_labels([-1, -1], ("-1", "1"))[0].tolist() == [0, 0]
    assert encode_labels([-1, 1], ("0", "1"))[0].tolist() == [-1, 1]


def test_together_names_the_argument():
    dates = np.array(["2020-01-01"], "datetime64[D]")
    with pytest.raises(TypeError, match=r"^y_test must name categories, got dates"):
        encode_together({"y": ["a"], "y_test": dates})


def test_numbers_together_sort_by_size_whatever_type_they_have():
    """Training labels as integers and test labels as text are the same names."""
    codes, names = encode_together({"y": [10, 9], "y_test": ["9", "10"]})
    assert ([own.tolist() for own in codes], names) == ([[1, 0], [0, 1]], ("9", "10"))


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ([0, 2, 1], [0, 2, 1]),
        ([0, -1, 5], [0, -1, 5]),
        ([0.0, NAN, 2.0], [0, -1, 2]),
        ([0, None, 2], [0, -1, 2]),
        ([True, False], [1, 0]),
        ([[2], [0]], [2, 0]),
        ([[0.0, 1.0], [1.0, 0.0]], [1, 0]),
        ([[0, 0, 1], [0, 0, 0]], [2, -1]),
        (np.array([3, 0], np.uint8), [3, 0]),
        (pd.Series([2, 0], index=[5, 9]), [2, 0]),
        (pd.Series([2, None], dtype="Int64"), [2, -1]),
        (pl.Series([2, None]), [2, -1]),
    ],
)
def test_codes_that_are_codes_already(given, codes):
    """`fit` renames nothing: 5 stays 5, though there is no 3 and no 4."""
    found = plain_labels("y", given, len(codes))
    assert (found.tolist(), found.dtype) == (codes, np.int32)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["a", "b"], TypeError, "names such as 'a': `jaxvae.datasets.encode_labels(y)` makes num"),
        (pd.Categorical(["a", "b"]), TypeError, "names such as 'a'"),
        ([0.5, 1.0], TypeError, "0.5: a measurement is no label"),
        ([0, -2], ValueError, "-2"),
        ([0, 1, 2], ValueError, "2 examples"),
        (np.array(["2020", "2021"], "datetime64[Y]"), TypeError, "dates"),
        ([[1, 2], [3, 4]], ValueError, "got the shape (2, 2)"),
        ([2**40, 1], ValueError, str(2**40)),
    ],
)
def test_what_are_no_codes(given, error, words):
    with pytest.raises(error, match=re.escape(words)) as caught:
        plain_labels("validation y", given, 2)
    assert str(caught.value).startswith("validation y must")
