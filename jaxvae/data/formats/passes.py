"""Streams that are read once an epoch, each time in another order where that is asked for."""

import copy
from collections.abc import Sequence
from typing import Self

import jax
import numpy as np

from jaxvae.numerics import checks


class Passes:
    """A source of rows that counts how often it was read."""

    _key: jax.Array | None = None
    _passes = 0

    def shuffled(self, key: jax.Array) -> Self:
        """The same rows in a random order, another in each pass.

        Args:
          key: a typed key. The order of a pass follows from it and from the number of the pass.

        Returns:
          A stream whose passes are counted anew, as in another process they are.

        Raises:
          TypeError, ValueError: if the key is not one typed key, or the source has no length or no
            rows by number.

        Example:
          >>> from jaxvae.datasets import stream_rows
          >>> stream = stream_rows(np.eye(4), batch_size=4).shuffled(jax.random.key(0))
          >>> sorted(row.argmax().item() for x in stream for row in x)
          [0, 1, 2, 3]
        """
        checks.typed_key("key", key)
        self._check_numbered()
        other = copy.copy(self)
        other._key, other._passes = key, 0
        return other

    def next_pass(self, number: int) -> None:
        """Let the pass that begins next be the one of this number.

        Args:
          number: from 0 on.

        Example:
          >>> from jaxvae.datasets import stream_rows
          >>> stream = stream_rows(np.eye(9), batch_size=9).shuffled(jax.random.key(0))
          >>> first, second = (next(iter(stream)).argmax(1).tolist() for _ in range(2))
          >>> stream.next_pass(0)
          >>> next(iter(stream)).argmax(1).tolist() == first != second
          True
        """
        self._passes = checks.positive_int("number", number, minimum=0)

    def _check_numbered(self) -> None:
        """Refuse a source whose rows have no numbers."""

    def _next_order(self, rows: int) -> Sequence[int]:
        """The order of the rows in the pass that begins now; a range, of which slices can be read,
        where they are not shuffled.
        """
        number, self._passes = self._passes, self._passes + 1
        if self._key is None:
            return range(rows)
        seed = np.asarray(jax.random.key_data(jax.random.fold_in(self._key, number)))
        return np.random.default_rng(seed).permutation(rows).tolist()
