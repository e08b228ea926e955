"""What a topic model is given, and what it knows of it: variables, covariates, labels."""

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from jaxvae.apps.topics import inputs, settings
from jaxvae.apps.topics.covariates import Covariates
from jaxvae.data.batches import Batch
from jaxvae.data.labels import encode_labels, encode_together

# What one fit has and another need not: the last of them is of a pickle of before.
OPTIONAL = (
    "classes_", "feature_names_in_", "_covariates", "_variables", "_names_of_labels", "_known",
)  # fmt: skip


class TopicInputs(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """How a `TopicModel` reads documents."""

    n_features_in_: int
    classes_: np.ndarray
    params_: Any

    def _anew(self) -> None:
        """Forget the documents of an earlier fit, and keep the parameters of this one."""
        for name in OPTIONAL:
            self.__dict__.pop(name, None)
        self._variables: list[str] | None = None
        self._covariates: Covariates | None = None
        self._fixed = settings.fixed(self)

    def _setting(self, name: str) -> Any:
        """A parameter as it was fitted; of a pickle of before, as it is."""
        return self.__dict__.get("_fixed", {}).get(name, getattr(self, name))

    def _features(self) -> np.ndarray | None:
        """The names of the variables [V]."""
        own = self.__dict__.get("_variables")
        own = None if own is None else np.array(own, dtype=object)
        return getattr(self, "feature_names_in_", own)

    def _counts(self, X: Any, *, reset: bool) -> Any:
        """Documents as checked counts, CSR [N, V]."""
        matrix, names = inputs.annotated(X)
        inputs.refuse_texts("X", matrix)
        options: dict[str, Any] = {"accept_sparse": "csr", "dtype": "numeric"}
        if reset:
            own = validate_data(self, matrix, reset=True, **options)
            self._variables = None if names is None else names.tolist()
        elif names is None and self.__dict__.get("_variables") is None:
            own = validate_data(self, matrix, reset=False, **options)
        else:  # of an AnnData scikit-learn knows no names
            names = inputs.column_names(X) if names is None else names
            inputs.check_names("X", names, self._features())
            own = check_array(matrix, input_name="X", **options)
            if own.shape[1] != self.n_features_in_:
                raise ValueError(f"X must have {self.n_features_in_} columns, got {own.shape[1]}")
        return inputs.to_learn("X", own)

    def _batch(self, rows: Any, covariates: Any) -> Batch:
        """Documents and their covariates, which are known."""
        known = self._known_covariates()
        if covariates is None:
            if known is not None:
                raise ValueError("covariates must be given: the model was fitted with them")
            return Batch(rows)
        if known is None:
            raise ValueError("covariates must be None: the model was fitted without them")
        columns = known.read(covariates)
        if len(columns) != rows.shape[0]:
            raise ValueError(f"covariates must have {rows.shape[0]} rows, got {len(columns)}")
        return Batch(rows, condition=columns)

    def _known_covariates(self) -> Covariates | None:
        own = self.__dict__
        if "_covariates" not in own and own.get("_known") is not None:  # a pickle of before
            return Covariates.of_before(own["_known"])
        return own.get("_covariates")

    def _labels(
        self, y: Any, documents: int, *, learn: bool, more: bool = False
    ) -> np.ndarray | None:
        """Codes of labels [N], where they lead the topics. A category that no document has is a
        label only where more documents may come."""
        if self._setting("label_weight") is None:
            return None
        if y is None:
            raise ValueError("y must be given where label_weight is set, got None")
        if learn and not more:
            (codes,), names = encode_together({"y": y})
            if not names:  # of categories that no document has
                raise ValueError(f"y must hold a label, got {len(codes)} that are missing")
        else:
            codes, names = encode_labels(y, None if learn else self._label_names())
        if len(codes) != documents:
            raise ValueError(f"y must have {documents} labels, got {len(codes)}")
        topics = self._setting("n_components")
        if len(names) > topics:
            raise ValueError(
                f"n_components must be at least {len(names)}, the number of labels, got {topics}"
            )
        if learn:
            self.classes_, self._names_of_labels = _as_given(y, codes, names), names
        return codes

    def _label_names(self) -> tuple[str, ...]:
        """What the labels are called; a pickle of before knows no more of them."""
        return self.__dict__.get("_names_of_labels") or tuple(map(str, self.classes_))

    def _unlabelled(self, data: Batch) -> Batch:
        """Documents whose labels are not known, where the prior asks for them."""
        if self._setting("label_weight") is None:
            return data._replace(y=None)
        return data._replace(y=np.full(data.x.shape[0], -1, np.int32))

    def _each(self, X: Any, covariates: Any) -> Iterator[Batch]:
        """The documents, or of batches each."""
        check_is_fitted(self, "params_")
        if not inputs.is_batches(X):
            yield self._batch(self._counts(X, reset=False), covariates)
            return
        inputs.refuse_beside_batches(covariates=covariates)
        found = False
        for rows, _ in inputs.read_batches(X, self.n_features_in_, self._features()):
            if rows.shape[0]:
                found = True
                yield self._batch(rows, None)
        if not found:
            raise ValueError("X must give at least one batch of documents, got none")


def _as_given(y: Any, codes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The label of each code as it stands in y; of one-hot rows the name of its column."""
    labels: list[Any] = list(names)
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    if categories is not None:
        own = dict(zip(map(str, categories), categories, strict=True))
        labels = [own.get(name, name) for name in names]
    elif (each := np.asarray(y, dtype=object)).shape in ((len(codes),), (len(codes), 1)):
        for code, place in zip(*np.unique(codes, return_index=True), strict=True):
            if code >= 0:
                labels[code] = each.ravel()[place]
    alike = len({*map(type, labels)}) == 1
    number = alike and isinstance(labels[0], numbers.Real | np.bool_)
    return np.array(labels, None if number else object)
