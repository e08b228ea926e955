"""Documents that are read batch by batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse

from jaxvae.apps.topics import inputs
from jaxvae.data.batches import Batch


class Documents:
    """A stream of batches of documents, checked; those without a word left out.

    Args:
      source: an iterable of batches, or a function that returns one.
      keep: how many documents `kept` holds at most.
      width: V; None: that of the first batch.
      names: of the variables [V], which batches that have names must have too; None: those of the
        first batch.

    Attributes:
      width: V, once a batch was read.
      names: of the variables, or None.
      kept: of the last whole pass: its documents, all alike likely; none before.
    """

    def __init__(self, source: Any, keep: int = 0, *, width: int | None = None, names: Any = None):
        if hasattr(source, "__next__"):
            raise TypeError(
                f"X must give its batches again for each pass: an object with __iter__ or "
                f"a function, got {source!r}"
            )
        self._source, self._keep, self.kept = source, keep, Sample(keep)
        self.width, self.names = width, names

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
        sample = Sample(self._keep)
        for rows, names in inputs.read_batches(self._source, self.width, self.names):
            self.width, self.names = rows.shape[1], names
            rows = rows[np.diff(rows.indptr) > 0]
            if rows.shape[0]:
                sample.add(rows)
                yield Batch(rows)
        self.kept = sample


class Sample:
    """Rows of a stream, each as likely as any other.

    Each row draws a number, and those of the lowest numbers stay.

    Args:
      most: how many, at most.

    Attributes:
      rows: how many came by.
      total: the sum of all their counts.

    Source: Efraimidis and Spirakis, 2006, Weighted random sampling with a reservoir; of equal
    weights.
    """

    def __init__(self, most: int):
        self.rows, self.total, self._most, self._highest = 0, 0.0, most, 1.0
        self._random = np.random.default_rng(0)
        self._parts: list[Any] = []
        self._drawn: list[np.ndarray] = []

    def add(self, rows: Any) -> None:
        """See some more.

        Args:
          rows: CSR [N, V].
        """
        self.rows, self.total = self.rows + rows.shape[0], self.total + float(rows.sum())
        drawn = self._random.random(rows.shape[0])
        low = drawn < self._highest
        if self._most and low.any():
            self._parts.append(rows[low])
            self._drawn.append(drawn[low])
            if sum(map(len, self._drawn)) > 2 * self._most:  # seldom: it copies all of them
                self._sort_out()

    def matrix(self) -> Any:
        """What was kept.

        Returns:
          CSR [M, V], M at most `most`; in the order in which they came.
        """
        self._sort_out()
        return self._parts[0]

    def _sort_out(self) -> None:
        rows, drawn = scipy.sparse.vstack(self._parts, format="csr"), np.concatenate(self._drawn)
        if len(drawn) > self._most:
            self._highest = np.partition(drawn, self._most)[self._most]
            low = drawn < self._highest
            rows, drawn = rows[low], drawn[low]
        self._parts, self._drawn = [rows], [drawn]
