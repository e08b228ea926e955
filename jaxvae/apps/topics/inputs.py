"""What a topic model is given: documents as counts, names of words, seed words, a start."""

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils.validation import _get_feature_names, check_array

from jaxvae.data import fields
from jaxvae.data.examples import is_stream
from jaxvae.data.sparse import is_sparse, summed
from jaxvae.numerics import checks

MOST = 2**53  # beyond it float64 leaves integers out
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
        first = X[0] if X else None
        return _is_matrix(first[0] if isinstance(first, tuple) and first else first)
    return is_stream(X)


def batches_of(X: Any) -> Iterator[tuple[str, Any]]:
    """The batches of a source, once.

    Args:
      X: an iterable of batches, or a function that returns one.

    Yields:
      What a batch is called in an error, and the batch.

    Raises:
      TypeError: if there are no batches, or one is more than a matrix.
    """
    given = X() if callable(X) else X
    if _is_matrix(given) or not hasattr(given, "__iter__"):
        raise TypeError(
            "X must give batches of counts, each [N, V], and a function must return an iterable of "
            f"them, as iter([batch]), got {_shown(given)}"
        )
    for number, batch in enumerate(given):
        name = f"batch {number} of X"
        if isinstance(batch, tuple | Mapping):
            raise TypeError(
                f"{name} must be counts [N, V] alone, got {type(batch).__name__}: labels, weights "
                "and covariates go with documents in memory"
            )
        yield name, batch


def read_batches(X: Any, width: int | None = None, names: Any = None) -> Iterator[tuple[Any, Any]]:
    """The batches of a source as checked counts, once.

    Args:
      X: an iterable of batches, or a function that returns one.
      width: V; None: that of the first batch.
      names: of the variables [V], which batches that have names must have too; None beside a width
        of None: those of the first batch.

    Yields:
      CSR [N, V], as of `to_learn`; and the names of the variables, or None.

    Raises:
      ValueError, TypeError: if a batch is no matrix of counts of these variables.
    """
    for name, batch in batches_of(X):
        matrix, own = annotated(batch, name)
        refuse_texts(name, matrix)
        shape = matrix.shape if hasattr(matrix, "shape") else np.shape(matrix)
        if len(shape) != 2:
            raise ValueError(f"{name} must be counts [N, V], got {_shown(matrix)}")
        own = column_names(batch) if own is None else own
        if width is None:
            width, names = shape[1], own
        check_names(name, own, names)
        if shape[1] != width:
            raise ValueError(f"{name} must have {width} columns, got {shape[1]}")
        rows = check_array(
            matrix, accept_sparse="csr", dtype="numeric", ensure_min_samples=0, input_name=name
        )
        yield to_learn(name, rows), names


def refuse_beside_batches(**arguments: Any) -> None:
    """Refuse what goes with documents in memory alone.

    Args:
      **arguments: what was given beside batches, by its name.

    Raises:
      ValueError: if one is not None.
    """
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must be None where X gives batches, got {_shown(value)}")


def column_names(X: Any) -> np.ndarray | None:
    """The names of the columns of a frame, as scikit-learn finds them.

    Args:
      X: what a method was given.

    Returns:
      Names [V], or None where they are not all texts.

    Raises:
      TypeError: if some are texts and others are not.
    """
    return _get_feature_names(X)


def check_names(name: str, names: Any, fitted: Any) -> None:
    """Refuse columns of other names, or in another order, than those that a model knows.

    Args:
      name: of the argument.
      names: those that were given [V], or None.
      fitted: those known [V], or None.

    Raises:
      ValueError: if both are there and differ.
    """
    if names is None or fitted is None or (found := list(names)) == (known := list(fitted)):
        return
    differ = (pair for pair in zip(found, known, strict=False) if pair[0] != pair[1])
    own, other = next(differ, (f"{len(found)} of them", f"{len(known)}"))
    raise ValueError(
        f"{name} must have the variables that were fitted, in their order, got {own!r} where "
        f"{other!r} was"
    )


def _is_matrix(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    return fields.is_annotated(value) or (isinstance(shape, tuple) and len(shape) == 2)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"{value!r:.80}" if shape is None else f"{type(value).__name__} of the shape {shape}"


def annotated(X: Any, name: str = "X") -> tuple[Any, np.ndarray | None]:
    """The matrix of an AnnData and its columns' names; anything else without names.

    Args:
      X: what a method was given.
      name: of the argument.

    Returns:
      The matrix: that of a file which is open, read; a sparse one as compressed rows, its entries
      for one place summed. And names [V], or None.

    Raises:
      ValueError: if an AnnData has no matrix.
    """
    names = None
    if fields.is_annotated(X):
        X, names = X.X, np.asarray(X.var_names, dtype=object)
        if X is None:
            raise ValueError(f"{name} must be an AnnData with a matrix X of counts, got None there")
        X = X.to_memory() if hasattr(X, "to_memory") else X
    return (summed(X) if is_sparse(X) else X), names


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


def check_counts(name: str, matrix: Any) -> Any:
    """Counts as compressed rows, sorted, one entry for each word that a document has.

    Args:
      name: of the argument.
      matrix: real numbers [N, V], sparse in any of SciPy's formats, or an array.

    Returns:
      CSR [N, V] of the matrix's dtype, or of one that holds it all where SciPy has no such, or
      where a sum has no room in it. The caller's own is left as it is, and shared where it is so
      already.

    Raises:
      ValueError: if a number is negative, not finite or no integer.

    Example:
      >>> check_counts("X", np.array([[0, 2], [1, 0]], np.float16)).data.tolist()
      [2.0, 1.0]
    """
    if not is_sparse(matrix):  # SciPy takes no floats below 32 bits, and one order of bytes
        small = matrix.dtype.kind not in "biu" and matrix.dtype.itemsize < 4
        dtype = np.float32 if small else matrix.dtype.newbyteorder("=")
        matrix = scipy.sparse.csr_array(matrix.astype(dtype, copy=False))
    rows = scipy.sparse.csr_array(summed(matrix))
    if not rows.data.all():
        rows = rows.copy()  # it may share the caller's arrays
        rows.eliminate_zeros()
    bad = ~(rows.data > 0) | (rows.data != np.floor(rows.data)) | ~np.isfinite(rows.data)
    if bad.any():
        entry = int(np.argmax(bad))
        place = int(np.searchsorted(rows.indptr, entry, "right")) - 1, int(rows.indices[entry])
        hint = ""
        if (rows.data > 0).all():
            hint = "; logarithms, shares and tf-idf weights are none: give what they were made of"
        raise ValueError(
            f"{name} must hold counts, integers of at least 0, got {rows.data[entry]} at index "
            f"{place}{hint}"
        )
    return rows


def to_learn(name: str, matrix: Any) -> Any:
    """Counts as a model takes them.

    Args:
      name: of the argument.
      matrix: real numbers [N, V], sparse or an array.

    Returns:
      As of `check_counts`, float32.

    Raises:
      ValueError: as there; or if a number is beyond 2**53.
    """
    rows = check_counts(name, matrix)
    if (rows.data > MOST).any():
        raise ValueError(f"{name} must hold counts of at most 2**53, got {rows.data.max():g}")
    return rows.astype(np.float32)


def seed_lists(seed_words: Any) -> tuple[tuple[str | None, tuple[Any, ...]], ...] | None:
    """Seed words in one form.

    Args:
      seed_words: a list of words, or of column numbers, for each of the first topics; or a
        mapping from the names of topics to such lists; or None.

    Returns:
      For each topic its name, None where it has none, and its words: texts and integers. None for
      None.

    Raises:
      ValueError, TypeError: if they are no such lists.
    """
    if seed_words is None:
        return None
    # What can be read once alone would be empty for the next fit.
    if isinstance(seed_words, str | bytes | Iterator) or not isinstance(seed_words, Iterable):
        raise TypeError(
            "seed_words must be a list of lists of words, or a mapping from names to such lists, "
            f"got {seed_words!r:.80}"
        )
    pairs: Iterable[tuple[Any, Any]] = ((None, words) for words in seed_words)
    if named := isinstance(seed_words, Mapping):
        pairs = seed_words.items()
    found = []
    for name, words in pairs:
        if isinstance(words, str | bytes) or not isinstance(words, Iterable):
            raise ValueError(f"seed_words must hold lists of words, got {words!r:.80}")
        own = tuple(word if isinstance(word, str) else _column(word) for word in words)
        found.append((str(name) if named else None, own))
    return tuple(found)


def _column(word: Any) -> int:
    try:
        if isinstance(word, bool | np.bool_):
            raise TypeError
        return operator.index(word)
    except TypeError:
        raise TypeError(
            f"seed_words must hold words or numbers of columns, got {word!r:.80}"
        ) from None


def seed_log_odds(
    seeds: Any, features: np.ndarray | None, shape: tuple[int, int], weight: float
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Seed words as what is added to the topics' logits.

    Args:
      seeds: as `seed_lists` gives them.
      features: the names of the columns, or None.
      shape: (K, V).
      weight: how many times likelier a topic makes its seed words, in the prior.

    Returns:
      float32 [K, V], log(weight) at the seed words, and the names of the first topics.

    Raises:
      ValueError: if a word is not in the vocabulary or there are more lists than topics.
    """
    topics, width = shape
    if len(seeds) > topics:
        raise ValueError(f"seed_words must be of at most {topics} topics, got {len(seeds)}")
    places = {} if features is None else {str(name): i for i, name in enumerate(features)}
    odds = np.zeros(shape, np.float32)
    for topic, (_, words) in enumerate(seeds):
        for word in words:
            place = places.get(word) if isinstance(word, str) else word
            if place is None:
                why = "" if places else ", and X has no names of columns"
                raise ValueError(f"seed_words must be in the vocabulary, got {word!r}{why}")
            if not 0 <= place < width:
                raise ValueError(f"seed_words must be columns from 0 to {width - 1}, got {place}")
            odds[topic, place] = np.log(weight)
    return odds, tuple(name for name, _ in seeds if name is not None)


def start_words(init: Any, shape: tuple[int, int]) -> np.ndarray:
    """Weights of the words at which topics start.

    Args:
      init: weights [K, V].
      shape: (K, V).

    Returns:
      float64 [K, V].

    Raises:
      ValueError, TypeError: if they are of another shape, negative, or all zero in a row.
    """
    words = checks.data_array("init", init)
    if words.shape != shape:
        raise ValueError(f"init must have the shape {shape}, got {words.shape}")
    if words.min() < 0:
        raise ValueError(f"init must be at least 0, got {words.min()}")
    if not (some := words.any(axis=1)).all():
        raise ValueError(
            f"init must have a weight above 0 in each row, got none in row {int(some.argmin())}"
        )
    return words.astype(np.float64)
