# ruff: noqa: E501 - a table, one row a case
"""What a user gives becomes one checked Batch, and that becomes batches."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from jaxvae.data.batches import Batch, as_batch, rows_of, take
from jaxvae.data.examples import (
    FEW_SIZES,
    VERY_FEW_SIZES,
    examples,
    first,
    host_batches,
    is_stream,
    on_device_form,
)
from jaxvae.data.sparse import SparseRows

RNG = np.random.default_rng(0)
X = RNG.random((7, 4), np.float32)
Y = np.arange(7) % 3
NAN = np.where(np.arange(28).reshape(7, 4) == 13, np.nan, X)  # at (3, 1)


class Parts(NamedTuple):
    image: Any
    sound: Any


class Table:
    """Like a pandas table: an array that is no ndarray, with columns of any name."""

    X = obs = var = None

    def __array__(self, dtype=None, copy=None):
        return X.astype(np.float64)

    def __iter__(self):
        return iter(["X", "obs", "var"])


class Annotated(SimpleNamespace):
    """Like an AnnData, and like one of a class that can be iterated over."""

    def __iter__(self):
        return iter([self.X])


def annotated(x):
    return Annotated(X=x, obs=None, var=None)


def same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize(
    "x",
    [X, X.tolist(), tuple(X.tolist()), list(X), jnp.asarray(X), Table(), annotated(X), Batch(X)],
    ids=lambda x: type(x).__name__,
)
def test_forms_of_an_array(x):
    data = examples(x)
    assert data.x.dtype == np.float32
    same(data, Batch(X))
    assert rows_of(data) == 7
    assert not is_stream(x)


@pytest.mark.parametrize(
    "x",
    [{"image": X[:, :, None, None], "sound": X}, Parts(X, {"left": X[:, :2]}), {"one": X.tolist()}],
    ids=["mapping", "named tuple", "list"],
)
def test_pytrees(x):
    """A mapping and a NamedTuple stay such; in them a list is an array, as alone."""
    found = examples(x).x
    expected = {"one": X} if isinstance(x, dict) and "one" in x else x
    assert type(found) is type(x)
    same(found, expected)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(found))
    assert not is_stream(x)


def test_leaves_of_a_pytree_keep_their_forms():
    matrix = sp.coo_array(np.where(X > 0.5, X, 0))
    data = examples(Parts(matrix, {"left": X[:, :2], "right": annotated(X)}))
    np.testing.assert_array_equal(data.x.image.toarray(), matrix.toarray())
    same(data.x.sound, {"left": X[:, :2], "right": X})


@pytest.mark.parametrize("wrap", [lambda m: m, annotated, Batch, lambda m: annotated(m.tocsc())])
def test_sparse(wrap):
    matrix = sp.csr_array(np.where(X > 0.5, X, 0).astype(np.float64))
    x = wrap(matrix)
    data = examples(x)
    assert (data.x.format, data.x.dtype) == ("csr", np.float32)
    np.testing.assert_array_equal(data.x.toarray(), matrix.toarray().astype(np.float32))
    assert not is_stream(x)


@pytest.mark.parametrize("x", [iter([X]), (X for _ in range(2)), lambda: [X], {1: X}.values()])
def test_all_else_is_a_stream(x):
    assert is_stream(x)


@pytest.mark.parametrize("x", ["abc", b"abc", None, 3.0, np.float32(3), object()])
def test_what_is_neither(x):
    assert not is_stream(x)
    with pytest.raises((TypeError, ValueError), match=r"^x must "):
        examples(x)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16"])
def test_narrow_dtypes_stay(dtype):
    x = (X * 100).astype(dtype)
    data = examples(x)
    assert data.x.dtype == dtype
    np.testing.assert_array_equal(data.x, x)
    assert first(data).x.dtype == take(on_device_form(data, 2), np.arange(2)).x.dtype == dtype


@pytest.mark.parametrize(
    "dtype", ["float16", "float64", "int32", "int64", "uint64", ">i2", "bfloat16"]
)
def test_other_dtypes_become_float32(dtype):
    x = (X * 100).astype(jnp.bfloat16 if dtype == "bfloat16" else dtype)
    data = examples(x)
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, x.astype(np.float32))


@pytest.mark.parametrize(
    "weight",
    [
        np.full(7, 3.0),
        np.arange(7.0),
        [0, 0, 5, 5, 0, 5, 5],
        [1e300, 1, 1, 1, 1, 1, 1e300],
        np.ones(7, np.int32),
        None,
    ],
)
def test_weights_as_in_training(weight):
    """To the bit what the first version makes of them; rows of weight 0 are gone from all fields."""
    condition, mask = {"a": np.arange(7)}, X > 0.5
    data = examples(X, Y, weight=weight, condition=condition, mask=mask)
    keep = np.ones(7, bool) if weight is None else np.asarray(weight) > 0
    same(data.condition, {"a": np.arange(7)[keep]})
    np.testing.assert_array_equal(data.mask, mask[keep])
    np.testing.assert_array_equal(data.x, X[keep])
    np.testing.assert_array_equal(data.y, Y[keep])
    own = np.ones(7) if weight is None else np.asarray(weight, float)[keep]
    if (own == own[0]).all():
        assert data.weight is None
    else:
        own = own / own.max()
        assert data.weight.dtype == np.float32
        np.testing.assert_array_equal(data.weight, (own / own.mean()).astype(np.float32))
    if keep.all():
        assert data.position is None
    else:
        assert data.position.tolist() == np.flatnonzero(keep).tolist()


def test_weights_of_sparse_rows():
    data = examples(sp.csr_array(X), weight=Y)
    np.testing.assert_array_equal(data.x.toarray(), X[Y > 0])


def test_missing_labels():
    data = examples(X, np.array([-1, 0, 1, 2, -1, 5, 3], np.int64))
    assert data.y.dtype == np.int32
    assert data.y.tolist() == [-1, 0, 1, 2, -1, 5, 3]


def test_conditions():
    condition = {"size": np.ones((7, 1)), "site": (np.arange(7, dtype=np.uint8), X > 0.5)}
    found = examples(X, condition=condition).condition
    assert found["size"].dtype == np.float32
    site, flag = found["site"]
    assert site.dtype == flag.dtype == np.int32
    np.testing.assert_array_equal(flag, X > 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("dtype", [bool, np.int8, float])
@pytest.mark.parametrize(
    "form",
    [np.asarray, np.float32, sp.csr_array, sp.csc_matrix, lambda x: sp.csr_array(x, dtype="f")],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # 1e300 in the forms of float32
def test_what_was_not_seen_may_be_anything(bad, dtype, form):
    """It is 0 then, in a copy; finite values and all that was seen stay."""
    x = np.where(np.isnan(NAN), bad, NAN.astype(float))
    before = form(x)
    mask = (~np.isnan(NAN)).astype(dtype)
    mask[0, 0] = 0
    given = form(x)
    data = examples(given, mask=mask)
    found = data.x.toarray() if hasattr(given, "tocsr") else data.x
    np.testing.assert_array_equal(found, np.where(np.isnan(NAN), 0, X))
    assert data.mask.dtype == bool
    np.testing.assert_array_equal(data.mask, mask)
    np.testing.assert_array_equal(*(m.data if hasattr(m, "tocsr") else m for m in (given, before)))


def test_the_first_entry_that_is_refused_is_named():
    x = X.copy()
    x[2, 0] = x[3, 0] = np.nan
    for form in (np.asarray, sp.csr_array):
        with pytest.raises(ValueError, match=r"^x must be finite, got nan at index \(2, 0\)"):
            examples(form(x))
        mask = np.ones((7, 4), bool)
        mask[2, 0] = False
        with pytest.raises(ValueError, match=r"^x must be finite, got nan at index \(3, 0\)"):
            examples(form(x), mask=mask)


def test_masks_of_pytrees():
    x = {"a": NAN, "b": X[:, :, None]}
    mask = {"b": np.ones((7, 4, 1), int), "a": np.isfinite(NAN)}
    data = examples(Batch(x, mask=mask))
    np.testing.assert_array_equal(data.x["a"], np.where(np.isnan(NAN), 0, X))
    same(data.mask, {"a": np.isfinite(NAN), "b": np.ones((7, 4, 1), bool)})


def test_a_batch_stands_for_its_fields_and_once_more():
    given = Batch(X, Y, np.arange(7), None, {"a": np.arange(7)}, X > 0.5)
    data = examples(given)
    same(data, examples(X, Y, weight=np.arange(7), condition={"a": np.arange(7)}, mask=X > 0.5))
    again = examples(data)
    np.testing.assert_allclose(again.weight, data.weight, rtol=1e-6)
    same(again._replace(weight=None), data._replace(weight=None))


def test_arrays_that_fit_are_not_copied():
    assert np.shares_memory(examples(X).x, X)
    matrix = sp.csr_array(X)
    assert np.shares_memory(examples(matrix).x.data, matrix.data)
    packed = on_device_form(examples(matrix), 2).x
    assert isinstance(packed, SparseRows)
    assert np.shares_memory(packed.values, matrix.data)


LARGE = np.where(X[3, 1] == X, 1e300, X.astype(float))
BAD = [
    # x
    (lambda: examples(X[:0]), ValueError, r"^x must not be empty, got the shape \(0, 4\)"),
    (lambda: examples(X[:, :0]), ValueError, r"^x must not be empty, got the shape \(7, 0\)"),
    (lambda: examples(np.zeros((2, 3, 0))), ValueError, r"^x must not be empty, .* \(2, 3, 0\)"),
    (lambda: examples(X[0]), ValueError, r"^x must have the shape \[N, D\] \(rank 2\), got \(4,\), or more axes; reshape\(-1, 1\)"),
    (lambda: examples(3.0), ValueError, r"^x must have the shape \[N, D\].* got \(\)"),
    (lambda: examples([]), ValueError, r"^x must have the shape \[N, D\].* got \(0,\)"),
    (lambda: examples([[1.0], [1.0, 2.0]]), ValueError, "^x must be an array, got rows that differ"),
    (lambda: examples(np.ma.masked_equal(X, X[3, 1])), ValueError, "^x must have no masked values, got 1"),
    (lambda: examples(X.astype(str)), TypeError, "^x must hold real numbers, got dtype <U"),
    (lambda: examples(X.astype(complex)), TypeError, "^x must hold real numbers, got dtype complex128"),
    (lambda: examples(X.astype("m8[s]")), TypeError, r"^x must hold real numbers, got dtype timedelta64\[s\]"),
    (lambda: examples(None), TypeError, "^x must be an array, got None"),
    (lambda: examples(NAN), ValueError, r"^x must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(LARGE), ValueError, r"^x must be finite, got inf at index \(3, 1\)"),
    (lambda: examples(X[:, :, None] * np.inf), ValueError, r"^x must be finite, got inf at index \(0, 0, 0\)"),
    (lambda: examples(annotated(NAN)), ValueError, r"^x must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(annotated(None)), TypeError, r"^x\.X must be an array, got None"),
    (lambda: examples(NAN, name="validation x"), ValueError, "^validation x must be finite"),
    # sparse
    (lambda: examples(sp.csr_array(NAN)), ValueError, r"^x must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(sp.csc_array(LARGE)), ValueError, r"^x must be finite, got inf at index \(3, 1\)"),
    (lambda: examples(sp.csr_array((0, 3))), ValueError, r"^x must not be empty, got the shape \(0, 3\)"),
    (lambda: examples(sp.csr_array([[1j]])), TypeError, "^x must hold real numbers, got dtype complex128"),
    (lambda: examples(sp.coo_array([1.0, 2.0])), ValueError, r"^x must have the shape \[N, D\] where it is sparse, got \(2,\)"),
    # pytrees
    (lambda: examples({}), ValueError, "^x must hold at least one array, got {}"),
    (lambda: examples({"a": {}}), ValueError, "^x must hold at least one array, got {'a': {}}"),
    (lambda: examples({0: X}), TypeError, "^x must have strings for keys, got 0"),
    (lambda: examples({"a": X, "b": {"c": X[:3]}}), ValueError, r"^x\['b'\]\['c'\] must have as many examples as x\['a'\], 7, got 3"),
    (lambda: examples({"a": X[:3], "b": X}), ValueError, r"^x\['b'\] must have as many examples as x\['a'\], 3, got 7"),
    (lambda: examples(Parts(X, sp.csr_array(X[:3]))), ValueError, r"^x\.sound must have as many examples as x\.image, 7, got 3"),
    (lambda: examples({"a": X, "b": Y}), ValueError, r"^x\['b'\] must have the shape .* got \(7,\), or more axes; reshape"),
    (lambda: examples({"a": {"b": NAN}}), ValueError, r"^x\['a'\]\['b'\] must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(Parts(X, None)), TypeError, r"^x\.sound must be an array, got None"),
    # labels
    (lambda: examples(X, Y - 2), ValueError, "^y must be at least 0, got -2 at index 0; -1 stands for a missing label"),
    (lambda: examples(X, Y[:3]), ValueError, "^y must have one label for each of 7 examples, got 3"),
    (lambda: examples(X, np.stack([Y, Y], 1)), ValueError, r"^y must be labels \[N\], a column \[N, 1\] or one-hot rows .* got the shape \(7, 2\)"),
    (lambda: examples(X, Y + 0.5), TypeError, "^y must name categories, got 0.5: a measurement is no label"),
    (lambda: examples(X, Y.astype(str)), TypeError, "^y must hold integers from 0 on, got names such as '0'"),
    (lambda: examples(X, Y + 2**31), ValueError, "^y must be at least 0, got 2147483648 at index 0"),
    (lambda: examples(X, Y[:3], name="validation x"), ValueError, "^validation y must have one label"),
    # weights
    (lambda: examples(X, weight=Y - 1), ValueError, r"^weight must be finite and at least 0, got -1.0 at index \(0,\)"),
    (lambda: examples(X, weight=0 * Y), ValueError, "^weight must not be all zero, got 7 zeros"),
    (lambda: examples(X, weight=Y[:3]), ValueError, r"^weight must have one weight for each of 7 examples, .* got \(3,\)"),
    (lambda: examples(X, weight=Y > 0), TypeError, "^weight must hold real numbers, got dtype bool"),
    (lambda: examples(X, weight=-Y, name="validation x"), ValueError, "^validation weight must be finite"),
    # conditions
    (lambda: examples(X, condition=NAN), ValueError, r"^condition must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(X, condition=X[:3]), ValueError, r"^condition must have one row for each of 7 examples, the shape \(7, \.\.\.\), got \(3, 4\)"),
    (lambda: examples(X, condition=1), ValueError, r"^condition must have one row for each of 7 examples.* got \(\)"),
    (lambda: examples(X, condition={"a": (X, Y[:2])}), ValueError, r"^condition\['a'\]\[1\] must have one row .* got \(2,\)"),
    (lambda: examples(X, condition=X[:, :0]), ValueError, r"^condition must not be empty, got the shape \(7, 0\)"),
    (lambda: examples(X, condition={}), ValueError, "^condition must hold at least one array, got {}"),
    (lambda: examples(X, condition=["a"] * 7), TypeError, "^condition must hold real numbers, got dtype <U1"),
    (lambda: examples(X, condition=Y + 2**31), ValueError, r"^condition must be from -2\^31 to 2\^31 - 1 .* got 2147483648"),
    (lambda: examples(X, condition=Y - 2**32), ValueError, r"^condition must be from -2\^31 to 2\^31 - 1 .* got -4294967296"),
    (lambda: examples(X, condition=sp.csr_array(X)), TypeError, r"^condition must be a dense array, got a sparse one of \(7, 4\)"),
    # masks
    (lambda: examples(NAN, mask=X >= 0), ValueError, r"^x must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(sp.csr_array(NAN), mask=X >= 0), ValueError, r"^x must be finite, got nan at index \(3, 1\)"),
    (lambda: examples(X, mask=X[:3] > 0), ValueError, r"^mask must have the shape of x, \(7, 4\), got \(3, 4\)"),
    (lambda: examples(X, mask=np.ones((7, 1))), ValueError, r"^mask must have the shape of x, \(7, 4\), got \(7, 1\)"),
    (lambda: examples(X, mask=X), ValueError, r"^mask must hold True and False or 1 and 0, got 0\..* at index \(0, 0\)"),
    (lambda: examples(X, mask=np.where(X[3, 1] == X, np.nan, 1)), ValueError, r"^mask must hold True .* got nan at index \(3, 1\)"),
    (lambda: examples(X, mask={"a": X > 0}), ValueError, r"^mask must have the parts of x, an array, got \['a'\]"),
    (lambda: examples({"a": X}, mask=X > 0), ValueError, r"^mask must have the parts of x, \['a'\], got an array"),
    (lambda: examples({"a": X}, mask={"a": X[:2] > 0}), ValueError, r"^mask\['a'\] must have the shape of x, \(7, 4\), got \(2, 4\)"),
    (lambda: examples(X, mask=[["a"] * 4] * 7), TypeError, "^mask must hold real numbers, got dtype <U1"),
    # a Batch
    (lambda: examples(Batch(X), Y), ValueError, "^y must be None where x is a Batch, which holds it"),
    (lambda: examples(Batch(X), mask=X > 0), ValueError, "^mask must be None where x is a Batch"),
    (lambda: examples(Batch(X, position=Y[:3])), ValueError, r"^position must have one value for each row of x, the shape \(7,\), got \(3,\)"),
    (lambda: examples(Batch(X, position=Y - 1)), ValueError, r"^position must hold integers from 0 to 2\^31 - 1, got"),
    (lambda: examples(Batch(X, position=Y + 2**31)), ValueError, r"^position must hold integers from 0 to 2\^31 - 1, got"),
    (lambda: examples(Batch(X, position=X[:, 0])), ValueError, r"^position must hold integers from 0 to 2\^31 - 1, got"),
    # batches
    (lambda: next(host_batches(examples(X), 0)), ValueError, "^batch_size must be at least 1, got 0"),
    (lambda: next(host_batches(examples(X), 2.0)), TypeError, "^batch_size must be an integer, got 2.0"),
    (lambda: on_device_form(examples(sp.csr_array(X)), 0), ValueError, "^batch_size must be at least 1"),
    (lambda: rows_of(Batch()), ValueError, "^x must hold at least one array, got none"),
    (lambda: rows_of(Batch([[1.0]])), ValueError, r"^x must hold arrays \[B, \.\.\.\], got float"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def whole(form):
    """A data set with every field, and the same with dense x."""
    x = {"counts": np.where(X > 0.5, X, 0), "image": (X * 200).astype(np.uint8).reshape(7, 2, 2)}
    rest = {"condition": (np.arange(7),), "weight": 1 + np.arange(7)}
    mask = {"counts": X > 0.2, "image": x["image"] > 5}
    given = x | {"counts": form(x["counts"])}
    return examples(given, Y, mask=mask, **rest), x


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_batches_on_the_host(size, form):
    """Every row once and in order; sizes alike; what pads the last weighs nothing."""
    data, x = whole(form)
    batches = list(host_batches(data, size))
    size = min(size, 7)
    assert len(batches) == -(-7 // size)
    assert {rows_of(batch) for batch in batches} == {size}
    flat = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:7], *batches)
    same(flat, data._replace(x=x, position=np.arange(7, dtype=np.int32)))
    assert all(batch.x["image"].dtype == np.uint8 for batch in batches)
    weight = np.concatenate([batch.weight for batch in batches])
    assert weight.dtype == np.float32
    assert (weight[7:] == 0).all()


@pytest.mark.parametrize(
    ("sizes", "most", "more"), [(FEW_SIZES, 20, 1.5), (VERY_FEW_SIZES, 4, 16), ((), 1024, 1)]
)
def test_few_examples_are_brought_up_to_a_few_sizes(sizes, most, more):
    """As each is compiled for; not much more than there are, and never above what was asked."""
    data = {rows: examples(np.zeros((rows, 1), np.float32)) for rows in range(1, 1100)}
    found = {rows: rows_of(next(host_batches(own, 2000, sizes))) for rows, own in data.items()}
    assert all(rows <= size <= max(more * rows, 2) for rows, size in found.items())
    assert len({size for rows, size in found.items() if rows <= 1024}) <= most
    assert found[1099] == 1099
    assert rows_of(next(host_batches(data[100], 100, sizes))) == 100


def test_positions_are_of_the_examples_as_given():
    """So that an example draws the noise that it drew before others got the weight 0."""
    data = examples(X, weight=[1, 0, 1, 1, 0, 1, 1])
    batches = list(host_batches(data, 3))
    assert [batch.weight.tolist() for batch in batches] == [[1, 1, 1], [1, 1, 0]]
    assert [batch.position.tolist()[:2] for batch in batches] == [[0, 2], [5, 6]]
    given = Batch(X, weight=Y, position=np.arange(10, 17))
    assert examples(given).position.tolist() == [11, 12, 14, 15]


def test_sparse_bytes_are_float32_when_dense():
    """On the host as on the device; until then they stay bytes."""
    data = examples(sp.csr_array((X * 200).astype(np.uint8)))
    assert data.x.dtype == np.uint8
    found = [first(data), next(host_batches(data, 2)), take(on_device_form(data, 2), np.arange(2))]
    assert [batch.x.dtype for batch in found] == [np.float32] * 3


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_rows_on_the_device_are_those_on_the_host(form):
    data, _ = whole(form)
    on_device = jax.device_put(on_device_form(data, 3))
    for start, batch in zip((0, 3), host_batches(data, 3), strict=False):
        found = jax.jit(take)(on_device, np.arange(start, start + 3))
        same(found, batch._replace(position=None))
    small = first(data, 3)
    same(small, next(host_batches(data, 3))._replace(position=None))
    assert rows_of(first(data)) == 1
    assert rows_of(first(data, 100)) == 7


def test_positions_do_not_go_to_the_device():
    assert on_device_form(examples(X, weight=Y), 3).position is None
    assert take(Batch(X, position=Y), np.arange(2)).position is None
    assert first(examples(X, weight=Y)).position is None


def test_a_batch_is_a_batch_and_the_rest_is_x():
    batch = Batch(X, Y)
    assert as_batch(batch) is batch
    assert as_batch(X).x is X
    assert as_batch({"a": X}).x["a"] is X


def test_the_number_of_rows_is_known_inside_compiled_code():
    rows = []
    jax.eval_shape(lambda batch: rows.append(rows_of(batch)), Batch({"a": X, "b": X}))
    assert rows == [7]
