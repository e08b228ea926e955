"""Documents that are read batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from jaxvae.apps.topics import inputs
from jaxvae.data.batches import Batch


class Documents:
    """A stream of batches of documents, checked; those without a word left out."""

    def __init__(self, source: Any):
        if hasattr(source, "__next__"):
            raise TypeError(
                f"X must give its batches again for each pass: an object with __iter__ or "
                f"a function, got {source!r}"
            )
        self._source = source

    def head(self, most: int) -> Batch:
        """The first documents, of as many batches as that takes.

        Args:
          most: how many, at most.

        Returns:
          All that there are where there are fewer.

        Raises:
          ValueError: if there is none.
        """
        parts: list[Any] = []
        for batch in self:
            parts.append(batch.x[: most - sum(part.shape[0] for part in parts)])
            if sum(part.shape[0] for part in parts) == most:
                break
        if not parts:
            raise ValueError("X must give at least one batch with a document, got none")
        return Batch(scipy.sparse.vstack(parts, format="csr"))

    def __iter__(self) -> Iterator[Batch]:
        width = None
        for number, item in enumerate(self._source() if callable(self._source) else self._source):
            name = f"batch {number} of X"
            matrix, _ = inputs.annotated(item)
            inputs.refuse_texts(name, matrix)
            rows = inputs.check_counts(name, matrix)
            width = width or rows.shape[1]
            if rows.shape[1] != width:
                raise ValueError(f"{name} must have {width} columns, got {rows.shape[1]}")
            rows = rows[np.diff(rows.indptr) > 0]
            if rows.shape[0]:
                yield Batch(rows)
