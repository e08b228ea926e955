"""Rows of torch's and Hugging Face's data sets, by stand-ins with their methods."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

import jaxvae
from jaxvae.data import streaming
from jaxvae.datasets import stream_rows

RNG = np.random.default_rng(0)
X = RNG.random((23, 4)).astype(np.float32)
Y = np.arange(23) % 3


class Tensor:
    """What torch's has: on a GPU, or with a gradient, it is no array before `detach().cpu()`."""

    def __init__(self, array, plain=False):
        self.own, self.plain, self.ndim = np.asarray(array), plain, np.ndim(array)

    def detach(self):
        return Tensor(self.own, plain=True)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if not self.plain:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.own


class Map:
    """Torch's `Dataset`."""

    def __init__(self, rows, classes=None):
        self.rows = rows
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        assert type(number) is int
        return self.rows[number]


class Subset(Map):
    """Torch's, which has a method to get many."""

    def __init__(self, dataset, numbers):
        self.dataset, self.numbers, self.asked = dataset, numbers, []

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, number):
        return self.dataset[self.numbers[number]]

    def __getitems__(self, numbers):
        self.asked.append(len(numbers))
        return [self[number] for number in numbers]


class Iterable(Map):
    """Torch's `IterableDataset`, which has the methods of the other and refuses."""

    def __getitem__(self, number):
        raise NotImplementedError

    def __iter__(self):
        return (row for row in self.rows)


class ClassLabel(NamedTuple):
    names: list


class Hugging:
    """Hugging Face's `Dataset`: a number gives a row, a slice or a list gives columns."""

    def __init__(self, columns, features=None):
        self.columns_of, self.features, self.asked = columns, features or {}, []

    @property
    def column_names(self):
        return list(self.columns_of)

    def select_columns(self, names):
        return Hugging({name: self.columns_of[name] for name in names}, self.features)

    def __len__(self):
        return len(next(iter(self.columns_of.values())))

    def __getitem__(self, what):
        self.asked.append(what)
        if isinstance(what, int):
            return {name: values[what] for name, values in self.columns_of.items()}
        if isinstance(what, slice):
            return {name: values[what] for name, values in self.columns_of.items()}
        return {name: [values[i] for i in what] for name, values in self.columns_of.items()}

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def joined(stream):
    """All that a stream gives, and the sizes of its batches."""
    batches = list(stream)
    sizes = [len(x) for x, _ in batches]
    return (*(np.concatenate(part) for part in zip(*batches, strict=True)), sizes)


PAIRS = [(x, int(y)) for x, y in zip(X, Y, strict=True)]
FIELDS = [{"values": x.tolist(), "id": i, "label": y} for i, (x, y) in enumerate(PAIRS)]
COLUMNS = {"values": X.tolist(), "id": list(range(23)), "Label": Y.tolist()}
SOURCES = {
    "a list of pairs": PAIRS,
    "torch": Map(PAIRS),
    "torch, tensors": Map([(Tensor(x), Tensor(y)) for x, y in PAIRS]),
    "torch, a subset": Subset(Map(PAIRS), range(23)),
    "torch, iterable": Iterable(PAIRS),
    "torch, pairs as lists": [list(pair) for pair in PAIRS],
    "mappings": FIELDS,
    "hugging face": Hugging(COLUMNS),
    "hugging face, arrays": Hugging({"values": X, "label": Y}),
    "hugging face, iterable": Iterable(FIELDS),
    "a function": lambda: iter(PAIRS),
    "a generator function": lambda: (row for row in FIELDS),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources(name):
    stream = stream_rows(SOURCES[name], batch_size=5)
    assert stream.shape == (4,)
    assert stream.label_names is None
    for _ in range(2):
        x, y, sizes = joined(stream)
        assert sizes == [5, 5, 5, 5, 3]
        np.testing.assert_allclose(x, X, rtol=1e-6)
        np.testing.assert_array_equal(y, Y)
        assert y.dtype == np.int32


@pytest.mark.parametrize("name", [n for n in SOURCES if "iter" not in n and "function" not in n])
def test_random_order(name):
    stream = stream_rows(SOURCES[name], batch_size=5)

    def passes(number):
        shuffled = stream.shuffled(jax.random.key(number))
        assert len(shuffled) == 23
        return [joined(shuffled) for _ in range(2)]

    (x, y, sizes), (again, _, _) = passes(1)
    assert sizes == [5, 5, 5, 5, 3]
    place = np.abs(x[:, None] - X).sum(-1).argmin(1)
    assert sorted(place) == list(range(23))
    np.testing.assert_array_equal(y, Y[place])
    assert (x != again).any()
    np.testing.assert_array_equal(passes(1)[1][0], again)
    assert (passes(2)[0][0] != x).any()
    np.testing.assert_allclose(joined(stream)[0], X, rtol=1e-6)  # itself it is not shuffled


@pytest.mark.parametrize("name", ["torch, iterable", "hugging face, iterable", "a function"])
def test_what_has_no_numbers_is_not_shuffled(name):
    stream = stream_rows(SOURCES[name], batch_size=5)
    with pytest.raises(TypeError, match="source must have a length"):
        stream.shuffled(jax.random.key(0))
    with pytest.raises(TypeError, match="cannot be counted"):
        len(stream)
    with pytest.raises(TypeError, match="key must be a typed key"):
        stream_rows(PAIRS, batch_size=5).shuffled(0)


def test_slices_and_batches_are_asked_for_where_they_can_be():
    source = Hugging({"x": X, "y": Y})
    list(stream_rows(source, batch_size=10))
    assert source.asked == [0, slice(0, 10), slice(10, 20), slice(20, 23)]
    source = Subset(Map(PAIRS), range(2, 23))
    list(stream_rows(source, batch_size=10))
    assert source.asked == [10, 10, 1]


def test_a_batch_is_read_when_it_is_asked_for():
    asked = []

    def rows():
        for i in range(100):
            asked.append(i)
            yield np.full(3, i)

    batches = iter(stream_rows(rows, batch_size=4))
    assert asked == [0]
    next(batches)
    assert asked == [0, 0, 1, 2, 3]


def test_x_alone():
    for source in (X, list(X), X.tolist(), Map([(x,) for x in X]), [{"a": x, "n": 1} for x in X]):
        batches = list(stream_rows(source, batch_size=20))
        assert [type(x) for x in batches] == [np.ndarray] * 2
        np.testing.assert_allclose(np.concatenate(batches), X, rtol=1e-6)
    (x,) = stream_rows(PAIRS, batch_size=23, y="none")
    assert x.shape == (23, 4)
    (x,) = stream_rows(Hugging(COLUMNS), batch_size=23, y="none")
    assert x.shape == (23, 4)


def test_fields_by_name():
    source = Hugging({"a": X, "b": -X, "target": Y, "class": Y + 1})
    with pytest.raises(ValueError, match=r"y must name the field of the labels.*target, class may"):
        stream_rows(source, batch_size=5)
    with pytest.raises(ValueError, match="x must name the field of the examples: any of a, b may"):
        stream_rows(source, batch_size=5, y="class")
    x, y, _ = joined(stream_rows(source, batch_size=5, x="b", y="class"))
    np.testing.assert_array_equal(x, -X)
    np.testing.assert_array_equal(y, Y + 1)
    for name in ("x", "y"):
        with pytest.raises(ValueError, match=rf"{name} must name one of .*got 'c'"):
            stream_rows(source, batch_size=5, **{"x": "a", "y": "class", name: "c"})
    with pytest.raises(ValueError, match="x names a field, and the rows of source have none"):
        stream_rows(PAIRS, batch_size=5, x="a")
    with pytest.raises(ValueError, match=r"got a \(int\), b \(str\); a table.*from_arrays"):
        stream_rows([{"a": 1, "b": "text"}], batch_size=5)


def test_names_of_labels():
    names = ClassLabel(["cat", "dog", "owl"])
    source = Hugging({"x": X, "fine": Y, "n": Y}, {"fine": names, "n": None})
    stream = stream_rows(source, batch_size=23)
    assert stream.label_names == ("cat", "dog", "owl")
    np.testing.assert_array_equal(joined(stream)[1], Y)
    whole = Map(PAIRS, classes=["cat", "dog", "owl"])
    assert stream_rows(whole, batch_size=5).label_names == ("cat", "dog", "owl")
    assert stream_rows(Subset(whole, [1, 2]), batch_size=5).label_names == ("cat", "dog", "owl")
    texts = Map([(X[0], "owl"), (X[1], "cat"), (X[2], None)], classes=["cat", "dog", "owl"])
    ((_, y),) = stream_rows(texts, batch_size=5)
    assert y.tolist() == [2, 0, -1]
    for rows, classes, message in (
        ([(X[0], "cat")], None, r"got names such as 'cat'.*encode_labels"),
        ([(X[0], "cow")], ["cat"], "labels of cat, got 'cow'"),
        ([(X[0], 1)], ["cat"], "y must be below 1, the names there are: 1"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            stream_rows(Map(rows, classes), batch_size=5)


def test_labels_in_other_forms():
    for labels in ([0, None, 1], [0.0, float("nan"), 1.0], [0, -1, 1]):
        ((_, y),) = stream_rows([(X[0], label) for label in labels], batch_size=5)
        assert y.tolist() == [0, -1, 1]
    ((_, y),) = stream_rows([(X[0], np.eye(3)[i]) for i in (2, 0)], batch_size=5)
    assert y.tolist() == [2, 0]


def test_pictures():
    grey = RNG.integers(0, 256, (6, 8), np.uint8)
    rgb = RNG.integers(0, 256, (6, 8, 3), np.uint8)
    clear = Image.new("RGBA", (8, 6), (0, 0, 0, 0))
    deep = Image.fromarray(np.full((6, 8), 257 * 3, np.uint16))
    light = Image.fromarray(np.ones((6, 8), np.float32))
    for picture, wanted in (
        (Image.fromarray(grey), grey),
        (Image.fromarray(rgb), rgb),
        (Image.fromarray(grey).convert("P"), grey),
        (
            Image.fromarray(rgb).quantize(8),
            np.asarray(Image.fromarray(rgb).quantize(8).convert("RGB")),
        ),
        (Image.fromarray(grey > 127), (grey > 127) * 255),
        (clear, np.full((6, 8, 3), 255)),
        (clear.convert("LA"), np.full((6, 8), 255)),
        (Image.new("CMYK", (8, 6), (0, 255, 255, 0)), np.tile([255, 0, 0], (6, 8, 1))),
        (deep, np.full((6, 8), 3)),
        (light, np.ones((6, 8))),
    ):
        ((x, y),) = stream_rows([{"image": picture, "label": 1}] * 2, batch_size=2)
        np.testing.assert_array_equal(x, [wanted] * 2)
        assert x.dtype == (np.float32 if picture is light else np.uint8)
        assert y.tolist() == [1, 1]
    with pytest.raises(TypeError, match=r"row 0 .*from 0 to 65535"):
        stream_rows([(Image.fromarray(np.full((2, 2), 70000, np.int32)), 0)], batch_size=1)


def test_rows_that_differ():
    rows = [(X[0], 0)] * 3
    for row, message in (
        ((X[0, :3], 0), r"row 3 of source must have the shape of row 0, \(4,\), got \(3,\)"),
        (X[0], r"row 3 of source must be a pair \(x, y\) as row 0"),
        ((X[0], 0, 1), "row 3 of source must be x, a pair.*got tuple of 3"),
        ((None, 0), "row 3 of source must be an array or a picture, got None"),
        (("text", 0), "row 3 of source must be an array or a picture, got 'text'"),
        (({}, 0), "row 3 of source must be an array or a picture, got {}"),
        (([[1], [2, 3]], 0), "row 3 of source must be an array or a picture.*inhomogeneous"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            list(stream_rows([*rows, row], batch_size=2))
    ragged = Hugging({"x": [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0, 3.0]]})
    with pytest.raises(ValueError, match=r"row 2 .*\(2,\), got \(3,\)"):
        list(stream_rows(ragged, batch_size=2))
    with pytest.raises(ValueError, match="row 1 of source must have the field 'x', got z"):
        list(stream_rows([{"x": X[0]}, {"z": X[0]}], batch_size=2))
    with pytest.raises(TypeError, match=r"row 1 of source must be x alone as row 0"):
        list(stream_rows([X[0], (X[0], 1)], batch_size=2))


class Loader:
    """Torch's, which gives batches."""

    batch_size = 4
    dataset = PAIRS

    def __iter__(self):
        return iter([(X[:4], Y[:4])])


class Once:
    def __init__(self):
        self.rows = iter(PAIRS)

    def __iter__(self):
        return self.rows


class Frame:
    columns = ("a",)
    iloc = None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((row for row in PAIRS), "read once only"),
        (Once(), "read once only"),
        ([], "at least one row"),
        (lambda: iter([]), "at least one row"),
        ({"train": PAIRS, "test": PAIRS}, "one data set, got a mapping: give one of train, test"),
        ("folder", "`load` reads files"),
        (Frame(), "a DataFrame: `from_arrays`"),
        (Loader(), "got Loader, which gives batches: give it to fit"),
        (object(), "__len__ and __getitem__"),
        ([1.0, 2.0], "row 0 of source must be an array or a picture, got 1.0"),
    ],
)
def test_what_is_no_source(source, message):
    with pytest.raises((TypeError, ValueError), match=message):
        stream_rows(source, batch_size=4)


def test_training_reads_it_again():
    rows = [
        {"image": Image.fromarray((x[:, None] * 255).astype(np.uint8)), "y": y} for x, y in PAIRS
    ]
    stream = stream_rows(rows, batch_size=5).shuffled(jax.random.key(0))
    assert sum(len(batch.x) for batch in streaming.read(stream)) == 23
    network = jaxvae.dense_dirichlet_network((4, 1), 3, layers=1, hidden_units=4)
    vae = jaxvae.dirichlet_vae(network)
    for source in (stream, stream_rows(lambda: iter(PAIRS), batch_size=5)):
        if source is not stream:
            network = jaxvae.dense_dirichlet_network(4, 3, layers=1, hidden_units=4)
            vae = jaxvae.dirichlet_vae(network)
        state, history = jaxvae.fit(jax.random.key(1), vae, source, batch_size=4, epochs=2)
        assert int(state.step) == 2 * 6
        assert all(np.isfinite(record.loss) for record in history.epochs)
