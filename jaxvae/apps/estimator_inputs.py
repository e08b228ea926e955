"""What scikit-learn's estimators are given, as the library takes it; what refusing it leaves."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils import check_random_state
from sklearn.utils._array_api import _convert_to_numpy, get_namespace
from sklearn.utils.multiclass import check_classification_targets

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
