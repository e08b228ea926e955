"""Texts, MatrixMarket files and 10x's folders, and which reader a path gets."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from jaxvae.data.formats.registry import ENDINGS, read
from jaxvae.data.formats.source import Reading


def written(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def by_word(source, row):
    values = source.x.toarray()[row]
    return {w: int(n) for w, n in zip(source.column_names, values, strict=True) if n}


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "A.TXT"])
def test_a_document_a_line(tmp_path, name):
    source = read(written(tmp_path / name, "The cat; the DOG\n\n  \nA dog\r\n?\n"))
    assert by_word(source, 0) == {"the": 2, "cat": 1, "dog": 1}
    assert by_word(source, 1) == {"dog": 1}
    assert source.x.shape == (3, 3)
    assert source.x.format == "csr"
    assert source.x.dtype == np.float32
    assert source.kind == "counts"
    assert source.column_names == ("cat", "dog", "the")
    assert source.said[0] == "2 empty lines are left out."
    assert source.said[-1] == "1 of 3 documents has no word of it."


def test_which_words(tmp_path):
    lines = [f"common {'often' if i % 3 == 0 else 'mid'} once{i}" for i in range(30)]
    path = written(tmp_path / "a.txt", "\n".join(lines[:20]))
    assert read(path).column_names == ("often",)  # mid is in 13 of 20
    assert "at least 2 documents and at most half" in read(path).said[0]
    few = written(tmp_path / "b.txt", "\n".join(lines[:19]))
    assert len(read(few).column_names) == 22
    alike = read(written(tmp_path / "c.txt", "same words\n" * 20))
    assert alike.column_names == ("same", "words")
    many = read(written(tmp_path / "d.txt", "bb cc dd\nbb cc\nbb\n"), Reading(words=2))
    assert many.column_names == ("bb", "cc")
    known = read(few, Reading(columns=("zebra", "often")))
    assert known.column_names == ("zebra", "often")
    assert by_word(known, 0) == {"often": 1}


HAN = ("我们", "今天", "天气", "很好", "股票", "市场", "下跌", "银行")
KANA = ("すし", "ねこ", "いぬ", "やま", "かわ", "そら")


def texts_of(words, rows, length, between):
    rng = np.random.default_rng(0)
    return "\n".join(between.join(rng.choice(words, length)) for _ in range(rows))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (texts_of(HAN, 40, 12, ""), ["No word comes in two texts.", "as in Chinese or Japanese"]),
        (texts_of(KANA[:3], 40, 3, ""), ["as in Chinese or Japanese"]),
        (texts_of(["abc", "def", "xyz"], 40, 9, ""), ["No word comes in two texts."]),
        (texts_of(HAN, 40, 12, " "), []),
        (texts_of(KANA, 40, 2, " "), []),
        (texts_of(["Rindfleisch", "Donaudampfer"], 40, 2, " "), []),
    ],
)
def test_texts_without_spaces_are_told_of(tmp_path, text, said):
    told = " ".join(read(written(tmp_path / "a.txt", text)).said)
    assert all(words in told for words in said)
    assert ("must be cut into words first" in told) == bool(said)


def test_one_line_is_one(tmp_path):
    source = read(written(tmp_path / "a.txt", "a cat\n\na dog\n"))
    assert source.said[0] == "1 empty line is left out."
    written(tmp_path / "texts" / "a.txt", "caf\xe9", "latin-1")
    written(tmp_path / "texts" / "b.txt", "tea")
    written(tmp_path / "texts" / "b.md", "tea")
    source = read(tmp_path / "texts")
    assert source.said[:2] == (
        "1 other file is left out.",
        "1 file is not UTF-8: it is read as Latin-1.",
    )


def test_encodings(tmp_path):
    assert read(written(tmp_path / "a.txt", "süß süß", "utf-8-sig")).column_names == ("süß",)
    latin = read(written(tmp_path / "b.txt", "süß süß", "latin-1"))
    assert latin.column_names == ("süß",)
    assert "Latin-1" in latin.said[0]


@pytest.mark.parametrize(
    ("text", "message"), [("", "at least one line"), (" \n\n", "at least"), ("?\n!", "two or more")]
)
def test_bad_texts(tmp_path, text, message):
    with pytest.raises(ValueError, match=rf"a\.txt: .*{message}"):
        read(written(tmp_path / "a.txt", text))
    with pytest.raises(ValueError, match="--label does not apply"):
        read(tmp_path / "a.txt", Reading(label="a"))


def test_a_table_that_is_called_text(tmp_path):
    np.savetxt(tmp_path / "a.txt", np.random.default_rng(0).random((3, 2)))
    assert "numbers" in read(tmp_path / "a.txt").said[0]


def test_a_damaged_text(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"words " * 999)[:-9])
    with pytest.raises(ValueError, match=r"a\.txt\.gz is not a whole gzipped text"):
        read(tmp_path / "a.txt.gz")


def test_folders_of_texts(tmp_path):
    written(tmp_path / "plain" / "1.txt", "red rose\nred")
    written(tmp_path / "plain" / "2.txt", "blue sky")
    source = read(tmp_path / "plain")
    assert by_word(source, 0) == {"red": 2, "rose": 1}
    assert source.ids == ("1.txt", "2.txt")
    assert source.y is None
    for part, words in (("train", "old words"), ("test", "new words")):
        for label in ("pos", "neg"):
            written(tmp_path / "split" / part / label / "1.txt", f"{words} {label}")
    source = read(tmp_path / "split")
    assert source.label_names == ("neg", "pos")
    assert source.y.tolist() == source.y_test.tolist() == ["neg", "pos"]
    assert source.column_names == ("neg", "old", "pos", "words")
    assert source.x_test.toarray().tolist() == [[1, 0, 0, 1], [0, 0, 1, 1]]
    assert read(tmp_path / "split", Reading(label="none")).y is None


COUNTS = scipy.sparse.csr_array(np.array([[0, 2, 1], [3, 0, 0]]))


@pytest.mark.parametrize("name", ["a.mtx", "a.mtx.gz"])
def test_matrix_market(tmp_path, name):
    path = tmp_path / name
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        scipy.io.mmwrite(file, COUNTS)
    source = read(path)
    assert source.x.format == "csr"
    assert source.x.dtype == np.float32
    np.testing.assert_array_equal(source.x.toarray(), COUNTS.toarray())
    assert (source.kind, source.column_names, source.ids) == ("counts", None, None)
    assert read(path, Reading(columns=("a", "b", "c"))).column_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="must have the 1 that the model knows"):
        read(path, Reading(columns=("a",)))
    with pytest.raises(ValueError, match="--leave-out does not apply"):
        read(path, Reading(leave_out=("a",)))


def test_matrix_market_that_is_dense_or_no_counts(tmp_path):
    scipy.io.mmwrite(tmp_path / "a.mtx", np.array([[0.5, 2], [3, 4]]))
    source = read(tmp_path / "a.mtx")
    np.testing.assert_array_equal(source.x, [[0.5, 2], [3, 4]])
    assert source.kind == "table"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n",
        "%%MatrixMarket matrix coordinate real general\n2 2 1\n9 9 1\n",
        "%%MatrixMarket matrix coordinate real general\n2 2 99999999999\n1 1 1\n",
        "%%MatrixMarket matrix array real general\n999999 999999\n1\n",
        "%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 1 1 1\n",
        "%%MatrixMarket matrix coordinate real general\n0 2 0\n",
    ],
)
def test_damaged_matrix_market(tmp_path, text):
    for name in ("bad.mtx", "bad.mtx.gz"):
        with pytest.raises(ValueError, match=rf"{name} is not a whole MatrixMarket file") as error:
            read(written(tmp_path / name, text))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("last", ["1", "1E", "1\x18"])
def test_matrix_market_without_a_last_new_line(tmp_path, last):
    """SciPy's reader reads on beyond the end of such a number, which can end the process."""
    head = "%%MatrixMarket matrix coordinate real general"
    source = read(written(tmp_path / "a.mtx", f"{head}\n2 2 2\n1 1 1\n2 2 {last}"))
    assert source.x.toarray().tolist() == [[1, 0], [0, 1]]


GENES = "ENSG1\tCD4\tGene Expression\nENSG2\tCD4\tGene Expression\n"
CELLS = "AAA-1\nCCC-1\nGGG-1\n"


def ten_x(folder, matrix, start="", ending="", features="features", genes=GENES):
    written(folder / f"{start}barcodes.tsv{ending}", CELLS)
    written(folder / f"{start}{features}.tsv{ending}", genes)
    path = folder / f"{start}matrix.mtx{ending}"
    with (gzip.open if ending else open)(path, "wb") as file:
        scipy.io.mmwrite(file, scipy.sparse.coo_array(matrix))
    return path


@pytest.mark.parametrize(
    ("start", "ending", "features"),
    [("", ".gz", "features"), ("", "", "genes"), ("GSM1_", ".gz", "features")],
)
def test_a_folder_of_10x(tmp_path, start, ending, features):
    path = ten_x(tmp_path, COUNTS, start, ending, features)
    for own in (tmp_path, path):
        source = read(own)
        assert source.x.format == "csr"
        np.testing.assert_array_equal(source.x.toarray(), COUNTS.toarray().T)
        assert source.column_names == ("CD4", "CD4-1")
        assert source.ids == ("AAA-1", "CCC-1", "GGG-1")
        assert source.kind == "counts"
        assert "transposed" in source.said[0]
    picked = read(tmp_path, Reading(columns=("CD4-1",)))
    np.testing.assert_array_equal(picked.x.toarray(), COUNTS.toarray()[1:].T)


def test_10x_with_proteins_turned_or_not_fitting(tmp_path):
    genes = GENES.replace("ENSG2\tCD4\tGene Expression", "CD3\tCD3\tAntibody Capture")
    ten_x(tmp_path / "a", COUNTS, genes=genes)
    source = read(tmp_path / "a")
    assert source.column_names == ("CD4",)
    assert "Antibody Capture" in source.said[1]
    ten_x(tmp_path / "b", COUNTS.T)
    assert read(tmp_path / "b").x.shape == (3, 2)
    ten_x(tmp_path / "c", np.eye(5))
    with pytest.raises(ValueError, match=r"got the shape \(5, 5\), and names: 2 in features"):
        read(tmp_path / "c")
    ten_x(tmp_path / "a", COUNTS, "other_")
    with pytest.raises(ValueError, match=r"must hold one \.mtx, got"):
        read(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.xlsx", "save it as CSV"),
        ("a.pkl", r"run code.*np\.savez"),
        ("a.pth", "run code"),
        ("a.mat", "loadmat"),
        ("a.h5", "h5py"),
        ("a.json", "read_json"),
        ("a.json.gz", "read_json"),
        ("a.feather", "to_parquet"),
        ("a.tar.gz", "unpack"),
        ("a.zip", "unpack"),
        ("a.what", "or be a folder$"),
        ("a", "or be a folder$"),
    ],
)
def test_other_endings(tmp_path, name, hint):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=hint) as error:
        read(tmp_path / name)
    assert all(ending in str(error.value) for ending in ENDINGS)
    assert name in str(error.value)


def test_other_paths(tmp_path):
    for name in ("gone.csv", "gone"):
        with pytest.raises(FileNotFoundError, match="existing file or folder"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=r"must hold pictures.*got no file"):
        read(tmp_path)
    written(tmp_path / "a.csv", "a\n1\n")
    with pytest.raises(ValueError, match=r"give one of its files: a\.csv"):
        read(str(tmp_path))
    written(tmp_path / "README.txt", "about a.csv")
    with pytest.raises(ValueError, match=r"give one of its files: a\.csv"):
        read(tmp_path)


def test_readings_that_are_no_readings():
    with pytest.raises(TypeError, match="leave_out must be a tuple"):
        Reading(leave_out="a")
    with pytest.raises(TypeError, match="columns must be a tuple"):
        Reading(columns="a")
    for words in (0, 1.5, True):
        with pytest.raises(ValueError, match="words must be an integer"):
            Reading(words=words)


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, jaxvae\n"
        "from jaxvae.data.formats import registry, image_stream, frames\n"
        "own = ('pandas', 'pyarrow', 'anndata', 'PIL.Image', 'sklearn', 'polars')\n"
        "found = [name for name in own if name in sys.modules]\n"
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
