"""A folder of pictures of any size, read batch after batch in bounded memory."""

import collections
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae._door import door
from jaxvae.data.formats.images import (
    ENDINGS,
    common_shape,
    decoder,
    forms,
    named,
    threads,
)
from jaxvae.data.formats.passes import Passes
from jaxvae.data.formats.trees import scan
from jaxvae.numerics import checks

AHEAD = 2  # batches that are decoded while one is in use


@door("datasets")
class ImageStream(Passes):
    """Batches of a folder's pictures, decoded as they are needed: what `stream_images` gives.

    It can be read again and again, as `fit` does. Each pass gives every picture once, and at most
    three batches are in memory.

    Args:
      folder, batch_size, image_size: as `stream_images` takes them.

    Attributes:
      label_names: sorted, the sub-folders; None where there are none.
      shape: of a picture, (H, W) or (H, W, 3).
      ids: the files' paths in the folder.
      said: sentences for the user.

    Raises:
      FileNotFoundError, ValueError: as `stream_images`.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> folder = Path(tempfile.mkdtemp())
      >>> Image.new("RGB", (8, 6)).save(folder / "1.png")
      >>> stream = ImageStream(folder, batch_size=2)
      >>> stream.shape, stream.ids
      ((6, 8, 3), ('1.png',))
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        batch_size: int,
        image_size: tuple[int, int] | None = None,
    ):
        self._batch_size = checks.positive_int("batch_size", batch_size)
        path = Path(folder)
        if not path.is_dir():
            raise FileNotFoundError(f"folder must name an existing folder, got {path}")
        tree = scan(path, ENDINGS, "pictures")
        self._paths = [file.path for file in tree.train]
        self.ids = tuple(file.id for file in tree.train)
        self.shape = common_shape(self._paths, forms(self._paths), image_size)
        self.label_names = tree.label_names
        self.said = tree.said
        self._labels = None
        if tree.label_names is not None:
            place = {name: i for i, name in enumerate(tree.label_names)}
            self._labels = np.array([place[str(file.label)] for file in tree.train], np.int32)

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Any]:
        return self._batches(np.asarray(self._next_order(len(self))))

    def _batches(self, order: np.ndarray) -> Iterator[Any]:
        read = decoder(self.shape)
        starts = iter(range(0, len(order), self._batch_size))
        pool = ThreadPoolExecutor(threads(), thread_name_prefix="jaxvae-pictures")

        def decode(x: np.ndarray, rows: np.ndarray) -> None:
            for i, row in enumerate(rows):
                x[i] = named(read, self._paths[row], self._paths[row])

        def begin(start: int) -> tuple[np.ndarray, np.ndarray, list[Future[None]]]:
            rows = order[start : start + self._batch_size]
            x = np.empty((len(rows), *self.shape), np.uint8)
            step = -(-len(rows) // threads())
            own = [slice(at, at + step) for at in range(0, len(rows), step)]
            return x, rows, [pool.submit(decode, x[part], rows[part]) for part in own]

        try:
            waiting = collections.deque(begin(start) for start in itertools.islice(starts, AHEAD))
            while waiting:
                x, rows, parts = waiting.popleft()
                for start in starts:
                    waiting.append(begin(start))
                    break
                for part in parts:
                    part.result()
                yield x if self._labels is None else (x, self._labels[rows])
        finally:
            pool.shutdown(cancel_futures=True)


def stream_images(
    folder: str | os.PathLike, *, batch_size: int, image_size: tuple[int, int] | None = None
) -> ImageStream:
    """Make a stream of batches of a folder's pictures, for data that memory does not hold.

    Args:
      folder: of pictures, its sub-folders the labels; of one that is split the part `train` is
        read. Grey beside coloured pictures become coloured.
      batch_size: B; the last batch may be smaller.
      image_size: the height and width that every picture is resized to, or None.

    Returns:
      A stream that gives (x uint8 [B, H, W] or [B, H, W, 3], y int32 [B]), or x where there are no
      labels, in the order of the files' paths. `shuffled(key)` gives it in random order.

    Raises:
      FileNotFoundError: if there is no such folder.
      ValueError: if a header is damaged, or sizes differ and no `image_size` is given.

    Example:
      >>> import tempfile
      >>> from PIL import Image
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("cats", "dogs"):
      ...     (folder / name).mkdir()
      ...     Image.new("L", (8, 6)).save(folder / name / "1.png")
      >>> stream = stream_images(folder, batch_size=2).shuffled(jax.random.key(0))
      >>> [(x.shape, sorted(y.tolist())) for x, y in stream], len(stream)
      ([((2, 6, 8), [0, 1])], 2)
    """
    return ImageStream(folder, batch_size=batch_size, image_size=image_size)
