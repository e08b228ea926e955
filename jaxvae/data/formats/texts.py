"""Texts as counts of words: a document a line, a file a document, or a column of a table."""

import gzip
import io
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae._output import counted
from jaxvae.data.formats.source import Reading, Source, label_strings, needed, refuse_unused
from jaxvae.data.formats.trees import Tree, scan

ENOUGH = 20  # documents; of fewer every word is kept
RAREST, COMMONEST = 2, 0.5  # a word is in so many documents at least, in this share at most
ENDINGS = (".txt", ".txt.gz")
# Thai, Lao, Burmese, Khmer, kana, Han: scripts of languages that put no spaces between words.
UNSPACED = re.compile(
    "[\u0e01-\u0e2e\u0e81-\u0eae\u1000-\u102a\u1780-\u17b3\u3041-\u30fa\u3400-\u9fff]"
)
SOME, MOST_READ = 100, 100_000  # texts, letters that are looked at for it
LONG = 4  # letters of a word, in the mean, above which these are no words
NUMBERS = re.compile(r"[\s\d.,;eE+-]+")  # a line of a table


def read_text(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A file of documents, one a line.

    Args:
      path: a `.txt`, gzipped or not.
      reading: its `words` and `columns` (the vocabulary) count.
      examples_only: has no effect: there are no labels.

    Returns:
      The counts of words, as `count_words` makes them.

    Raises:
      ValueError: if there is no line or no word in it.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.txt")
      >>> written = path.write_text("the cat sat\\n\\nthe dog, the cat\\n")
      >>> source = read_text(path, Reading())
      >>> source.column_names, source.x.toarray().tolist()
      (('cat', 'dog', 'sat', 'the'), [[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 2.0]])
    """
    refuse_unused(str(path), reading, ("words", "columns"))
    said = []
    text, latin = _decoded(path)
    if latin:
        said.append(f"{path.name} is not UTF-8: it is read as Latin-1.")
    lines = list(io.StringIO(text, newline=None))
    documents = [line for line in lines if line.strip()]
    if not documents:
        raise ValueError(f"{path}: it must hold at least one line with a text, got none")
    if len(documents) < len(lines):
        empty = len(lines) - len(documents)
        said.append(f"{counted(empty, 'empty line')} {'is' if empty == 1 else 'are'} left out.")
    if all(NUMBERS.fullmatch(line) for line in documents[:ENOUGH]):
        said.append("Its lines hold numbers, taken for words here; a table is read from a .csv.")
    counts, words, more = count_words(str(path), documents, reading)
    return Source(counts, column_names=words, kind="counts", said=(*said, *more))


def read_text_folder(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A folder of `.txt` files, each a document; its sub-folders are the labels.

    Args:
      path: the folder; `train` and `test` in it are the split. The vocabulary is that of train.
      reading: its `words` and `columns` (the vocabulary) count.
      examples_only: files that lie beside the sub-folders have no label, and are no error.

    Returns:
      The counts of words, as `count_words` makes them; the ids are the files' names.

    Raises:
      ValueError: if there is no file, or no word in any.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("good", "bad"):
      ...     (folder / name).mkdir()
      ...     written = (folder / name / "1.txt").write_text(f"a {name} film")
      >>> source = read_text_folder(folder, Reading())
      >>> source.label_names, source.column_names, source.ids
      (('bad', 'good'), ('bad', 'film', 'good'), ('bad/1.txt', 'good/1.txt'))
    """
    refuse_unused(str(path), reading, ("words", "columns"))
    tree = scan(path, ENDINGS, "texts", loose_labels=examples_only)
    if reading.label is not None:
        tree = tree.without_labels()
    said = list(tree.said)
    latin = 0
    parts: list[list[str]] = []
    for files in (tree.train, tree.test):
        texts = []
        for file in files:
            text, was_latin = _decoded(file.path)
            latin += was_latin
            texts.append(text)
        parts.append(texts)
    if latin:
        they = "is not UTF-8: it is" if latin == 1 else "are not UTF-8: they are"
        said.append(f"{counted(latin, 'file')} {they} read as Latin-1.")
    counts, words, more = count_words(str(path), parts[0], reading)
    x_test = None
    if parts[1]:
        known = Reading(columns=words)
        x_test, _, of_test = count_words(f"{path} (test)", parts[1], known)
        more = (*more, *(f"Of test: {sentence}" for sentence in of_test))
    y, y_test = labels_of(tree)
    return Source(
        counts,
        y,
        x_test,
        y_test,
        column_names=words,
        label_names=tree.label_names,
        ids=tuple(file.id for file in tree.train),
        kind="counts",
        said=(*said, *more),
    )


def labels_of(tree: Tree) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The labels of a folder's files.

    Args:
      tree: of `scan`.

    Returns:
      Those of train and of test [N], missing ones None; None where there are no labels or files.

    Example:
      >>> labels_of(Tree((), (), None, ()))
      (None, None)
    """
    if tree.label_names is None:
        return None, None
    y = label_strings(file.label for file in tree.train)
    return y, label_strings(file.label for file in tree.test) if tree.test else None


def count_words(
    where: str, texts: Sequence[str], reading: Reading
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Count the words of documents.

    Words are of two or more letters or digits, in lower case. There is no list of stop words: such
    a list is of one language, and which words say nothing depends on the texts. Instead, of 20
    documents or more, a word in just one says nothing about the others, and one in more than half
    of them tells little: both are left out.

    Args:
      where: what the texts are called in errors.
      texts: N documents.
      reading: its `words` and `columns` count: at most so many words, the most frequent; or exactly
        these.

    Returns:
      The counts, a CSR [N, D] of float32; the vocabulary, sorted unless it was given; and sentences
      for the user. A document without a known word keeps its row.

    Raises:
      ValueError: if there is no word.

    Example:
      >>> counts, words, said = count_words("a.txt", ["Red, red rose", "?"], Reading())
      >>> words, counts.toarray().tolist(), said[1]
      (('red', 'rose'), [[2.0, 1.0], [0.0, 0.0]], '1 of 2 documents has no word of it.')
    """
    vectorizer = needed("sklearn.feature_extraction.text", where).CountVectorizer
    enough = len(texts) >= ENOUGH
    if reading.columns is not None:
        counter = vectorizer(vocabulary=list(reading.columns), dtype=np.float32)
        counts = counter.transform(texts)
        said = [f"The vocabulary is the model's: {len(reading.columns)} words."]
    else:
        pruning = {"min_df": RAREST, "max_df": COMMONEST} if enough else {}
        why = f"in at least {RAREST} documents and at most half of them" if enough else "all"
        try:
            counter = vectorizer(max_features=reading.words, dtype=np.float32, **pruning)
            counts = counter.fit_transform(texts)
        except ValueError:  # no word is left
            try:
                counter = vectorizer(max_features=reading.words, dtype=np.float32)
                counts = counter.fit_transform(texts)
            except ValueError:
                raise ValueError(
                    f"{where}: its texts must hold words of two or more letters, got "
                    f"{len(texts)} without any"
                ) from None
            why = "all, for none is in several documents and in at most half of them"
        found = len(counter.vocabulary_)
        most = f", the {found} most frequent of them" if found == reading.words else ""
        said = [f"The vocabulary has {found} words: {why}{most}; no list of stop words is used."]
        alone = enough and bool((counts.astype(bool).sum(axis=0) <= 1).all())
        if alone or _without_spaces(texts, list(counter.vocabulary_)):
            said.append(
                f"{'No word comes in two texts. ' if alone else ''}Words are what stands between "
                "spaces and marks: texts that are written without spaces, as in Chinese or "
                "Japanese, must be cut into words first."
            )
    words = tuple(map(str, counter.get_feature_names_out()))
    empty = int((np.diff(counts.indptr) == 0).sum())
    if empty:
        have = "has" if empty == 1 else "have"
        said.append(f"{empty} of {len(texts)} documents {have} no word of it.")
    return needed("scipy.sparse", where).csr_array(counts), words, tuple(said)


def _without_spaces(texts: Sequence[str], words: Sequence[str]) -> bool:
    """Whether texts are of a script that knows no spaces, and what is taken for words is long."""
    some = "".join(texts[i] for i in range(0, len(texts), max(1, len(texts) // SOME)))[:MOST_READ]
    letters = sum(map(str.isalpha, some))
    few = 2 * len(UNSPACED.findall(some)) <= letters
    return not few and sum(map(len, words)) > LONG * len(words)


def _decoded(path: str | os.PathLike) -> tuple[str, bool]:
    """The text of a file, and whether it had to be read as Latin-1."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzipped text: {error}") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace"), False
    try:
        return content.decode("utf-8-sig"), False
    except UnicodeDecodeError:
        return content.decode("latin-1"), True
