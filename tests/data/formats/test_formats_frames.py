"""Frames of pandas and polars, and AnnData, in memory and as files."""

import decimal
import sys

import anndata
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from jaxvae.data.formats.frames import from_anndata, from_frame
from jaxvae.data.formats.registry import read
from jaxvae.data.formats.source import Reading

NAN = np.nan


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_frame(make):
    frame = make(
        {
            "who": ["007", "008", "009"],
            "a": [1, 2, 3],
            "b": [0.5, None, 2.5],
            "c": [True, None, False],
            "d": [None, None, None],
            "label": ["x", None, "y"],
        }
    )
    source = from_frame(frame, Reading(ids="who"))
    np.testing.assert_array_equal(
        source.x, [[1, 0.5, 1, NAN], [2, NAN, NAN, NAN], [3, 2.5, 0, NAN]]
    )
    assert source.x.dtype == np.float32
    assert source.y.tolist() == ["x", None, "y"]
    assert source.ids == ("007", "008", "009")
    assert source.column_names == ("a", "b", "c", "d")
    picked = from_frame(frame, Reading(columns=("c", "a"), label="none"))
    assert picked.x[0].tolist() == [1, 1]
    with pytest.raises(ValueError, match="the frame: column 'who' must hold numbers, got '007'"):
        from_frame(frame, Reading())
    with pytest.raises(ValueError, match="words of two or more letters"):
        from_frame(frame, Reading(text="label", label="none"))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_texts_in_a_frame(make):
    frame = make({"body": ["red rose", None], "label": [True, False]})
    source = from_frame(frame, Reading(text="body"))
    assert source.x.toarray().tolist() == [[1, 1], [0, 0]]
    assert source.y.dtype == bool


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array([1, None], dtype="Int8"), [1, NAN]),
        (pd.array([True, None], dtype="boolean"), [1, NAN]),
        (pd.array([1.5, None], dtype="Float32"), [1.5, NAN]),
        (pd.Categorical([7, None]), [7, NAN]),
        (pd.arrays.SparseArray([0, 3]), [0, 3]),
        (np.array([1, None], dtype=object), [1, NAN]),
        (np.array([decimal.Decimal("1.5"), 2], dtype=object), [1.5, 2]),
        (pd.array([1, None], dtype="int64[pyarrow]"), [1, NAN]),
        (pd.array([decimal.Decimal("1.5"), None], pd.ArrowDtype(pa.decimal128(3, 1))), [1.5, NAN]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array([1e300, 2]), [np.inf, 2]),
    ],
)
def test_kinds_of_numbers_of_pandas(values, expected):
    source = from_frame(pd.DataFrame({"a": values}))
    np.testing.assert_array_equal(source.x[:, 0], expected)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["1", "2"], "'1'"),
        (["1", "?"], r"'\?'"),
        (pd.Categorical(["u", "v"]), "'u'"),
        (pd.to_datetime(["2024-05-01", "2024-05-02"]), "'2024-05-01"),
        (pd.to_timedelta([1, 2], "s"), "0 days"),
        ([1, "two"], "'two'"),
        ([[1], [2]], r"\[1\]"),
        (np.array([1j, 2]), "1j"),
    ],
)
def test_kinds_that_are_no_numbers(values, shown):
    with pytest.raises(ValueError, match=f"column 'a' must hold numbers, got .*{shown}"):
        from_frame(pd.DataFrame({"a": values}))


@pytest.mark.parametrize(
    ("values", "expected", "names"),
    [
        (pd.Categorical(["b", "a"], ["c", "b", "a"]), ["b", "a"], ("c", "b", "a")),
        (pd.Categorical(["b", None], ["b", "a"]), ["b", None], ("b", "a")),
        (pd.Categorical([2, 1]), ["2", "1"], ("1", "2")),
        (pd.array(["a", None], dtype="string"), ["a", None], None),
        (pd.array([1, 2], dtype="Int64"), [1, 2], None),
        (pd.array([1, None], dtype="Int64"), [1, None], None),
        (np.array([1, "b"], object), [1, "b"], None),
        (np.array([True, None], object), [True, None], None),
    ],
)
def test_labels_of_pandas(values, expected, names):
    source = from_frame(pd.DataFrame({"a": [0, 1], "k": values}), Reading(label="k"))
    assert source.y.tolist() == expected
    assert source.label_names == names


def test_labels_of_polars():
    kinds = pl.Enum(["low", "high"])
    frame = pl.DataFrame({"a": [1, 2], "k": pl.Series(["high", None], dtype=kinds)})
    source = from_frame(frame, Reading(label="k"))
    assert source.y.tolist() == ["high", None]
    assert source.label_names == ("low", "high")
    frame = pl.DataFrame({"a": [1, 2], "k": pl.Series(["v", "u"], dtype=pl.Categorical)})
    assert from_frame(frame, Reading(label="k")).y.tolist() == ["v", "u"]
    assert from_frame(pl.DataFrame({"a": [1, 2], "y": [1, None]})).y.tolist() == [1, None]


def test_polars_that_is_no_numbers():
    for values in (["u"], [[1.0]], [{"a": 1}]):
        with pytest.raises(ValueError, match="column 'a' must hold numbers"):
            from_frame(pl.DataFrame({"a": values}))
    frame = pl.DataFrame({"a": ["2024-05-01"]}).with_columns(pl.col("a").str.to_date())
    with pytest.raises(ValueError, match="got '2024-05-01'"):
        from_frame(frame)
    with pytest.raises(TypeError, match="collect"):
        from_frame(pl.DataFrame({"a": [1]}).lazy())
    decimals = pl.DataFrame({"a": [decimal.Decimal("1.5")]})
    assert from_frame(decimals).x.tolist() == [[1.5]]


def test_names_and_rows():
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])
    assert from_frame(frame).column_names == ("a", "a.1")
    assert from_frame(pd.DataFrame([[1, 2]])).column_names == ("0", "1")
    three = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "a.1"])
    assert from_frame(three).column_names == ("a", "a.2", "a.1")  # as pandas reads its CSV
    part = pd.DataFrame({"a": [1, 2, 3]}).iloc[1:]
    assert from_frame(part).ids == ("1", "2")
    assert from_frame(part.reset_index(drop=True)).ids is None
    with pytest.raises(ValueError, match="at least one row"):
        from_frame(frame.iloc[:0])
    with pytest.raises(TypeError, match="got list"):
        from_frame([[1, 2]])
    with pytest.raises(ValueError, match="a label must be one value"):
        from_frame(pd.DataFrame({"a": [1], "y": [[1, 2]]}))


def test_a_wide_and_a_long_frame():
    values = np.random.default_rng(0).random((3, 5000))
    np.testing.assert_array_equal(from_frame(pd.DataFrame(values)).x, values.astype(np.float32))
    np.testing.assert_array_equal(from_frame(pd.DataFrame(values.T)).x, values.T.astype(np.float32))


@pytest.fixture
def cells():
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["T", "B", None], ["T", "B", "NK"]), "who": ["p1", "p2", "p3"]},
        index=["c1", "c2", "c3"],
    )
    var = pd.DataFrame(index=["CD4", "CD8A"])
    counts = np.array([[0, 3], [1, 0], [0, 0]], np.float32)
    adata = anndata.AnnData(np.log1p(counts), obs=obs, var=var)
    adata.layers["counts"] = scipy.sparse.csr_matrix(counts)
    adata.raw = anndata.AnnData(2 * counts, obs=obs, var=var)
    return adata


def test_annotated_data(cells, tmp_path):
    cells.write_h5ad(tmp_path / "a.h5ad")
    ways = [
        lambda reading, **own: from_anndata(cells, reading, **own),
        lambda reading, **own: read(tmp_path / "a.h5ad", reading, **own),
    ]
    for own in ways:
        source = own(Reading(label="kind"))
        assert source.kind == "table"
        assert source.column_names == ("CD4", "CD8A")
        assert source.ids == ("c1", "c2", "c3")
        assert source.y.tolist() == ["T", "B", None]
        assert source.label_names[:2] == ("T", "B")
        assert "--layer counts" in source.said[-1]
        source = own(Reading(layer="counts", ids="who", columns=("CD8A",)))
        assert source.x.format == "csr"
        assert source.x.toarray().tolist() == [[3], [0], [0]]
        assert source.kind == "counts"
        assert source.ids == ("p1", "p2", "p3")
        assert source.column_names == ("CD8A",)
        assert source.y is None
        assert "kind, who" in source.said[0]
        assert own(Reading(layer="raw", label="none")).x[0].tolist() == [0, 6]
        assert own(Reading(leave_out=("CD4",))).x.shape == (3, 1)
        assert own(Reading(label="gone"), examples_only=True).y is None
        for reading, message in (
            (Reading(label="gone"), "--label must name a column of obs, got 'gone'; it has kind"),
            (Reading(ids="gone"), "--ids must name a column of obs"),
            (Reading(layer="gone"), "--layer must be one of its layers, got 'gone'.*counts"),
            (Reading(columns=("CD3",)), "lacks CD3"),
            (Reading(text="kind"), "--text does not apply"),
        ):
            with pytest.raises(ValueError, match=message):
                own(reading)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_names_of_genes_that_come_twice():
    """Each gets a name of its own, in X and in raw, so that each is found by its name."""
    var = pd.DataFrame(index=["CD4", "TBCE", "TBCE", "TBCE-1"])
    counts = np.arange(8, dtype=np.float32).reshape(2, 4)
    adata = anndata.AnnData(counts, var=var)
    adata.raw = anndata.AnnData(2 * counts, var=var)
    names = ("CD4", "TBCE", "TBCE-2", "TBCE-1")
    assert from_anndata(adata).column_names == names
    assert from_anndata(adata, Reading(layer="raw")).column_names == names
    back = from_anndata(adata, Reading(columns=names[::-1]))
    np.testing.assert_array_equal(back.x, counts[:, ::-1])


def test_annotated_views_and_bad_files(cells, tmp_path, monkeypatch):
    view = from_anndata(cells[1:], Reading(layer="counts"))
    assert view.x.toarray().tolist() == [[1, 0], [0, 0]]
    with pytest.raises(ValueError, match="must have an X"):
        from_anndata(anndata.AnnData(obs=cells.obs))
    with pytest.raises(ValueError, match="must not be empty"):
        from_anndata(cells[:0])
    (tmp_path / "bad.h5ad").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.h5ad is not a whole \.h5ad file"):
        read(tmp_path / "bad.h5ad")
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxvae\[anndata\]'"):
        read(tmp_path / "bad.h5ad")


def test_columns_so_far_from_0_that_digits_are_lost_are_named():
    """Whether float32 keeps the differences; not of a constant, which has none."""
    rng, rows = np.random.default_rng(0), 300
    spread = rng.normal(size=rows)
    table = {
        "near": spread,
        "an hour": 1_700_000_000 + np.arange(rows) * 12,
        "a year": 1_700_000_000.0 + np.arange(rows) * 86400.0,
        "constant": np.full(rows, 1.7e9),
        "holes": np.where(np.arange(rows) % 7, 1e9 + spread, np.nan),
        "empty": np.full(rows, np.nan),
        "infinite": np.where(np.arange(rows) == 4, np.inf, 1e9 + spread),
        "outlier": np.where(np.arange(rows) == 4, 1e9, spread),
    }
    said = from_frame(pd.DataFrame(table), Reading()).said
    assert said[-1].startswith("The columns an hour, holes are so far from 0 that digits are lost")
    assert said[-1].endswith("leave them out with --leave-out 'an hour' holes.")
    cast = {name: len(np.unique(np.float32(table[name]))) for name in ("an hour", "a year")}
    assert cast["an hour"] < rows / 5
    assert cast["a year"] == rows
    one = from_frame(pd.DataFrame({"a": table["an hour"], "b": spread}), Reading()).said
    assert one[-1].startswith("The column 'a' is so far from 0")
    assert from_frame(pd.DataFrame({"a": table["a year"], "b": spread}), Reading()).said == ()
