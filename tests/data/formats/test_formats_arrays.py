"""NumPy's files, by the names that several libraries give to their arrays; IDX."""

import gzip

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_digits, load_iris

from jaxvae.data.formats.registry import read
from jaxvae.data.formats.source import Reading

RNG = np.random.default_rng(0)
X, Y = RNG.random((6, 4)), np.array([0, 1, 2, 0, 1, 2])


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("x", "y", "x_test", "y_test"),
        ("X", "y", "X_test", "y_test"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_namings(tmp_path, names):
    arrays = dict(zip(names, (X, Y, X[:2], Y[:2]), strict=True))
    source = read(saved(tmp_path / "a.npz", **arrays))
    np.testing.assert_array_equal(source.x, X)
    np.testing.assert_array_equal(source.y, Y)
    np.testing.assert_array_equal(source.x_test, X[:2])
    np.testing.assert_array_equal(source.y_test, Y[:2])
    assert source.kind is None
    unlabelled = read(tmp_path / "a.npz", Reading(label="none"))
    assert unlabelled.y is None
    assert unlabelled.y_test is None


def test_labels_of_keras_are_a_column_and_images_stay_bytes(tmp_path):
    images = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
    source = read(saved(tmp_path / "a.npz", x_train=images, y_train=Y[:, None]))
    assert source.x.dtype == np.uint8
    np.testing.assert_array_equal(source.y, Y)


def test_a_bunch_as_it_is(tmp_path):
    """`np.savez(path, **load_iris())`: its frame, None, is pickled."""
    iris = load_iris()
    source = read(saved(tmp_path / "a.npz", **iris))
    np.testing.assert_array_equal(source.x, iris.data)
    assert source.label_names == ("setosa", "versicolor", "virginica")
    assert [source.label_names.index(name) for name in source.y] == iris.target.tolist()
    assert source.column_names == tuple(iris.feature_names)
    picked = read(tmp_path / "a.npz", Reading(columns=tuple(iris.feature_names[2:0:-1])))
    np.testing.assert_array_equal(picked.x, iris.data[:, [2, 1]])
    left = read(tmp_path / "a.npz", Reading(leave_out=(iris.feature_names[0],)))
    np.testing.assert_array_equal(left.x, iris.data[:, 1:])
    with pytest.raises(ValueError, match="lacks height"):
        read(tmp_path / "a.npz", Reading(columns=("height",)))
    digits = load_digits()
    source = read(saved(tmp_path / "b.npz", **digits))
    np.testing.assert_array_equal(source.y.astype(int), digits.target)


@pytest.mark.parametrize("dtype", [str, "S"])
def test_labels_of_text(tmp_path, dtype):
    names = ["cat", "dog", "cat", "dog", "cat", "dog"]
    source = read(saved(tmp_path / "a.npz", x=X, y=np.array(names, dtype=dtype)))
    assert source.y.tolist() == names


def test_one_array_of_any_name(tmp_path):
    np.testing.assert_array_equal(read(saved(tmp_path / "a.npz", embeddings=X)).x, X)
    np.savez(tmp_path / "b.npz", X)
    np.testing.assert_array_equal(read(tmp_path / "b.npz").x, X)
    np.save(tmp_path / "c.npy", X)
    np.testing.assert_array_equal(read(tmp_path / "c.npy").x, X)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_sparse_parts(tmp_path, form):
    matrix = scipy.sparse.random_array((7, 5), density=0.4, format=form, rng=RNG)
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    source = read(tmp_path / "a.npz")
    assert source.x.format == "csr"
    np.testing.assert_array_equal(source.x.toarray(), matrix.toarray())


def test_what_lies_beside_sparse_parts(tmp_path):
    """Without a format, indices of few bits, labels and names; what is not known is said."""
    matrix = scipy.sparse.csr_array(np.array([[0, 2, 0], [1, 0, 3]], np.uint16))
    parts = {
        "data": matrix.data,
        "indices": matrix.indices.astype(np.uint16),
        "indptr": matrix.indptr,
        "shape": np.array([2, 3]),
        "features": np.array(["a", "b", "c"]),
        "labels": np.array([1, 0], np.int8),
        "label_names": np.array(["T", "B"]),
        "tokens": np.arange(5),
    }
    source = read(saved(tmp_path / "a.npz", **parts))
    np.testing.assert_array_equal(source.x.toarray(), matrix.toarray())
    assert source.column_names == ("a", "b", "c")
    assert list(source.y) == ["B", "T"]
    assert source.said == ("The arrays tokens are not read.",)


def test_bad_sparse_parts(tmp_path):
    matrix = scipy.sparse.csr_array(np.eye(3))
    parts = {"data": matrix.data, "indptr": matrix.indptr, "shape": [3, 3], "format": b"csr"}
    with pytest.raises(ValueError, match="csr matrix must have indices"):
        read(saved(tmp_path / "a.npz", **parts))
    with pytest.raises(ValueError, match="not a whole csr matrix"):
        read(saved(tmp_path / "a.npz", **parts, indices=np.array([0, 1, 99])))
    with pytest.raises(ValueError, match="csr, csc or coo, got 'dia'"):
        read(saved(tmp_path / "a.npz", **(parts | {"format": b"dia"})))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "why": Y}, r"must hold x .*got \['why', 'x'\]"),
        ({"a": X, "b": X}, r"data, target.*got \['a', 'b'\]"),
        ({"x": X, "X": X}, "each array once"),
        ({"x": X, "y": Y[:3]}, "one label for each of 6 examples, got 3"),
        ({"x": X, "y": np.eye(6)}, r"argmax\(y, axis=1\)"),
        ({"x": X, "y": Y, "y_test": Y}, "y_test must come with x_test"),
        ({"x": np.array(["a"])}, "x must hold numbers, got dtype <U1"),
        ({"x": np.float32(3)}, "an array"),
        (
            {"x": X, "y": np.array(["a", None, 1, 2, 3, 4], object)},
            r"np\.array\(labels, dtype=str\)",
        ),
        ({"data": np.array([[1, None]], object), "target": Y}, "pickled objects"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as error:
        read(saved(tmp_path / "bad.npz", **arrays))
    assert "bad.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged(tmp_path):
    for name in ("a.npz", "a.npy"):
        (tmp_path / name).write_bytes(b"PK nothing")
        with pytest.raises(ValueError, match=rf"{name}"):
            read(tmp_path / name)


def test_columns_without_names(tmp_path):
    np.save(tmp_path / "a.npy", X)
    source = read(tmp_path / "a.npy", Reading(columns=("a", "b", "c", "d")))
    assert source.column_names == ("a", "b", "c", "d")
    assert "the model's order" in source.said[0]
    with pytest.raises(ValueError, match=r"must have the 2 that the model knows.*got 4"):
        read(tmp_path / "a.npy", Reading(columns=("a", "b")))
    with pytest.raises(ValueError, match="--leave-out does not apply"):
        read(saved(tmp_path / "a.npz", x=X), Reading(leave_out=("a",)))


def idx(path, array):
    content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content += array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


IMAGES = RNG.integers(0, 256, (5, 4, 3), np.uint8)
LABELS = np.arange(5, dtype=np.uint8)
NAMES = {
    "zipped": "{}-{}-idx{}-ubyte.gz",
    "plain": "{}-{}-idx{}-ubyte",
    "dots": "{}-{}.idx{}-ubyte",
    "emnist": "emnist-letters-{}-{}-idx{}-ubyte.gz",
}


def four(folder, form, test="t10k"):
    for part, rows in (("train", 5), (test, 2)):
        idx(folder / NAMES[form].format(part, "images", 3), IMAGES[:rows])
        idx(folder / NAMES[form].format(part, "labels", 1), LABELS[:rows])


@pytest.mark.parametrize("form", NAMES)
def test_idx_files_beside_each_other(tmp_path, form):
    four(tmp_path, form, test="test" if form == "emnist" else "t10k")
    first = tmp_path / NAMES[form].format("train", "images", 3)
    for path in (tmp_path, first):
        source = read(path)
        np.testing.assert_array_equal(source.x, IMAGES)
        assert source.x.dtype == np.uint8
        np.testing.assert_array_equal(source.y, LABELS)
        np.testing.assert_array_equal(source.x_test, IMAGES[:2])
        np.testing.assert_array_equal(source.y_test, LABELS[:2])
        assert source.kind == "images"
        assert "labels" in source.said[0]
    assert read(tmp_path, Reading(label="none")).y is None
    with pytest.raises(ValueError, match="it holds labels"):
        read(tmp_path / NAMES[form].format("train", "labels", 1))


def test_idx_alone(tmp_path):
    for name in ("a.gz", "a-ubyte", "a.idx", "a.idx3-ubyte", "A.IDX"):
        np.testing.assert_array_equal(read(idx(tmp_path / name, IMAGES)).x, IMAGES)
    source = read(idx(tmp_path / "t10k-images-idx3-ubyte", IMAGES))
    assert (source.y, source.x_test, source.said) == (None, None, ())
    with pytest.raises(ValueError, match="got labels"):
        read(idx(tmp_path / "b.idx", LABELS))
    (tmp_path / "c.gz").write_bytes(b"what")
    with pytest.raises(ValueError, match=r"c\.gz is not a whole gzipped IDX file"):
        read(tmp_path / "c.gz")


def test_idx_labels_of_one_part_only(tmp_path):
    four(tmp_path, "plain")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="train has labels beside it, and the test has none"):
        read(tmp_path)
    source = read(tmp_path, examples_only=True)
    np.testing.assert_array_equal(source.y, LABELS)
    assert source.y_test is None


def test_several_sets_in_a_folder(tmp_path):
    four(tmp_path, "plain")
    four(tmp_path, "emnist")
    with pytest.raises(ValueError, match=r"one set of images.*emnist-letters.*give one file"):
        read(tmp_path)


def test_names_of_columns_that_come_twice(tmp_path):
    path = saved(tmp_path / "a.npz", data=X, target=Y, feature_names=np.array(["a", "b", "b", "c"]))
    source = read(path)
    assert source.column_names == ("a", "b", "b.1", "c")
    back = read(path, Reading(columns=source.column_names[::-1]))
    np.testing.assert_array_equal(back.x, X[:, ::-1])
