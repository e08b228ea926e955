"""Python's collector of cycles, while JAX traces."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Let Python's collector of cycles rest in this context, or in a function that it decorates.

    Tracing makes some hundred thousand objects, most of which stay. The collector looks through
    all that there are again and again: a fifth of the time that it takes to trace an epoch.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
