"""Where the steps' examples come from: arrays on the device, or a stream."""

import contextlib
import functools
import itertools
import zlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.tree_util import keystr

from jaxvae.data import examples as data_forms
from jaxvae.data import sparse, streaming
from jaxvae.data.batches import Batch, rows_of
from jaxvae.data.formats.passes import Passes
from jaxvae.training.layouts import Layout
from jaxvae.training.programs import Program, States
from jaxvae.training.state import Metrics

ROWS = 4096  # of which a checksum is taken at once
GIVEN_BACK = 8  # chunks after which memory is given back


class Arrays:
    """Data that lie on the devices: an epoch is one compiled call.

    Attributes:
      all: the examples, checked, on the host.
      first: one of them, for its shapes.
      batch_size: as many as there are examples at most.
      program_batch: of `train_program`.
      examples_split: how many, where each device holds a part of them only.
    """

    def __init__(self, data: Batch, batch_size: int, layout: Layout):
        if data.mask is not None and not any(leaf.any() for leaf in jax.tree.leaves(data.mask)):
            raise ValueError("mask must be 1 for at least one value, got none")
        self.all, self.first = data, data_forms.first(data)
        self.batch_size = self.program_batch = min(batch_size, rows_of(data))
        self.examples_split = rows_of(data) if layout.splits_data else None
        self._layout = layout
        # A function of no `self`: what it made must not outlive the run in a cycle.
        self._form = functools.cache(
            functools.partial(data_forms.on_device_form, data, self.batch_size)
        )

    @property
    def like(self) -> tuple[Any, ...]:
        """What the program is compiled for: the shapes alone, where these say where data lie."""
        if self._layout.by_itself:
            return (jax.eval_shape(lambda form: form, self._form()),)
        return self._placed

    @functools.cached_property
    def _placed(self) -> tuple[Any, ...]:
        """What the program is given: put there after compilation, whose memory it then takes."""
        return (self._layout.data(self.all, self._form, self.batch_size),)

    @property
    def labels(self) -> Any:
        """All labels, or None."""
        return self.all.y

    def steps(self, epochs: int) -> int | None:
        """How many steps so many epochs have, where it is known."""
        return epochs * -(-rows_of(self.all) // self.batch_size)

    def skip(self, epochs: int) -> None:
        """Go on after so many epochs: the order follows from the number of the step."""

    def run_epoch(
        self, program: Program, states: States, *, skip: bool
    ) -> tuple[States, Metrics, int]:
        """The states after an epoch, the metrics of its steps, and how many examples it had."""
        return *program(states, *self._placed), rows_of(self.all)

    def last_rows(self) -> Batch:
        """The examples among which the last steps' were."""
        return self.all

    def prints(self) -> dict[str, Any]:
        """What has to be the same for a run to go on."""
        return prints_of(self.all)


def prints_of(data: Batch) -> dict[str, Any]:
    """By what examples are known again.

    Args:
      data: all of them.

    Returns:
      Checksums, by the argument of `fit`.
    """
    # Said where there are none too: a run with weights is another. Old runs had none.
    prints: dict[str, Any] = {
        "weight": None if data.weight is None else zlib.crc32(data.weight.data)
    }
    for name in ("x", "y", "condition", "mask"):
        if (tree := getattr(data, name)) is not None:
            prints[name] = _checksums(tree)
        elif name != "y":
            prints[name] = None
    return prints


class Stream:
    """Data that are read as they are needed: an epoch is a compiled call for each chunk.

    Attributes:
      all: its first batch, on the host.
      first: an example of it, for its shapes.
      batch_size: examples a step, over all hosts.
      program_batch: None.
      examples_split: None.
    """

    program_batch = examples_split = None

    def __init__(self, source: Any, batch_size: int, layout: Layout):
        self._source, self._layout = source, layout
        self._rows, self.batch_size = layout.host_rows(batch_size), batch_size
        for batch in streaming.compressed(source):
            self.all = batch._replace(weight=None)
            self.first = data_forms.first(self.all)
            break
        else:
            raise ValueError("x must give at least one batch, got none")
        self._steps = streaming.chunk_steps(self._rows, self.first)

    @functools.cached_property
    def like(self) -> tuple[Any, ...]:
        """A chunk without a step, on the devices."""
        return self._layout.chunk(streaming.empty_chunk(self.first, self._rows, self._steps))

    @property
    def labels(self) -> Any:
        """Labels of which some are missing, as it may be in a batch to come; or None."""
        return None if self.first.y is None else np.array([-1])

    def steps(self, epochs: int) -> int | None:
        """How many steps so many epochs have: it is not known."""
        return None

    def skip(self, epochs: int) -> None:
        """Go on after so many epochs: a stream of jaxvae's shuffles each in an order of its own."""
        if isinstance(self._source, Passes):
            self._source.next_pass(1 + epochs)  # the first one looked at an example

    def run_epoch(
        self, program: Program, states: States, *, skip: bool
    ) -> tuple[States, Metrics, int]:
        """The states after an epoch, the metrics of its steps, and how many examples it had."""
        several, all_metrics, examples = jax.process_count() > 1, [], 0
        chunks = streaming.chunks(self._source, self._rows, self._steps)
        with contextlib.closing(streaming.prefetch(chunks, self._counted)) as ready:
            for number in itertools.count():
                if number % GIVEN_BACK == 0:  # the first time what compiling left
                    streaming.give_back()
                count, chunk = next(ready, (0, None))
                examples += count
                # A host whose data have ended takes part until every host's have.
                if chunk is None and not several:
                    break
                self._last = chunk = chunk or self.like
                states, metrics = program(states, *chunk)
                all_metrics.append(metrics)
                made = metrics.loss.shape[-1]
                if made < self._steps or not (skip or metrics.finite.all()):
                    break
        if not sum(metrics.loss.shape[-1] for metrics in all_metrics):
            raise ValueError(
                "x must give its batches again in each epoch, got none of a weight above 0"
            )
        if several:
            examples = int(np.sum(multihost_utils.process_allgather(np.int32(examples))))
        metrics = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *all_metrics)
        return states, metrics, examples

    def last_rows(self) -> Batch:
        """The examples of the last chunk, this host's: its batches are not donated."""
        batch = jax.tree.map(self._layout.rows, self._last[0])
        keep = batch.weight > 0
        return jax.tree.map(lambda leaf: leaf[keep], batch._replace(weight=None, position=None))

    def prints(self) -> dict[str, Any]:
        """What has to be the same for a run to go on: the shapes of an example."""
        shapes = {keystr(path): list(leaf.shape[1:]) for path, leaf in _leaves(self.first.x)}
        return {"x": shapes[""] if list(shapes) == [""] else shapes}

    def _counted(self, chunk: streaming.Chunk) -> tuple[int, Any]:
        """How many examples a chunk holds, and the chunk on the devices."""
        return int(np.count_nonzero(np.asarray(chunk.batches.weight))), self._layout.chunk(chunk)


def source_of(given: Batch, batch_size: int, layout: Layout) -> Arrays | Stream:
    """What `fit` was given, checked.

    Args:
      given: its arguments of these names; its x may be a stream of batches, or a `Batch`.
      batch_size: examples a step.
      layout: where the run lies.

    Returns:
      The source.

    Raises:
      ValueError, TypeError: if one cannot be used; it is named.
    """
    x, y, weight, _, condition, mask = given
    if not data_forms.is_stream(x):
        data = data_forms.examples(x, y, weight=weight, condition=condition, mask=mask)
        return Arrays(data, batch_size, layout)
    held = {"y": "labels", "weight": "weights", "condition": "conditions", "mask": "masks"}
    for name, what in held.items():
        if getattr(given, name) is not None:
            raise ValueError(f"{name} must be None where x gives batches: they hold the {what}")
    if layout.splits_data:
        raise ValueError(
            "data of Placement must be 'copied' where x gives batches, which are split anyway, "
            "got 'split'"
        )
    return Stream(x, batch_size, layout)


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree.leaves_with_path(tree)


def _checksums(tree: Any) -> Any:
    """Shape and checksum of each array; of one alone as the first version wrote it."""
    sums = {keystr(path): [*leaf.shape, _checksum(leaf)] for path, leaf in _leaves(tree)}
    return sums[""] if list(sums) == [""] else sums


def _checksum(array: Any) -> int:
    """Of the numbers, whatever narrow dtype they came in: bytes as float32, labels as int32."""
    if sparse.is_sparse(array):
        # SciPy chooses the width of its indices by itself.
        parts = array.data.astype(np.float32), *map(np.int64, (array.indices, array.indptr))
        return zlib.crc32(b"".join(part.tobytes() for part in parts))
    wide = np.int32 if array.dtype == np.int32 else np.float32
    total = 0
    for start in range(0, len(array), ROWS):
        rows = np.ascontiguousarray(array[start : start + ROWS], wide)
        total = zlib.crc32(rows.reshape(-1).view(np.uint8).data, total)
    return total
