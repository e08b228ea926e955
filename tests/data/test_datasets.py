"""Loading: digits, MNIST by IDX or OpenML, a user's own arrays and files."""

import gzip
import hashlib
import os
import re
import shutil
import warnings
from pathlib import Path

import anndata
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from jaxvae.data import datasets


def write_idx(path, array, *, header=None, content=None):
    header = (
        bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        if header is None
        else header
    )
    path.write_bytes(gzip.compress(header + (array.tobytes() if content is None else content)))
    return path


def test_digits(digits):
    assert digits.x_train.shape == (1437, 64)
    assert digits.x_test.shape == (360, 64)
    assert digits.image_shape == (8, 8)
    assert digits.categories == 10
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 1)
    assert digits.x_train.dtype == np.float32
    assert digits.y_train.dtype == np.int32
    np.testing.assert_array_equal(datasets.load_digits().x_test, digits.x_test)


@pytest.fixture
def mnist_dir():
    folder = os.environ.get("JAXVAE_DATA")
    if folder is None:
        pytest.skip("JAXVAE_DATA names no folder with MNIST")
    return Path(folder)


def test_mnist_from_a_folder(mnist_dir):
    data = datasets.load_mnist(mnist_dir)
    assert data.x_train.shape == (60_000, 784)
    assert data.x_test.shape == (10_000, 784)
    assert data.x_train.max() == np.float32(255 / 256)
    assert data.image_shape == (28, 28)
    np.testing.assert_array_equal(datasets.load_mnist().y_test, data.y_test)


def test_mnist_through_openml_gives_the_same(mnist_dir, monkeypatch):
    """The client is replaced by one that answers as OpenML does: floats, and labels as text."""
    arrays = {
        name: datasets.read_idx(mnist_dir / file) for name, file in datasets.MNIST_FILES.items()
    }
    x = (
        np.concatenate([arrays["x_train"], arrays["x_test"]])
        .reshape(70_000, 784)
        .astype(np.float64)
    )
    y = np.concatenate([arrays["y_train"], arrays["y_test"]]).astype(str).astype(object)
    asked = []

    def fetch(name, **options):
        asked.append((name, options["version"]))
        return x, y

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.delenv("JAXVAE_DATA")
    data = datasets.load_mnist()
    assert asked == [("mnist_784", 1)]
    np.testing.assert_array_equal(data.x_test, datasets.load_mnist(mnist_dir).x_test)
    x[5, 300] += 1
    with pytest.raises(ValueError, match="x_train must have the SHA-256"):
        datasets.load_mnist()


def test_openml_out_of_reach(monkeypatch):
    def fetch(*args, **options):
        warnings.warn("a network error occurred; trying again", stacklevel=2)
        raise OSError("no route")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    monkeypatch.delenv("JAXVAE_DATA", raising=False)
    with pytest.raises(OSError, match=r"could not be downloaded.*no route.*JAXVAE_DATA"):
        datasets.load_mnist()


def test_another_data_set_in_mnists_files(tmp_path):
    for name, file in datasets.MNIST_FILES.items():
        shape = (4, 28, 28) if name.startswith("x") else (4,)
        write_idx(tmp_path / file, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="x_train must have the SHA-256"):
        datasets.load_mnist(tmp_path)
    (tmp_path / datasets.MNIST_FILES["y_test"]).unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        datasets.load_mnist(tmp_path)


def test_idx_round_trip(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(datasets.read_idx(write_idx(tmp_path / "a.gz", array)), array)


ARRAY = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header": b"\0\0\x09\x02" + bytes(8)}, "header must be 00 00 08"),
        ({"header": b"\0\0\x08\x00"}, "header must be 00 00 08"),
        ({"header": b"\0\0\x08\xff" + bytes(8)}, "header must be 00 00 08"),
        ({"header": b"\0\0", "content": b""}, "header must be 00 00 08"),
        ({"header": b"\0\0\x08\x03" + bytes(4), "content": b""}, "ends early"),
        ({"content": b"12345"}, "must hold 6 bytes.*got 5"),
        ({"content": b"1234567"}, "must hold 6 bytes.*got more than 6"),
        ({"header": b"\0\0\x08\x02" + b"\xff" * 8}, "must hold 18446744065119617025 bytes.*got 6"),
    ],
)
def test_damaged_idx(tmp_path, options, message):
    path = write_idx(tmp_path / "a.gz", ARRAY, **options)
    plain = tmp_path / "a-ubyte"
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    for damaged in (path, plain):
        with pytest.raises(ValueError, match=message):
            datasets.read_idx(damaged)


@pytest.mark.parametrize(
    ("name", "zipped"), [("a-ubyte", False), ("a", False), ("a-ubyte", True), ("a.gz", True)]
)
def test_idx_zipped_or_not(tmp_path, name, zipped):
    content = gzip.decompress(write_idx(tmp_path / "whole", ARRAY).read_bytes())
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if zipped else content)
    np.testing.assert_array_equal(datasets.read_idx(path), ARRAY)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name} is not a whole .*IDX file") as error:
        datasets.read_idx(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"x_train": "train-images-idx3-ubyte", "y_test": "t10k-labels.idx1-ubyte"},
        {name: file.removesuffix(".gz") for name, file in datasets.MNIST_FILES.items()},
        {
            name: file.removesuffix(".gz").replace("-idx", ".idx")
            for name, file in datasets.MNIST_FILES.items()
        },
    ],
    ids=["zipped", "mixed", "plain", "dots"],
)
def test_mnist_zipped_or_not(tmp_path, monkeypatch, names):
    arrays = {}
    for i, (name, file) in enumerate(datasets.MNIST_FILES.items()):
        shape = (4, 28, 28) if name.startswith("x") else (4,)
        arrays[name] = np.full(shape, i, np.uint8)
        path = write_idx(tmp_path / names.get(name, file), arrays[name])
        if path.suffix != ".gz":
            path.write_bytes(gzip.decompress(path.read_bytes()))
        digest = hashlib.sha256(arrays[name].tobytes()).hexdigest()
        monkeypatch.setitem(datasets.MNIST_SHA256, name, digest)
    data = datasets.load_mnist(tmp_path)
    assert data.label_names == ("1", "3")  # those that are there, by their own names
    assert (set(data.y_train.tolist()), set(data.y_test.tolist())) == ({0}, {1})
    np.testing.assert_array_equal(data.x_test * 256, arrays["x_test"].reshape(4, 784))
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"{path.name} is not a whole .*IDX file"):
        datasets.load_mnist(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        datasets.load_mnist(tmp_path)


def test_idx_that_is_not_gzip_or_cut_short(tmp_path):
    path = write_idx(tmp_path / "a.gz", np.zeros((50, 50), np.uint8))
    whole = path.read_bytes()
    for content in (b"not gzip", whole[:-10], whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole gzipped IDX file"):
            datasets.read_idx(path)
    with pytest.raises(FileNotFoundError, match="existing file"):
        datasets.read_idx(tmp_path / "missing.gz")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_users_file(tmp_path, suffix):
    path, x = tmp_path / f"mine{suffix}", np.random.default_rng(0).random((30, 5, 4))
    if suffix == ".npy":
        np.save(path, x)
    else:
        np.savez(path, x=x, y=np.arange(30) % 3)
    data = datasets.load(path)
    assert data.name == "mine"
    assert data.x_train.shape == (27, 20)
    assert data.x_test.shape == (3, 20)
    assert data.image_shape == (5, 4)
    assert data.categories == (3 if suffix == ".npz" else None)
    assert data.label_names == (("0", "1", "2") if suffix == ".npz" else None)


def test_held_out_examples_are_not_trained_on():
    x = np.arange(40.0).reshape(40, 1)
    data = datasets.from_arrays(x)
    np.testing.assert_array_equal(np.sort(np.concatenate([data.x_train, data.x_test]), axis=0), x)
    np.testing.assert_array_equal(data.x_test[:, 0], [9, 19, 29, 39])
    assert datasets.from_arrays(x[:2]).x_test.tolist() == [[1]]
    with pytest.raises(ValueError, match="at least 2 examples to hold one out, got 1"):
        datasets.from_arrays(x[:1])


def test_bad_files(tmp_path):
    path = tmp_path / "bad.npz"
    with pytest.raises(FileNotFoundError, match="existing file"):
        datasets.load(path)
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load(path)
    np.savez(path, images=np.zeros((3, 2)), more=np.zeros(3))
    with pytest.raises(ValueError, match=r"must hold x .*got \['images', 'more'\]"):
        datasets.load(path)
    np.savez(path, x=np.array([object()]))
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load(path)
    whole = tmp_path / "cut.npy"
    np.save(whole, np.zeros((100, 10)))
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load(whole)
    other = tmp_path / "a.xyz"
    other.write_text("1,2")
    with pytest.raises(ValueError, match=r"must end in \.npz, \.npy, .*, or be a folder"):
        datasets.load(other)


RNG = np.random.default_rng(0)
UNIT, BYTES = RNG.random((40, 6, 5)), RNG.integers(0, 256, (40, 6, 5), dtype=np.uint8)
# Examples; options; the shape of one, what they are, the image's shape.
SHAPES = {
    "rows": (UNIT[:, 0], {}, (5,), "table", None),
    "images": (UNIT, {}, (6, 5), "images", (6, 5)),
    "images of bytes": (BYTES, {}, (6, 5), "images", (6, 5)),
    "images from -1 to 1": (2 * UNIT - 1, {}, (6, 5), "images", (6, 5)),
    "series by its values": (UNIT * 100, {}, (6, 5), "series", None),
    "series by its form": (RNG.random((40, 50, 3)), {}, (50, 3), "series", None),
    "series of one variable": (RNG.random((40, 50, 1)), {}, (50, 1), "series", None),
    "series because it is said": (UNIT, {"kind": "series"}, (6, 5), "series", None),
    "images because it is said": (UNIT * 100, {"kind": "images"}, (6, 5), "images", (6, 5)),
    "images of one channel": (UNIT[..., None], {}, (6, 5), "images", (6, 5)),
    "images in colour": (RNG.random((40, 6, 5, 3)), {}, (6, 5, 3), "images", (6, 5, 3)),
    "channels first": (RNG.random((40, 3, 6, 5)), {}, (6, 5, 3), "images", (6, 5, 3)),
    "one channel first": (RNG.random((40, 1, 6, 5)), {}, (6, 5), "images", (6, 5)),
    "counts": (RNG.poisson(0.5, (40, 9)), {}, (9,), "counts", None),
    "counts because it is said": (
        RNG.poisson(9.0, (40, 9)),
        {"kind": "counts"},
        (9,),
        "counts",
        None,
    ),
    "counts that are a table": (RNG.poisson(0.5, (40, 9)), {"kind": "table"}, (9,), "table", None),
    "a list": (UNIT[:, 0].tolist(), {}, (5,), "table", None),
    "rows that are series": (
        RNG.normal(size=(40, 24)),
        {"kind": "series"},
        (24, 1),
        "series",
        None,
    ),
    "sparse counts": (scipy.sparse.csr_array(RNG.poisson(0.5, (40, 9))), {}, (9,), "counts", None),
    "a sparse table": (scipy.sparse.csc_matrix(np.eye(40) * 0.5), {}, (40,), "table", None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_examples_are(name):
    """By their shape and values, unless it is said; they lie flat, and the shape is kept."""
    x, options, shape, kind, image = SHAPES[name]
    data = datasets.from_arrays(x, **options)
    assert (data.shape, data.kind, data.image_shape) == (shape, kind, image)
    assert data.x_train.shape == (36, np.prod(shape))
    assert data.x_test.shape == (4, np.prod(shape))
    assert data.mask_train is data.mask_test is None
    words = {"images": "images of", "series": "series of", "table": "rows of", "counts": "counts"}
    assert words[kind] in data.sentence
    assert data.sentence.endswith(data.look.sentence)


def test_examples_stay_as_they_came():
    """The scale is the model's: bytes stay bytes, a quarter of the room; sparse stays sparse."""
    data = datasets.from_arrays(BYTES)
    assert data.x_train.dtype == np.uint8
    np.testing.assert_array_equal(data.x_test, BYTES[9::10].reshape(4, 30))
    assert data.value_range == (0, 255)
    assert data.look.scale.width == 255
    assert datasets.from_arrays(UNIT.astype(np.float64)).x_train.dtype == np.float32
    matrix = scipy.sparse.csr_array(np.eye(40))
    assert scipy.sparse.issparse(datasets.from_arrays(matrix).x_train)
    np.testing.assert_array_equal(datasets.from_arrays(matrix).x_test.toarray(), np.eye(40)[9::10])


def test_channels_first_are_the_same_images():
    """As PyTorch has them: moved, not reshaped; and it is said."""
    last = RNG.random((40, 6, 5, 3)).astype(np.float32)
    first = np.moveaxis(last, -1, 1)
    a, b = datasets.from_arrays(last), datasets.from_arrays(first)
    np.testing.assert_array_equal(a.x_train, b.x_train)
    assert a.said == ()
    assert "channels of the images came first" in b.said[0]


def test_a_series_that_could_be_images_is_said():
    assert "taken for series; the option kind=images" in datasets.from_arrays(UNIT * 100).said[0]
    assert "taken for images; the option kind=series" in datasets.from_arrays(UNIT).said[0]
    assert datasets.from_arrays(UNIT, kind="series").said == ()


def test_the_scale_of_a_series_is_one_for_all_of_its_steps():
    data = datasets.from_arrays(RNG.normal([5, -300], [1, 40], (40, 50, 2)))
    assert np.shape(data.look.scale.centre) == (100,)
    np.testing.assert_array_equal(data.look.scale.centre[:2], data.look.scale.centre[-2:])
    assert data.look.scale.centre[1] == pytest.approx(-300, abs=10)


@pytest.mark.parametrize(
    ("values", "images", "expected"),
    [
        (UNIT, "images", (0, 1)),
        (UNIT * 0.4, "images", (0, 1)),
        (BYTES // 3, "images", (0, 255)),
        (BYTES.astype(np.float32), "images", (0, 255)),
        (2 * UNIT - 1, "images", (-1, 1)),
        (UNIT * 7 - 20, "images", None),
        (np.full((40, 6, 5), 7.5), "images", None),
    ],
)
def test_what_black_and_white_are(values, images, expected):
    low, high = datasets.from_arrays(values, kind=images).value_range
    assert low < high
    if expected is not None:
        assert (low, high) == expected
    else:
        assert low <= values.min()
        assert high >= values.max() - 1e-3


def test_labels_of_train_and_test_are_encoded_together():
    x = UNIT[:, 0]
    y, y_test = ["b", "d", None, "b"] * 10, ["a", "d"] * 20
    data = datasets.from_arrays(x, y, x_test=x, y_test=y_test)
    assert data.label_names == ("a", "b", "d")
    assert data.y_train[:4].tolist() == [1, 2, -1, 1]
    assert data.y_test[:2].tolist() == [0, 2]
    assert (data.categories, data.y_train.dtype) == (3, np.int32)
    named = datasets.from_arrays(x, y, label_names=["d", "c", "b"])
    assert (named.label_names, named.categories) == (("d", "c", "b"), 3)
    assert named.y_train[:4].tolist() == [2, 0, -1, 2]
    with pytest.raises(ValueError, match="y must hold labels of a, b, got 'd' at index 1"):
        datasets.from_arrays(x, y, label_names=["a", "b"])


def test_labels_by_one_list_of_names_have_one_number():
    """However few of them a part of the data has, and where they are a column of it too."""
    names, x = ("a", "b", "c"), UNIT[:, 0]
    one, other = (datasets.from_arrays(x, [label] * 40, label_names=names) for label in "ac")
    assert (one.y_train[0], other.y_train[0]) == (0, 2)
    frame = pd.DataFrame(x, columns=list("pqrst")).assign(kind=pd.Categorical(["c"] * 40, ["c"]))
    assert datasets.from_arrays(frame, "kind", label_names=names).y_train[0] == 2
    own = datasets.from_arrays(frame.assign(kind=pd.Categorical(["c"] * 40, names)), "kind")
    assert own.label_names == ("c",)  # of categories of the data only those that occur


def frame_of(columns, make=pd.DataFrame):
    """A frame with a label whose columns hold their own places in "abcde"."""
    values = {name: np.float32("abcdez".index(name)) + np.arange(20) for name in columns}
    return make(values | {"kind": ["u", "v"] * 10})


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_columns_of_held_out_examples_are_found_by_their_names(make):
    x, other = frame_of("abc", make), frame_of("zcab", make)
    data = datasets.from_arrays(x, "kind", x_test=other)
    assert data.column_names == ("a", "b", "c")
    assert data.x_test[0].tolist() == [0, 1, 2]
    assert data.y_test.tolist() == data.y_train.tolist() == [0, 1] * 10
    assert data.said == ("Columns of x_test that x does not have are left out: z.",)
    with pytest.raises(ValueError, match="x_test must have the columns of x, and lacks b; it has"):
        datasets.from_arrays(x, "kind", x_test=frame_of("acz", make))
    with pytest.raises(ValueError, match="y_test must be left out where y names a column"):
        datasets.from_arrays(x, "kind", x_test=other, y_test=["u", "v"] * 10)
    with pytest.raises(ValueError, match="y must name a column of x_test, got 'kind'; it has a, b"):
        datasets.from_arrays(x, "kind", x_test=x[["a", "b", "c"]])


def test_held_out_examples_without_names_are_taken_in_their_order():
    x = frame_of("abc").drop(columns="kind")
    for other in (x.to_numpy(), pd.DataFrame(x.to_numpy())):
        data = datasets.from_arrays(x, x_test=other)
        assert data.x_test[0].tolist() == [0, 1, 2]
    numbered = pd.DataFrame(x.to_numpy())
    data = datasets.from_arrays(numbered, x_test=numbered[[2, 1, 0]])
    assert data.x_test[0].tolist() == [0, 1, 2]
    annotated = anndata.AnnData(x.rename(str))
    data = datasets.from_arrays(annotated, x_test=annotated[:, ["c", "a", "b"]])
    assert data.x_test[0].tolist() == [0, 1, 2]


def test_names_of_columns_that_are_given_are_each_one_columns():
    data = datasets.from_arrays(UNIT[:, 0], column_names=["a", "b", "b", "c", "d"])
    assert data.column_names == ("a", "b", "b.1", "c", "d")


def test_label_names_of_a_model(tmp_path):
    """A file that a trained model is to be measured on may hold fewer labels, and no others."""
    np.savez(tmp_path / "a.npz", x=UNIT, y=np.array(["cat", "dog"] * 20))
    data = datasets.load(tmp_path / "a.npz", label_names=("ant", "cat", "dog"))
    assert data.label_names == ("ant", "cat", "dog")
    assert set(data.y_train.tolist()) == {1, 2}
    with pytest.raises(ValueError, match=r"a\.npz: y must hold labels of cat, cow, got 'dog'"):
        datasets.load(tmp_path / "a.npz", label_names=("cat", "cow"))


@pytest.mark.parametrize("frame", ["pandas", "polars", "anndata", "csv", "parquet", "h5ad"])
def test_the_same_table_from_everywhere(tmp_path, frame):
    """A table is a table, whatever it is kept in: values, names of columns, labels."""
    table = pd.DataFrame(UNIT[:, 0].astype(np.float32), columns=list("abcde"))
    labels = ["cat", "dog"] * 20
    with_label = table.assign(species=labels)
    adata = anndata.AnnData(table.rename(str), obs=pd.DataFrame({"species": labels}).rename(str))
    if frame == "pandas":
        data = datasets.from_arrays(with_label, "species")
    elif frame == "polars":
        data = datasets.from_arrays(pl.from_pandas(with_label), "species")
    elif frame == "anndata":
        data = datasets.from_arrays(adata, "species")
    else:
        path = tmp_path / f"a.{frame}"
        if frame == "csv":
            with_label.to_csv(path, index=False)
        elif frame == "parquet":
            with_label.to_parquet(path)
        else:
            adata.write_h5ad(path)
        data = datasets.load(path, label="species")
    np.testing.assert_allclose(data.x_train, np.delete(table.to_numpy(), np.s_[9::10], axis=0))
    assert data.column_names == tuple("abcde")
    assert data.label_names == ("cat", "dog")
    assert data.y_test.tolist() == [1, 1, 1, 1]
    again = datasets.from_arrays(table, labels)
    np.testing.assert_array_equal(again.y_train, data.y_train)
    assert again.column_names == tuple("abcde")


class _Wrapped:
    """What another library's array is: nothing but `__array__`."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_an_array_of_any_library():
    expected = datasets.from_arrays(UNIT, np.arange(40) % 2)
    for own in (_Wrapped, jnp.asarray, np.asfortranarray, memoryview):
        data = datasets.from_arrays(own(UNIT.astype(np.float32)), own(np.arange(40) % 2))
        np.testing.assert_array_equal(data.x_train, expected.x_train)
        np.testing.assert_array_equal(data.y_train, expected.y_train)


def test_missing_values():
    """Refused with the hint; masked, they are 0 and a mask says where."""
    x = UNIT[:, 0].astype(np.float32)
    x[3, 2] = x[19, 0] = np.nan
    with pytest.raises(ValueError, match=r"got nan at index \(3, 2\).*--missing mask"):
        datasets.from_arrays(x)
    data = datasets.from_arrays(x, missing="mask")
    assert (data.x_train[3, 2], data.x_test[1, 0]) == (0, 0)
    assert data.mask_train.dtype == bool
    assert np.argwhere(~data.mask_train).tolist() == [[3, 2]]
    assert np.argwhere(~data.mask_test).tolist() == [[1, 0]]
    x[19, 0] = 0.5
    assert datasets.from_arrays(x, missing="mask").mask_test.all()
    x[3, 2] = np.inf
    for missing in ("refuse", "mask"):
        with pytest.raises(ValueError, match=r"x must be finite, got inf at index \(3, 2\)"):
            datasets.from_arrays(x, missing=missing)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("names", [None, ("a", "b", "c", "d")])
@pytest.mark.parametrize("row", [3, 19])
def test_a_value_that_is_refused_is_named_by_its_place_as_given(row, names, sparse):
    """Also one of the tenth that is held out."""
    x = np.ones((40, 4))
    for value, kind, what in (
        (np.inf, None, "be finite, got inf"),
        (0.5, "counts", "hold counts, integers of at least 0, got 0.5"),
        (-1.0, "counts", "hold counts, integers of at least 0, got -1"),
    ):
        x[row, 2] = value
        where = f"x must {what} at index ({row}, 2)"
        if names is not None:
            where = f"column 'c' must {what} in row {row + 1}"
        given = scipy.sparse.csr_array(x) if sparse else x
        with pytest.raises(ValueError, match=f"^{re.escape(where)}"):
            datasets.from_arrays(given, column_names=names, kind=kind)


def test_the_place_in_an_example_of_any_shape():
    x = np.zeros((20, 4, 4, 3))
    x[9, 2, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"got nan at index \(9, 2, 1, 1\)"):
        datasets.from_arrays(x)


def test_counts_may_be_missing():
    x = np.ones((20, 3))
    x[9, 2] = np.nan
    data = datasets.from_arrays(x, kind="counts", missing="mask")
    assert data.kind == "counts"
    assert not data.mask_test[0, 2]


def test_missing_in_the_test_alone():
    x, x_test = UNIT[:, 0].copy(), UNIT[:3, 0].copy()
    x_test[0, 0] = np.nan
    with pytest.raises(ValueError, match="x_test must be finite, got nan"):
        datasets.from_arrays(x, x_test=x_test)
    data = datasets.from_arrays(x, x_test=x_test, missing="mask")
    assert data.mask_train.all()
    assert (~data.mask_test).sum() == 1


def test_the_fingerprint_is_of_the_content(tmp_path):
    """Another for one changed value, label or name; the same in another file or of another kind."""
    names = ["cat", "dog"] * 20
    table = pd.DataFrame(UNIT[:, 0].astype(np.float32), columns=list("abcde")).assign(label=names)
    table.to_csv(tmp_path / "a.csv", index=False)
    own = datasets.load(tmp_path / "a.csv").fingerprint
    shutil.copy(tmp_path / "a.csv", tmp_path / "another.csv")
    assert datasets.load(tmp_path / "another.csv").fingerprint == own
    assert len(own) == 64

    def changed(table):
        table.to_csv(tmp_path / "b.csv", index=False)
        return datasets.load(tmp_path / "b.csv").fingerprint

    assert changed(table) == own
    other = table.copy()
    other.loc[17, "c"] += 0.001
    relabelled = table.copy()
    relabelled.loc[17, "label"] = "cat"
    found = {
        own,
        changed(other),
        changed(relabelled),
        changed(table.rename(columns={"a": "A"})),
        changed(table.replace({"label": {"cat": "Cat"}})),
        changed(table.iloc[::-1]),
        changed(table.iloc[:-1]),
    }
    assert len(found) == 7


def test_the_fingerprint_of_sparse_rows_and_masks():
    x = RNG.poisson(0.5, (40, 9)).astype(np.float32)
    sparse = [scipy.sparse.csr_array(x), scipy.sparse.csc_array(x), scipy.sparse.coo_array(x)]
    assert len({datasets.from_arrays(own).fingerprint for own in sparse}) == 1
    x[7, 3] += 1
    assert datasets.from_arrays(scipy.sparse.csr_array(x)).fingerprint not in {
        datasets.from_arrays(own).fingerprint for own in sparse
    }
    seen = UNIT[:, 0].copy()
    seen[3, 2] = 0
    masked = seen.copy()
    masked[3, 2] = np.nan
    assert (
        datasets.from_arrays(seen).fingerprint
        != datasets.from_arrays(masked, missing="mask").fingerprint
    )


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.zeros(5), {}, ValueError, r"x must have the shape"),
        (np.zeros((5, 2, 2, 2, 2)), {}, ValueError, r"\[N, T, C\], got \(5, 2, 2, 2, 2\)"),
        (np.zeros((0, 3)), {}, ValueError, "must not be empty"),
        (np.zeros((5, 3)), {"kind": "images"}, ValueError, r"must be \[N, H, W\]"),
        (
            np.zeros((5, 3, 2, 2)),
            {"kind": "series"},
            ValueError,
            r"x must be \[N, T, C\] or \[N, T\]",
        ),
        (
            scipy.sparse.eye_array(5).tocsr(),
            {"kind": "images"},
            ValueError,
            "must be dense for images",
        ),
        (
            scipy.sparse.eye_array(5).tocsr(),
            {"kind": "series"},
            ValueError,
            "must be dense for series",
        ),
        (np.zeros((5, 3)), {"kind": "films"}, ValueError, "kind must be"),
        (np.zeros((5, 3)), {"missing": "drop"}, ValueError, "missing must be"),
        (np.zeros((5, 3)), {"y": "label"}, TypeError, "y must be labels where x has no columns"),
        (np.zeros((5, 3)), {"y": [0, 1]}, ValueError, "one label for each of 5 examples, got 2"),
        (np.zeros((5, 3)), {"y_test": [0]}, ValueError, "y_test must come with x_test"),
        (np.zeros((5, 3)), {"y": [0] * 5, "x_test": np.zeros((2, 3))}, ValueError, "both be given"),
        (np.zeros((5, 3)), {"x_test": np.zeros((2, 4))}, ValueError, r"x, \(3,\), got \(4,\)"),
        (np.zeros((5, 3)), {"column_names": ["a"]}, ValueError, "one for each of 3 values, got 1"),
        (np.array([["a", "b"]] * 5), {}, TypeError, "x must hold"),
        ({"a": np.zeros((5, 3))}, {}, TypeError, "x must be one array"),
        (pd.DataFrame({"a": ["x", "y"]}), {}, ValueError, "column 'a' must hold numbers"),
        (
            pd.DataFrame({"a": [1, 2]}),
            {"y": "b"},
            ValueError,
            "y must name a column of x, got 'b'; it",
        ),
        (np.array([["2020-01-01"]] * 5, "datetime64[D]"), {}, TypeError, "x must hold"),
    ],
)
def test_what_is_refused(x, options, error, message):
    with pytest.raises(error, match=message) as caught:
        datasets.from_arrays(x, **options)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_file(tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.full((5, 3), np.nan))
    with pytest.raises(ValueError, match=r"mine\.npz: x must be finite, got nan at index \(0, 0\)"):
        datasets.load(tmp_path / "mine.npz")
    with pytest.raises(ValueError, match=r"mine\.npz: --layer does not apply to it, got 'counts'"):
        datasets.load(tmp_path / "mine.npz", layer="counts")
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        datasets.load(tmp_path / "mine.npz", colour=True)


def test_numbers_beyond_float32_are_refused_without_a_warning():
    """Half of a column: its quartiles are infinite, and their difference is NaN."""
    x = np.array([[1e300, 1.0], [2.0, 3.0]] * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given in (x, scipy.sparse.csr_array(x)):
            with pytest.raises(ValueError, match=r"inf at index \(0, 0\); as a float32 a number"):
                datasets.from_arrays(given)


def test_a_sparse_matrix_with_missing_values_cannot_be_masked():
    x = scipy.sparse.csr_array(np.array([[1.0, np.nan], [0.0, 2.0]] * 5))
    with pytest.raises(ValueError, match=r"^x must be dense with missing=mask .*holds nan$"):
        datasets.from_arrays(x, missing="mask")
