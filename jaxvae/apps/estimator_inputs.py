"""What scikit-learn's estimators are given, as the library takes it; what refusing it leaves."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state
from sklearn.utils._array_api import _convert_to_numpy, get_namespace
from sklearn.utils.multiclass import check_classification_targets

from jaxvae._output import warn
from jaxvae.apps.description import likelihood_of
from jaxvae.apps.model_parts import Identity
from jaxvae.data import looks
from jaxvae.data.batches import Batch
from jaxvae.data.sparse import is_sparse
from jaxvae.numerics import checks


def to_numpy(X: Any) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """X for scikit-learn's checks, and what makes of a result an array like X.

    With `array_api_dispatch` an array of another namespace (JAX, PyTorch, CuPy) becomes NumPy's,
    and the results are of its namespace and on its device.

    Args:
      X: an array, or what scikit-learn takes for one.

    Returns:
      X or a NumPy array, and a function of a NumPy array.
    """
    if not get_config()["array_api_dispatch"]:
        return X, lambda result: result
    namespace, is_array = get_namespace(X)
    if not is_array or isinstance(X, np.ndarray | np.generic):
        return X, lambda result: result
    own = _convert_to_numpy(X, namespace)
    return own, lambda result: namespace.asarray(result, device=X.device)


def weights(sample_weight: Any, examples: int) -> np.ndarray | None:
    """Weights as `fit` takes them; one number for all, and booleans, as in scikit-learn.

    Args:
      sample_weight: of the examples, or None.
      examples: how many.

    Returns:
      The weights, or None.

    Raises:
      ValueError, TypeError: if they are no weights.
    """
    if sample_weight is None:
        return None
    array = np.asarray(to_numpy(sample_weight)[0])
    array = np.full(examples, array) if array.ndim == 0 else array
    array = array.astype(float) if array.dtype == bool else array
    return checks.weight_array("sample_weight", array, examples)


def classes_of(
    y: np.ndarray, weight: np.ndarray | None, classes: Any, before: Any, *, partial: bool
) -> np.ndarray:
    """The labels that there are: those given or known, or of y where it has to have all.

    Args:
      y: labels [N].
      weight: of the examples, or None; a label of weight 0 alone does not count.
      classes: all that will come, or None.
      before: those of a fit that goes on, or None.
      partial: whether more examples will come.

    Returns:
      The labels, sorted.

    Raises:
      ValueError: if there are fewer than two, or others than before, or they are not known.
    """
    if classes is not None:
        classes = np.unique(to_numpy(classes)[0])
        check_classification_targets(classes)
        if before is not None and not np.array_equal(classes, before):
            raise ValueError(f"classes must be those of before, {before}, got {classes}")
        if len(classes) < 2:
            raise ValueError(f"classes must be at least two, got {classes}")
    if before is not None:
        return before
    if partial:
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit, got None")
        return classes
    counted = np.unique(y if weight is None else y[weight > 0])
    if len(counted) < 2:
        raise ValueError(f"y must hold at least two classes, got one class, {counted[0]}")
    return np.unique(y)


def seed_of(random_state: Any) -> int:
    """A seed, as scikit-learn draws one.

    Args:
      random_state: an int, a `RandomState`, or None.

    Returns:
      The seed.

    Raises:
      ValueError: if it is none of these.
    """
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except (ValueError, TypeError):
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1 or a numpy.random."
            f"RandomState, got {random_state!r}"
        ) from None


def masked(x: Any) -> Batch:
    """Examples, those values masked that are missing.

    Args:
      x: examples [N, D], dense or CSR; NaN where a value is missing.

    Returns:
      The examples, zeros in the places of NaN.

    Raises:
      ValueError: if x is sparse and holds NaN.
    """
    entries = x.data if is_sparse(x) else x
    if not np.isnan(entries).any():
        return Batch(x)
    if is_sparse(x):
        raise ValueError("X must be dense with missing='mask', got a sparse matrix that holds nan")
    seen = ~np.isnan(x)
    return Batch(np.where(seen, x, np.float32(0)), mask=seen)


@contextlib.contextmanager
def by_the_users_names(model: Any, x: Any) -> Iterator[None]:
    """Around what uses examples: name X and `missing` where x and a mask are refused.

    Args:
      model: the description of the model.
      x: the examples as the user has them, NaN gone.

    Yields:
      Nothing.

    Raises:
      ValueError: whatever is raised, in the user's words.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        if text.startswith("mask must be None"):
            rest = text.removeprefix("mask must be None")
            text = f"missing must be 'refuse'{rest}, got 'mask' and an X that holds nan"
        elif not text.startswith("x must "):
            raise
        elif model.transform == Identity():
            text = "X" + text[1:]
        else:  # what was refused is a scaled value
            try:
                likelihood_of(model).check(x)
                text = "X" + text[1:] + " once it was scaled; scale='none' leaves it as it is"
            except ValueError as own:
                text = "X" + str(own)[1:] + ", and scale='auto' does not bring it there"
        raise ValueError(text) from None


def warn_of_a_first_batch(data: Batch) -> None:
    """Warn where the first examples of `partial_fit` say too little of the scale of those to come.

    Args:
      data: the examples, which are scaled.
    """
    x = data.x
    what = "it is one example" if x.shape[0] == 1 else ""
    if not (what or is_sparse(x)):
        x = x if data.mask is None else np.where(data.mask, x, np.nan)
        if np.ndim(looks.look(x, kind="table").scale.width):  # columns have units of their own
            same = (np.isnan(x) | (x == np.fmax.reduce(x, axis=0))).all(axis=0)
            what = f"{same.sum()} of its columns hold one value alone" if same.any() else ""
    if what:
        warn(
            f"the first batch of partial_fit fixes the scale of X, and {what}; begin with more "
            "examples, or scale X beforehand and set scale='none'",
            stacklevel=5,
        )


@contextlib.contextmanager
def unchanged_if_refused(model: Any) -> Iterator[None]:
    """Leave an estimator as it was where what is done with it fails.

    Its attributes must be replaced, not changed in place.

    Args:
      model: the estimator.

    Yields:
      Nothing.
    """
    before = dict(vars(model))
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise
