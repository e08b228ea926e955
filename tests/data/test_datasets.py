"""Loading: digits, MNIST by IDX or OpenML, a user's own arrays and files."""

import gzip
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

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
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])
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
    data = datasets.load_file(path)
    assert data.name == "mine"
    assert data.x_train.shape == (27, 20)
    assert data.x_test.shape == (3, 20)
    assert data.image_shape == (5, 4)
    assert data.categories == (3 if suffix == ".npz" else None)


def test_held_out_examples_are_not_trained_on():
    x = np.arange(40.0).reshape(40, 1)
    data = datasets.from_arrays(x)
    np.testing.assert_array_equal(np.sort(np.concatenate([data.x_train, data.x_test]), axis=0), x)


def test_bad_files(tmp_path):
    path = tmp_path / "bad.npz"
    with pytest.raises(FileNotFoundError, match="existing file"):
        datasets.load_file(path)
    path.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load_file(path)
    np.savez(path, images=np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"must hold x .*got \['images'\]"):
        datasets.load_file(path)
    np.savez(path, x=np.array([object()]))
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load_file(path)
    whole = tmp_path / "cut.npy"
    np.save(whole, np.zeros((100, 10)))
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(ValueError, match="whole NumPy file"):
        datasets.load_file(whole)
    with pytest.raises(ValueError, match=r"must end in \.npy or \.npz"):
        datasets.load_file(tmp_path / "a.csv")
