"""What a topic model is given: documents as counts, covariates, labels, seed words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse

from jaxvae.data import fields
from jaxvae.data.examples import is_stream
from jaxvae.data.sparse import is_sparse
from jaxvae.numerics import checks

TEXTS = (
    "{name} must be counts [N, V], got texts: make_pipeline(CountVectorizer(), TopicModel()) "
    "counts their words"
)


def is_batches(X: Any) -> bool:
    """Whether X gives its documents batch by batch.

    Args:
      X: what a method was given.

    Returns:
      True for an iterable or a function that is no matrix by itself; so for a list of matrices.
    """
    if isinstance(X, list | tuple):
        return bool(X) and (fields.is_annotated(X[0]) or getattr(X[0], "ndim", 0) == 2)
    return is_stream(X)


def annotated(X: Any) -> tuple[Any, np.ndarray | None]:
    """The matrix of an AnnData and its columns' names; anything else as it is.

    Args:
      X: what a method was given.

    Returns:
      The matrix, and names [V] or None.
    """
    if not fields.is_annotated(X):
        return X, None
    return X.X, np.asarray(X.var_names, dtype=object)


def refuse_texts(name: str, X: Any) -> None:
    """Refuse documents that are still texts.

    Args:
      name: of the argument.
      X: what was given.

    Raises:
      TypeError: if X is a text or holds texts.
    """
    rows: Any = X
    if not isinstance(X, str | bytes):
        is_plain = hasattr(X, "__len__") and hasattr(X, "__getitem__") and not is_sparse(X)
        rows = X[:1] if is_plain and not isinstance(X, Mapping) else ()
    values = np.asarray(rows, dtype=object).ravel()
    if len(values) and isinstance(values[0], str | bytes):
        raise TypeError(TEXTS.format(name=name))


def check_counts(name: str, rows: Any) -> Any:
    """Counts as compressed rows.

    Args:
      name: of the argument.
      rows: a matrix [N, V] of finite numbers, sparse or not.

    Returns:
      CSR [N, V], float32, no entry for a zero.

    Raises:
      ValueError: if a number is negative or no integer.
    """
    sparse = scipy.sparse.csr_array(rows)
    wrong = sparse.data[(sparse.data < 0) | (sparse.data != np.floor(sparse.data))]
    if wrong.size:
        hint = ""
        if not (wrong < 0).any():
            hint = "; logarithms, shares and tf-idf weights are none: give what they were made of"
        raise ValueError(f"{name} must hold counts, integers of at least 0, got {wrong[0]:g}{hint}")
    sparse = sparse.astype(np.float32)
    if (sparse.data == 0).any():
        sparse = sparse.copy()
        sparse.eliminate_zeros()
    return sparse


def covariate_columns(covariates: Any, known: Any) -> tuple[np.ndarray, Any]:
    """Covariates as numbers: a column of texts becomes a column for each of its values.

    Args:
      covariates: [N] or [N, C], numbers or texts; a frame of both.
      known: what this gave for the documents that were fitted, or None.

    Returns:
      float32 [N, C'], and what is known of the columns from now on.

    Raises:
      ValueError: if a value is not finite, or a text was not there before.
    """
    columns = _columns(covariates)
    if known is None:
        known = [None if _is_number(column) else sorted({*column.tolist()}) for column in columns]
    if len(known) != len(columns):
        raise ValueError(f"covariates must have {len(known)} columns, got {len(columns)}")
    parts = []
    for i, (column, values) in enumerate(zip(columns, known, strict=True)):
        if values is None:
            if not _is_number(column):
                raise ValueError(f"covariates must hold numbers in column {i}, got {column[0]!r}")
            parts.append(checks.data_array("covariates", column[:, None]))
            continue
        new = sorted({*column.tolist()} - {*values})
        if new:
            raise ValueError(f"covariates must be of {values} in column {i}, got {new[0]!r}")
        parts.append((column[:, None] == np.array(values, dtype=object)[None]).astype(np.float32))
    return np.concatenate(parts, axis=1), known


def _columns(covariates: Any) -> list[np.ndarray]:
    if hasattr(covariates, "iloc"):  # a frame or series of pandas'
        frame = covariates.to_frame() if covariates.ndim == 1 else covariates
        return [frame.iloc[:, i].to_numpy() for i in range(frame.shape[1])]
    array = np.asarray(covariates)
    if array.ndim not in (1, 2):
        raise ValueError(f"covariates must have the shape [N] or [N, C], got {array.shape}")
    array = array[:, None] if array.ndim == 1 else array
    return [array[:, i] for i in range(array.shape[1])]


def _is_number(column: np.ndarray) -> bool:
    return column.dtype.kind in "biuf"


def seed_log_odds(
    seed_words: Any, features: np.ndarray | None, shape: tuple[int, int], weight: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Seed words as what is added to the topics' logits.

    Args:
      seed_words: a list of words, or of column numbers, for each of the first topics; or a
        mapping from the names of topics to such lists.
      features: the names of the columns, or None.
      shape: (K, V).
      weight: how many times likelier a topic makes its seed words, in the prior.

    Returns:
      float32 [K, V], log(weight) at the seed words, and the names of the first topics.

    Raises:
      ValueError: if a word is not in the vocabulary or there are more lists than topics.
    """
    named = seed_words.items() if isinstance(seed_words, Mapping) else enumerate(seed_words)
    lists = [(str(name), words) for name, words in named]
    topics, width = shape
    if len(lists) > topics:
        raise ValueError(f"seed_words must be of at most {topics} topics, got {len(lists)}")
    places = {} if features is None else {str(name): i for i, name in enumerate(features)}
    odds = np.zeros(shape, np.float32)
    for topic, (_, words) in enumerate(lists):
        if isinstance(words, str):
            raise ValueError(f"seed_words must hold lists of words, got {words!r}")
        for word in words:
            if isinstance(word, str):
                place = places.get(word)
                if place is None:
                    why = "" if places else ", and X has no names of columns"
                    raise ValueError(f"seed_words must be in the vocabulary, got {word!r}{why}")
            else:
                place = int(word)
                if not 0 <= place < width:
                    raise ValueError(f"seed_words must be columns from 0 to {width - 1}, "
                                     f"got {word}")  # fmt: skip
            odds[topic, place] = np.log(weight)
    names = tuple(n for n, _ in lists) if isinstance(seed_words, Mapping) else ()
    return odds, names
