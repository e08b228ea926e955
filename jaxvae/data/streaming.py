"""Data that are read as they are needed: any re-iterable of batches, in chunks of one shape."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxvae._door import door
from jaxvae.data.batches import Batch
from jaxvae.numerics import checks

CHUNK_BYTES = 32 * 2**20
LONGEST_CHUNK = 256  # steps
LARGEST_WEIGHT = 1e30  # a batch's sum stays a float32; the sum over all that come is not known
Rows = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]  # x, y, weight


@door("streaming")
class Chunk(NamedTuple):
    """Some batches of one size, stacked.

    Attributes:
      batches: x [S, B, D], y [S, B] or None, weight [S, B] (0 pads the end of the data, and only
        that).
      used: how many of the S hold examples.

    Example:
      >>> chunk = next(chunks([np.ones((3, 2))], batch_size=2, steps=4))
      >>> chunk.used, chunk.batches.weight.tolist()
      (2, [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    """

    batches: Batch
    used: int


def is_stream(x: Any) -> bool:
    """Whether x is read batch by batch.

    Args:
      x: what `fit` was given: an array [N, D], or a source of batches.

    Returns:
      True for an iterable or a function that is no array, list or tuple.

    Example:
      >>> is_stream(np.zeros((2, 3))), is_stream(lambda: iter([np.zeros((2, 3))]))
      (False, True)
    """
    if isinstance(x, list | tuple) or hasattr(x, "__array__"):
        return False
    return callable(x) or hasattr(x, "__iter__")


def read(source: Any) -> Iterator[Rows]:
    """One pass over a source.

    Args:
      source: an iterable of batches that can be read again, as tf.data's and Grain's are, or a
        function that returns one (a generator function). A batch is x [b, D], (x, y), a `Batch`,
        or a mapping of some of "x", "y" and "weight", of any size.

    Yields:
      x, float32 [b, D]; y, int32 [b] or None; weight, float32 [b] or None.

    Raises:
      TypeError: if the source can be read once only.
      ValueError, TypeError: if a batch is not such, is not finite, or differs from those before
        it in width or in having labels; it is named by its number.

    Example:
      >>> [x.shape for x, *_ in read(lambda: iter([np.zeros((2, 3)), np.zeros((5, 3))]))]
      [(2, 3), (5, 3)]
    """
    if hasattr(source, "__next__"):
        raise TypeError(
            "x must be readable once an epoch: an array, an iterable that starts anew, or a "
            f"function that returns one; got {source!r}, which can be read once only"
        )
    first: tuple[int, bool] | None = None
    for number, item in enumerate(source() if callable(source) else source):
        name = f"batch {number} of x"
        x, y, weight = _parts(name, item)
        x = checks.data_array(name, x)
        y = None if y is None else checks.label_array(f"the labels of {name}", y, len(x))
        if weight is not None:
            weight = checks.weight_array(
                f"the weights of {name}", weight, len(x), dtype=np.float32, all_zero=True
            )
            if weight.max(initial=0) > LARGEST_WEIGHT:
                raise ValueError(
                    f"the weights of {name} must be at most {LARGEST_WEIGHT:g}, "
                    f"got {weight.max():g}"
                )
        kind = (x.shape[1], y is not None)
        first = first or kind
        if kind != first:
            raise ValueError(
                f"{name} must have {first[0]} columns and {'' if first[1] else 'no '}labels as "
                f"the first, got the shape {x.shape} and {'' if kind[1] else 'no '}labels"
            )
        yield x, y, weight


def chunks(source: Any, batch_size: int, steps: int) -> Iterator[Chunk]:
    """One pass over a source as chunks of one shape, whatever the sizes of its batches.

    Args:
      source: as `read` takes it.
      batch_size: B, rows a step.
      steps: S, steps a chunk.

    Yields:
      Chunks of S x B rows in the order of the source, without those of weight 0. Only the end of
      the last one is padded.

    Example:
      >>> source = lambda: iter([np.zeros((2, 3)), np.zeros((5, 3))])
      >>> [chunk.batches.x.shape for chunk in chunks(source, batch_size=2, steps=2)]
      [(2, 2, 3), (2, 2, 3)]
    """
    rows, filled = batch_size * steps, 0
    x_rows = y_rows = None
    weight_rows = np.zeros(0, np.float32)
    for x, y, weight in map(_kept, read(source)):
        start = 0
        while start < len(x):
            if x_rows is None:  # the one before may still be on its way to the device
                x_rows = np.zeros((rows, x.shape[1]), np.float32)
                y_rows = None if y is None else np.zeros(rows, np.int32)
                weight_rows = np.zeros(rows, np.float32)
            take = min(rows - filled, len(x) - start)
            x_rows[filled : filled + take] = x[start : start + take]
            if y_rows is not None and y is not None:
                y_rows[filled : filled + take] = y[start : start + take]
            weight_rows[filled : filled + take] = weight[start : start + take]
            filled, start = filled + take, start + take
            if filled == rows:
                yield _chunk(x_rows, y_rows, weight_rows, filled, batch_size)
                x_rows, filled = None, 0
    if x_rows is not None:
        yield _chunk(x_rows, y_rows, weight_rows, filled, batch_size)


def chunk_steps(batch_size: int, width: int) -> int:
    """How many steps a chunk has.

    Args:
      batch_size: B, rows a step.
      width: D, float32 values a row.

    Returns:
      As many as fit in 32 MiB, at least 1 and at most 256.

    Example:
      >>> chunk_steps(64, 784), chunk_steps(1024, 784)
      (167, 10)
    """
    return max(1, min(LONGEST_CHUNK, CHUNK_BYTES // (4 * batch_size * width)))


def prefetch(items: Iterable[Any], prepare: Callable[[Any], Any]) -> Generator[Any, None, None]:
    """Prepare the next item in a thread while one is in use.

    Args:
      items: what to iterate over, in that thread.
      prepare: applied to each there: the transfer to the device.

    Yields:
      The prepared items.

    Raises:
      Exception: what the thread raises is raised here.

    Example:
      >>> list(prefetch([1, 2, 3], lambda item: item**2))
      [1, 4, 9]
    """
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(value: tuple[Any, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                return ready.put(value, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((prepare(item), None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True, name="jaxvae-prefetch")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)


def _parts(name: str, item: Any) -> tuple[Any, Any, Any]:
    """x, y and weight of what a source gave."""
    if isinstance(item, Batch):
        if item.position is not None:
            raise ValueError(f"{name} must not set position, which training sets")
        return item.x, item.y, item.weight
    if isinstance(item, Mapping):
        if "x" not in item or not set(item) <= {"x", "y", "weight"}:
            raise ValueError(
                f"{name} must have the keys x and perhaps y and weight, got {sorted(item)}"
            )
        return item["x"], item.get("y"), item.get("weight")
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1], None
    return item, None, None


def _kept(rows: Rows) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """The rows without those of weight 0; where they have no weights, 1 each."""
    x, y, weight = rows
    if weight is None:
        return x, y, np.ones(len(x), np.float32)
    keep = weight > 0
    return x[keep], None if y is None else y[keep], weight[keep]


def _chunk(
    x: np.ndarray, y: np.ndarray | None, weight: np.ndarray, filled: int, batch_size: int
) -> Chunk:
    shape = (len(x) // batch_size, batch_size)
    y = None if y is None else y.reshape(shape)
    batches = Batch(x.reshape(*shape, -1), y, weight.reshape(shape))
    return Chunk(batches, -(-filled // batch_size))
