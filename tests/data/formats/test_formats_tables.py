"""Tables: CSV in the ways that people write it, Parquet."""

import bz2
import gzip
import lzma
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from jaxvae.data.formats.registry import read
from jaxvae.data.formats.source import Reading


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def csv(tmp_path):
    return lambda text, encoding="utf-8": written(tmp_path / "a.csv", text, encoding)


PLAIN = "a,b,species\n1,2.5,cat\n3,,dog\n5,6,cat\n"
ROWS = [[1, 2.5], [3, np.nan], [5, 6]]


def test_a_plain_one(csv):
    source = read(csv(PLAIN), Reading(label="species"))
    np.testing.assert_array_equal(source.x, np.array(ROWS, np.float32))
    assert source.x.dtype == np.float32
    assert source.x.flags.c_contiguous
    assert source.y.tolist() == ["cat", "dog", "cat"]
    assert source.column_names == ("a", "b")
    assert (source.label_names, source.ids, source.kind, source.said) == (None, None, "table", ())


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", ";").replace(".", ","), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-16"),
        (PLAIN.replace(",", "\t").replace(".", ","), "utf-8"),
        (PLAIN.replace(",", "|"), "utf-8"),
        (PLAIN.replace(",", ", "), "utf-8"),
        (PLAIN.replace("\n", "\r\n"), "utf-8"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace("a,b", '"a","b"'), "utf-8-sig"),
        ("\n" + PLAIN + "\n\n", "utf-8"),
        ("# " + PLAIN, "utf-8"),
        (PLAIN.rstrip("\n"), "utf-8"),
    ],
)
def test_ways_to_write_it(csv, text, encoding):
    source = read(csv(text, encoding), Reading(label="species"))
    np.testing.assert_array_equal(source.x, np.array(ROWS, np.float32))
    assert source.column_names == ("a", "b")
    assert source.y.tolist() == ["cat", "dog", "cat"]


@pytest.mark.parametrize("ending", ["", ".gz", ".bz2", ".xz", ".zip"])
@pytest.mark.parametrize("kind", [".csv", ".tsv"])
def test_compressed(tmp_path, kind, ending):
    content = PLAIN.replace(",", "\t" if kind == ".tsv" else ",").encode()
    path = tmp_path / f"A{kind.upper()}{ending}"
    if ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"a{kind}", content)
            archive.writestr(f"__MACOSX/._a{kind}", b"")
    else:
        zipped = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
        path.write_bytes(zipped[ending](content))
    source = read(path, Reading(label="species"))
    np.testing.assert_array_equal(source.x, np.array(ROWS, np.float32))
    assert source.said == ()


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip"])
def test_damaged_compression(tmp_path, ending):
    if ending == ".zip":
        with zipfile.ZipFile(tmp_path / "two.csv.zip", "w") as archive:
            archive.writestr("a.csv", PLAIN)
            archive.writestr("b.csv", PLAIN)
        with pytest.raises(ValueError, match=r"two\.csv\.zip: it must hold one file, got 2"):
            read(tmp_path / "two.csv.zip")
    for content in (b"nothing of the kind", gzip.compress(PLAIN.encode() * 999)[:-30]):
        path = tmp_path / f"bad.csv{ending}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.csv"):
            read(path)


@pytest.mark.parametrize("name", ["label", "labels", "target", "class", "y", "Label", "CLASS"])
def test_the_label_by_its_name(csv, name):
    path = csv(f"a,{name}\n1,0\n2,1\n")
    source = read(path)
    assert source.y.tolist() == [0, 1]
    assert source.column_names == ("a",)
    assert name in source.said[0]
    bare = read(path, Reading(label="none"))
    assert bare.y is None
    assert bare.column_names == ("a", name)
    assert bare.said == ()
    assert read(path, Reading(columns=(name, "a"))).y is None


def test_what_is_not_taken_for_the_label(csv):
    both = read(csv("a,label,class\n1,0,3\n"))
    assert both.y is None
    assert both.column_names == ("a", "label", "class")
    assert "label, class could each" in both.said[0]
    numbers = read(csv("x,y,z\n1,0.5,3\n2,1.5,4\n"))
    assert numbers.column_names == ("x", "y", "z")
    assert "not whole" in numbers.said[0]
    assert read(csv("x,y\n1,0.5\n"), Reading(label="y")).y.tolist() == [0.5]


def test_missing_labels(csv):
    y = read(csv("a,label\n1,cat\n2,\n3,dog\n")).y
    assert y.tolist() == ["cat", None, "dog"]
    y = read(csv("label,a\n1,1\n,2\n")).y
    np.testing.assert_array_equal(y, [1, np.nan])
    assert read(csv("a,label\n1,True\n2,False\n")).y.dtype == bool


@pytest.mark.parametrize("text", [",a,b\nr1,1,2\nr2,3,4\n", "a\tb\nr1\t1\t2\nr2\t3\t4\n"])
def test_an_index_is_the_ids(csv, text):
    """As pandas writes it, and as R does, whose header is one name short."""
    source = read(csv(text))
    assert source.ids == ("r1", "r2")
    assert source.x.tolist() == [[1, 2], [3, 4]]
    assert source.column_names == ("a", "b")


def test_an_index_of_an_index(csv):
    source = read(csv("Unnamed: 0.1,Unnamed: 0,a\n0,0,5\n1,1,6\n"))
    assert source.column_names == ("a",)
    assert source.ids == ("0", "1")


def test_ids_stay_as_written(csv):
    source = read(csv("who,a\n007,1\n008,2\n"), Reading(ids="who"))
    assert source.ids == ("007", "008")
    assert source.column_names == ("a",)


def test_no_header(csv):
    source = read(csv("5.1,3,0\n4.9,2,1\n"))
    assert source.column_names == ("0", "1", "2")
    assert source.x.shape == (2, 3)
    assert "no header" in source.said[0]
    labelled = read(csv("5.1,3,0\n4.9,2,1\n"), Reading(label="2"))
    assert labelled.y.tolist() == [0, 1]


def test_no_header_but_labels_of_text(csv):
    source = read(csv("5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n"), Reading(label="2"))
    assert source.x.shape == (2, 2)
    assert source.y.tolist() == ["Iris-setosa"] * 2
    source = read(csv("7,0,0,255\n2,0,128,0\n"), Reading(label="0"))
    assert source.x.tolist() == [[0, 0, 255], [0, 128, 0]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("0,1,2\n5.1,3,0\n4.9,2,1\n", (2, 3)),  # as pandas names the columns of an array
        (",0,1\n0,5.1,3\n1,4.9,2\n", (2, 2)),
        (",1990,1991\nx,5.1,3\ny,4.9,2\n", (2, 2)),
        ("land,1990,1991\nx,1,2\ny,3,4\n", (2, 2)),
    ],
)
def test_a_header_of_numbers(csv, text, shape):
    reading = Reading(ids="land") if "land" in text else Reading()
    assert read(csv(text), reading).x.shape == shape


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("5,3,1,2,setosa\n4,9,2,1,other\n", "4"),
        ("5,setosa\n4,other\n", "1"),
        ("7,1,a,9\n4,2,b,8\n", "2"),
    ],
)
def test_a_first_row_of_whole_numbers_is_an_example(csv, text, label):
    """Numbers are names only where they rise: else an example would be lost in silence."""
    source = read(csv(text), Reading(label=label))
    assert (len(source.x), len(source.y)) == (2, 2)
    assert "no header" in source.said[0]


def test_numbers_that_are_taken_for_names_are_shown(csv):
    source = read(csv("land,1990,1991\nx,1,2\ny,3,4\n"), Reading(ids="land"))
    assert source.said[0] == "Its first line is taken for names: land, 1990, 1991."
    assert read(csv("land,a,b\nx,1,2\ny,3,4\n"), Reading(ids="land")).said == ()


@pytest.mark.parametrize("start", ["", "\n", "sep=,\n"])
@pytest.mark.parametrize("name", ["label", "kind"])
def test_words_that_are_read_as_a_missing_label_are_said(csv, name, start):
    rows = "1,None\n2,mild\n3,\n4,NA\n5,None\n"
    source = read(csv(f"{start}a,{name}\n{rows}"), Reading(label=name))
    assert source.y.tolist() == [None, "mild", None, None, None]
    assert f"In the column {name!r} NA, None is read as no value" in source.said[-1]
    assert read(csv(f"a,{name}\n1,u\n2,\n"), Reading(label=name)).said[1:] == ()
    text = read(csv(f"{name},body\nu,null\nv,red rose\n"), Reading(label=name, text="body"))
    assert any("In the column 'body' null is read" in said for said in text.said)


def test_words_that_are_read_as_a_missing_label_beside_an_index_and_without_a_header(csv):
    source = read(csv("a,label\nr1,1,NA\nr2,2,u\n"))
    assert source.y.tolist() == [None, "u"]
    assert "In the column 'label' NA is read" in source.said[-1]
    source = read(csv("1.5,NA\n2.5,u\n3.5,v\n"), Reading(label="1"))
    assert source.y.tolist() == [None, "u", "v"]
    assert "In the column '1' NA is read" in source.said[-1]


def test_a_row_may_be_called_as_what_is_missing_elsewhere(csv):
    source = read(csv("who,a\nNA,1\n,2\n007,3\n"), Reading(ids="who"))
    assert source.ids == ("NA", "", "007")
    with pytest.raises(ValueError, match="as many cells as the first, 2, got 1 in line 3"):
        read(csv("a,who\n1,x\n2\n"), Reading(ids="who"))


def test_numbers_between_spaces(csv, tmp_path):
    np.savetxt(tmp_path / "a.csv", [[1.5, 2], [3, 4]])
    assert read(tmp_path / "a.csv").x.tolist() == [[1.5, 2], [3, 4]]


def test_booleans_and_constants(csv):
    source = read(csv("a,b,c\nTrue,7,true\nFalse,7,\n"))
    np.testing.assert_array_equal(source.x, [[1, 7, 1], [0, 7, np.nan]])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("Paris", r"column 'city' must hold numbers, got 'Paris' in row 1; name the label column"),
        ("Paris", r"with --label, or leave it out with --leave-out city$"),
        ("2024-05-01", r"got '2024-05-01' in row 1"),
        ('"1,234"', r"got '1,234' in row 1"),
        ("a long text of some eight words here", r"--text city$"),
    ],
)
def test_text_is_refused(csv, column, message):
    with pytest.raises(ValueError, match=message) as error:
        read(csv(f"a,city\n1,{column}\n2,{column}\n"))
    assert str(csv("")) in str(error.value)
    assert "\n" not in str(error.value)
    left = read(csv(f"a,city\n1,{column}\n2,{column}\n"), Reading(leave_out=("city",)))
    assert left.column_names == ("a",)


def test_the_value_that_makes_it_text(csv):
    with pytest.raises(ValueError, match=r"columns a, b must hold numbers, got '\?' in row 2"):
        read(csv("a,b\n1,u\n?,v\n"))


def test_a_late_text_among_numbers(csv):
    """pandas reads in pieces: the first ones are numbers."""
    path = csv("a,label\n" + "1,2\n" * 300_000 + "1,other\n")
    y = read(path).y
    assert set(y) == {"2", "other"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        ("\n\n", "got an empty file"),
        ("a,b\n", "got a header alone"),
        ("a,b\n1,2\n3,4,5\n", "as many cells as the others, 2, got 3 in line 3"),
        ("a,b,c\n1,2,3\n3,4\n", "as many cells as the first, 3, got 2 in line 3"),
        ("a,b\n1,2,3,4\n1,2,3,4\n", "as many cells as its header, 2, got more"),
        ("label\ncat\n", "at least one column of numbers, got label"),
        ("a\0b", "zero bytes"),
    ],
)
def test_bad_tables(csv, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(csv(text))
    assert "a.csv" in str(error.value)


def test_missing_at_the_end_is_not_ragged(csv):
    for third in ("3", '"3"'):
        source = read(csv(f"a,b\n1,\n2,NA\n{third},\n4,5\n"))
        np.testing.assert_array_equal(source.x[:, 1], [np.nan, np.nan, np.nan, 5])


def test_trailing_separators(csv):
    source = read(csv("a,b,\n1,2,\n3,4,\n"))
    assert source.column_names == ("a", "b")
    assert "without a name" in source.said[0]
    source = read(csv("a,b\n1,2,\n3,4,\n"))
    assert source.x.tolist() == [[1, 2], [3, 4]]
    assert source.ids is None


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(label="kind"), "--label must name a column, got 'kind'; it has a, b, species"),
        (Reading(ids="who"), "--ids must name a column"),
        (Reading(text="body"), "--text must name a column"),
        (Reading(leave_out=("a", "z")), "--leave-out must name columns, got z"),
        (Reading(label="a", leave_out=("a",)), "--label and --leave-out must differ"),
        (Reading(layer="counts"), "--layer does not apply"),
        (Reading(image_size=(8, 8)), "--image-size does not apply"),
        (Reading(words=7), "--words needs --text"),
        (Reading(columns=("a", "c")), "lacks c; it has a, b, species"),
    ],
)
def test_bad_readings(csv, reading, message):
    with pytest.raises(ValueError, match=message):
        read(csv(PLAIN), reading)


def test_columns_of_a_model(csv):
    source = read(csv("c,b,city,a\n1,2,Paris,3\n"), Reading(columns=("a", "b")))
    assert source.x.tolist() == [[3, 2]]
    assert source.column_names == ("a", "b")
    assert "c, city" in source.said[0]


def test_examples_only(csv):
    reading = Reading(label="species", leave_out=("gone",), columns=("a", "b"))
    assert read(csv("b,a\n1,2\n"), reading, examples_only=True).x.tolist() == [[2, 1]]
    labelled = read(csv("b,a,species\n1,2,cat\n"), reading, examples_only=True)
    assert labelled.y.tolist() == ["cat"]


def test_latin_1(csv):
    source = read(csv("größe,label\n1,weiß\n", "latin-1"))
    assert source.column_names == ("größe",)
    assert source.y.tolist() == ["weiß"]
    assert "Latin-1" in source.said[0]


def test_texts_in_a_table(csv):
    text = 'id,body,label\n1,"red, red\nrose",a\n2,blue sky,b\n3,,a\n'
    source = read(csv(text), Reading(text="body", ids="id"))
    assert source.column_names == ("blue", "red", "rose", "sky")
    assert source.x.toarray().tolist() == [[0, 2, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    assert source.y.tolist() == ["a", "b", "a"]
    assert source.ids == ("1", "2", "3")
    assert source.kind == "counts"
    assert "1 of 3 documents has no word" in source.said[-1]
    known = read(csv(text), Reading(text="body", columns=("sky", "sea"), label="none"))
    assert known.x.toarray().tolist() == [[0, 0], [1, 0], [0, 0]]
    assert known.y is None


def test_parquet(tmp_path):
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None], dtype="Int64"),
            "b": [True, False],
            "kind": pd.Categorical(["mid", "low"], ["low", "mid", "high"], ordered=True),
        },
        index=pd.Index(["r1", "r2"], name="row"),
    )
    for name in ("a.parquet", "a.pq"):
        frame.to_parquet(tmp_path / name)
        source = read(tmp_path / name, Reading(label="kind"))
        np.testing.assert_array_equal(source.x, [[1, 1], [np.nan, 0]])
        assert source.ids == ("r1", "r2")
        assert source.y.tolist() == ["mid", "low"]
        assert source.label_names == ("low", "mid", "high")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"bad\.parquet is not a whole Parquet file"):
        read(tmp_path / "bad.parquet")


def test_parquet_with_lists_and_dates(tmp_path):
    pd.DataFrame({"a": [1.0], "vector": [[1.0, 2.0]]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="'vector' must hold numbers"):
        read(tmp_path / "a.parquet")
    pd.DataFrame({"a": [1.0], "day": pd.to_datetime(["2024-05-01"])}).to_parquet(
        tmp_path / "a.parquet"
    )
    with pytest.raises(ValueError, match="'day' must hold numbers, got '2024-05-01"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "package"), [("a.csv", "pandas"), ("a.parquet", "pandas"), ("b.parquet", "pyarrow")]
)
def test_a_missing_package(tmp_path, monkeypatch, name, package):
    written(tmp_path / name, PLAIN)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{name} needs {package}: pip install 'jaxvae\[tables\]'"
    with pytest.raises(ModuleNotFoundError, match=message):
        read(tmp_path / name)
