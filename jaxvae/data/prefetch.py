"""The next item is prepared in a thread while one is in use."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any


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
