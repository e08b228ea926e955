"""How well a topic model predicts unseen words, and how well its topics agree with labels."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from jaxvae._door import door
from jaxvae.apps.topics import inputs
from jaxvae.data.labels import encode_together
from jaxvae.data.sparse import is_sparse
from jaxvae.numerics import checks

LEAST = 1e-12  # what a word of probability zero counts with, or one of them makes all infinite
FOLDS, NEIGHBOURS = 4, 5
MOST_TOKENS = 10**9 - 1  # that NumPy's hypergeometric draws from


@door("topics")
class Completion(NamedTuple):
    """Documents to train on, and documents to judge by, each of these cut in two.

    Attributes:
      train: the rows of the training documents, in order.
      test: the rows of the test documents, in order.
      seen: what a model may see of the test documents, CSR [test documents, V].
      unseen: what it must predict, CSR [test documents, V].

    Example:
      >>> parts = document_completion(np.ones((20, 6), int), test=0.5)
      >>> parts.seen.shape, int(parts.seen.sum()), int(parts.unseen.sum())
      ((10, 6), 30, 30)
    """

    train: np.ndarray
    test: np.ndarray
    seen: Any
    unseen: Any


@door("topics")
class Agreement(NamedTuple):
    """How well topics agree with labels that the model has not seen.

    Attributes:
      adjusted_rand_index: of largest topic and label: 1 at best, about 0 by chance.
      normalized_mutual_information: of largest topic and label: 1 at best, 0 at worst.
      nearest_neighbour_accuracy: how often the five nearest documents tell the label; None where
        a label has too few documents.

    Example:
      >>> Agreement(0.5, 0.6, None).adjusted_rand_index
      0.5
    """

    adjusted_rand_index: float
    normalized_mutual_information: float
    nearest_neighbour_accuracy: float | None


def document_completion(counts: Any, *, test: float = 0.1, random_state: int = 0) -> Completion:
    """Hold documents out, and cut each of them in two: what a model sees, and what it predicts.

    The seen half are floor(n / 2) of the document's n tokens, drawn without replacement. Of a
    document with one token nothing is seen; one without tokens is empty in both halves.

    Args:
      counts: tokens of each word in each document [N, V], sparse or dense, whole numbers, or an
        AnnData of them. What is drawn depends on their values alone, not on how a sparse matrix
        stores them.
      test: the share of the documents to hold out, rounded down to whole documents.
      random_state: a seed of NumPy's default generator. One seed gives one split.

    Returns:
      The rows of training and test documents, and the two halves of the test documents, of the
      dtype of counts; of a wider one where SciPy has no such, or sums of entries need it.

    Raises:
      ValueError, TypeError: if counts are not such a matrix; if a test document has 1e9 tokens or
        more; if there would be no test document or no training document; if random_state is no
        integer of at least 0.

    Example:
      >>> counts = np.arange(1, 31).reshape(10, 3)
      >>> parts = document_completion(counts, test=0.2)
      >>> both = (parts.seen + parts.unseen).toarray()
      >>> bool((both == counts[parts.test]).all()), len(parts.train)
      (True, 8)

    Source: Wallach, Murray, Salakhutdinov and Mimno, 2009, Evaluation methods for topic models.
    """
    matrix = counts_matrix("counts", counts)
    share = checks.positive_float("test", test)
    random_state = checks.positive_int("random_state", random_state, minimum=0)
    documents = matrix.shape[0]
    held = int(documents * share + 1e-9)  # 0.29 of 100 is 28.999999999999996
    if not 0 < held < documents:
        raise ValueError(
            f"test must leave at least one of {documents} documents to test and one to train, "
            f"got {share}"
        )
    generator = np.random.default_rng(random_state)
    order = generator.permutation(documents)
    rows, train = np.sort(order[:held]), np.sort(order[held:])
    return Completion(train, rows, *_cut(matrix[rows], generator, rows))


def cut_in_two(counts: Any, *, random_state: int = 0) -> tuple[Any, Any]:
    """Cut each document in two, as `document_completion` does with those that it holds out.

    Args:
      counts: tokens of each word in each document [N, V], as for `document_completion`.
      random_state: a seed of NumPy's default generator.

    Returns:
      What a model may see, and what it must predict, each CSR [N, V].

    Raises:
      ValueError, TypeError: if counts are not such a matrix; if a document has 1e9 tokens or more;
        if random_state is no integer of at least 0.

    Example:
      >>> seen, unseen = cut_in_two([[4, 0, 2], [0, 1, 0]])
      >>> seen.sum(axis=1).tolist(), unseen.sum(axis=1).tolist()
      ([3, 0], [3, 1])
    """
    matrix = counts_matrix("counts", counts)
    random_state = checks.positive_int("random_state", random_state, minimum=0)
    return _cut(matrix, np.random.default_rng(random_state), np.arange(matrix.shape[0]))


def _cut(whole: Any, generator: np.random.Generator, places: np.ndarray) -> tuple[Any, Any]:
    """Both halves of each row; where the rows were is for errors."""
    lengths = np.asarray(whole.sum(axis=1, dtype=np.float64)).ravel()
    if (much := lengths > MOST_TOKENS).any():
        row = int(np.argmax(much))
        raise ValueError(
            f"counts must be of at most {MOST_TOKENS:,} tokens in a document that is cut in two, "
            f"got {lengths[row]:,.0f} in row {places[row]}"
        )
    values = whole.data.astype(np.int64)
    sums = np.concatenate([[0], np.cumsum(values)])
    halves = np.diff(sums[whole.indptr]) // 2
    drawn = np.empty_like(values)
    ends = whole.indptr.tolist()
    draw = generator.multivariate_hypergeometric
    for start, end, half in zip(ends, ends[1:], halves.tolist(), strict=False):
        drawn[start:end] = draw(values[start:end], half)

    def half_of(part: np.ndarray) -> Any:
        places = whole.indices.copy(), whole.indptr.copy()
        half = scipy.sparse.csr_array((part.astype(whole.dtype), *places), shape=whole.shape)
        half.eliminate_zeros()
        return half

    return half_of(drawn), half_of(values - drawn)


def perplexity(word_probabilities: Any, unseen: Any) -> float:
    """Exponential of the mean negative log-probability of an unseen token.

    exp(-sum_dv n_dv log p_dv / sum_dv n_dv): V for a model that knows nothing, 1 at best.

    Args:
      word_probabilities: the probability of each word in each document, from its seen half
        [N, V]. Rows are divided by their sums. A word that comes though its probability is zero,
        or less than 1e-12, counts with 1e-12.
      unseen: tokens of each word to predict [N, V], sparse or dense, whole numbers.

    Returns:
      The perplexity.

    Raises:
      ValueError, TypeError: if a probability is negative or not finite, or a row has none above
        zero; if the shapes differ; if there is no token to predict.

    Example:
      >>> round(perplexity(np.full((3, 5), 0.2), np.eye(3, 5)), 6)
      5.0

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """
    probabilities = shares("word_probabilities", word_probabilities)
    tokens = counts_matrix("unseen", unseen)
    if probabilities.shape != tokens.shape:
        raise ValueError(
            f"word_probabilities must have the shape of unseen, [N, V], {tokens.shape}, "
            f"got {probabilities.shape}"
        )
    sums = probabilities.sum(axis=1)
    if not sums.all():
        raise ValueError(
            "word_probabilities must have a value above 0 in each row, got none in row "
            f"{int(np.argmin(sums))}"
        )
    entries = tokens.tocoo()
    if not entries.nnz:
        raise ValueError("unseen must hold at least one token, got none")
    row, column = entries.coords
    each = np.log(np.maximum(probabilities[row, column] / sums[row], LEAST))
    amount = entries.data.astype(np.float64)
    return float(np.exp(-(amount * each).sum() / amount.sum()))


def topics_in_use(mixtures: Any, *, share: float = 0.002) -> int:
    """How many topics are the largest of at least a share of the documents.

    Args:
      mixtures: the share of each topic in each document [N, K].
      share: of the documents, above 0 and at most 1.

    Returns:
      From 0 to K.

    Raises:
      ValueError, TypeError: if mixtures are not finite numbers of at least 0 [N, K]; if share is
        not above 0 and at most 1.

    Example:
      >>> topics_in_use([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]], share=0.5)
      1
    """
    array = shares("mixtures", mixtures)
    share = checks.positive_float("share", share)
    if share > 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    largest = np.bincount(array.argmax(axis=1), minlength=array.shape[1])
    return int((largest / len(array) >= share).sum())  # a quotient: 3 of 30 are exactly 0.1


def agreement(mixtures: Any, labels: Any) -> Agreement:
    """Compare topics with labels that the model has not seen.

    Two indices compare the largest topic of each document with its label. The third number tells
    each document's label from the labels of its five nearest neighbours by the Hellinger distance,
    that of the square roots of the mixtures, and is the accuracy over four folds.

    Args:
      mixtures: the share of each topic in each document [N, K].
      labels: of each document [N], in any form that `jaxvae.datasets.encode_labels` takes. A
        document without a label, as that says, is left out: of -1, "", None or NaN.

    Returns:
      The three numbers. The accuracy is None where some label has fewer than four documents, one
      for each fold, or where fewer than seven documents have a label.

    Raises:
      ValueError, TypeError: if mixtures are not finite numbers of at least 0 [N, K]; if labels are
        not one for each document, name no categories, or are all missing.

    Example:
      >>> mixtures = np.repeat([[0.9, 0.1], [0.2, 0.8]], 8, axis=0)
      >>> agreement(mixtures, ["cat"] * 8 + ["dog"] * 8)
      Agreement(adjusted_rand_index=1.0, normalized_mutual_information=1.0,
                nearest_neighbour_accuracy=1.0)

    Source: Hubert and Arabie, 1985, Comparing partitions; scikit-learn computes all three.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    array = shares("mixtures", mixtures)
    (codes,), names = encode_together({"labels": labels})
    if len(codes) != len(array):
        raise ValueError(f"labels must be one for each of {len(array)} documents, got {len(codes)}")
    if not names:  # of categories that no document has
        raise ValueError(f"labels must hold a label, got {len(codes)} that are missing")
    known = codes >= 0
    array, classes = array[known], codes[known]
    largest = array.argmax(axis=1)
    accuracy = None
    fewest_to_train = len(array) - -(-len(array) // FOLDS)
    if np.bincount(classes).min() >= FOLDS and fewest_to_train >= NEIGHBOURS:
        neighbours = KNeighborsClassifier(NEIGHBOURS)
        accuracy = float(cross_val_score(neighbours, np.sqrt(array), classes, cv=FOLDS).mean())
    return Agreement(
        float(adjusted_rand_score(classes, largest)),
        float(normalized_mutual_info_score(classes, largest)),
        accuracy,
    )


def counts_matrix(name: str, counts: Any) -> Any:
    """Counts as compressed rows, sorted, without stored zeros.

    Args:
      name: of the argument.
      counts: whole numbers [N, V], sparse in any of SciPy's formats, or dense, or an AnnData.

    Returns:
      CSR [N, V] as of `inputs.check_counts`, of the dtype of counts where SciPy has it.

    Raises:
      ValueError, TypeError: if counts are not of that shape, empty, negative, not finite, not
        whole, or no numbers.

    Example:
      >>> counts_matrix("counts", [[0, 2], [1, 0]]).data.tolist()
      [2, 1]
    """
    counts, _ = inputs.annotated(counts, name)
    if not is_sparse(counts):
        counts = checks.real_array(name, counts)
    shape = tuple(counts.shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{name} must have the shape [N, V], not empty, got {shape}")
    if is_sparse(counts) and np.dtype(counts.dtype).kind not in "iuf":
        raise TypeError(f"{name} must hold numbers of tokens, got dtype {counts.dtype}")
    return inputs.check_counts(name, counts)


def shares(name: str, value: Any) -> np.ndarray:
    """Return what is to be shares or probabilities as float64, or raise what is wrong.

    Args:
      name: of the argument.
      value: numbers [N, K], finite, at least 0.

    Returns:
      Float64 [N, K].

    Raises:
      ValueError, TypeError: if they are not such numbers.

    Example:
      >>> shares("mixtures", [[1, 0]])
      array([[1., 0.]])
    """
    array = checks.real_array(name, value)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have the shape [N, K], not empty, got {array.shape}")
    array = array.astype(np.float64)
    checks.finite_array(name, array, nonnegative=True)
    return array
