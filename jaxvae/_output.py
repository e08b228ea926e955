"""Text for people, on stdout and stderr: whatever fails there, a run goes on.

All that the library prints goes through here.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, cast


class Outlet:
    """A text stream that never fails: what its stream cannot take is left out.

    The stream may be None, closed, full, a pipe that no one reads, or have no more than `write`.
    Text that its encoding lacks is written with backslashes.
    """

    def __init__(self, stream: Any):
        self._stream: Any = stream._stream if isinstance(stream, Outlet) else stream

    def write(self, text: str) -> int:
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self._stream.write(text.encode("ascii", "backslashreplace").decode())
        except OSError:
            self._forget()
        except Exception:  # any kind, as the stream may be anyone's
            pass
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._forget()
        except Exception:
            pass

    def isatty(self) -> bool:
        try:
            return bool(self._stream.isatty())
        except Exception:
            return False

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "ascii"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __eq__(self, other: object) -> bool:
        """By the stream: tqdm asks so whether two bars share a terminal."""
        return self._stream == (other._stream if isinstance(other, Outlet) else other)

    def __hash__(self) -> int:
        return hash(self._stream)

    def _forget(self) -> None:
        """Empty the buffer of what could not be written.

        Else the interpreter tries once more at its end, complains, and changes the exit status.
        """
        with contextlib.suppress(Exception):
            number = self._stream.fileno()
            own, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, number)
                self._stream.flush()
            finally:
                os.dup2(own, number)
                os.close(own)
                os.close(nowhere)


def say(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Write text to stdout, or to stderr where it tells of an error. Never raises."""
    outlet = Outlet(sys.stderr if error else sys.stdout)
    outlet.write(text + end)
    outlet.flush()


def warn(message: str, *, stacklevel: int = 1) -> None:
    """As `warnings.warn`; raises the warning where a filter says so, and nothing else."""
    try:
        warnings.warn(message, stacklevel=stacklevel + 1)
    except Warning:
        raise
    except Exception:  # stderr is closed
        pass


@contextlib.contextmanager
def unfailing() -> Iterator[None]:
    """Make stdout and stderr streams that never fail, for all that prints in this context.

    For the command line: other libraries print too, and a program of its own may see to its
    descriptors.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file opened would get it, and what is printed
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    outlets = Outlet(sys.stdout), Outlet(sys.stderr)
    sys.stdout, sys.stderr = cast(Any, outlets)
    try:
        yield
    finally:
        for outlet in outlets:
            outlet.flush()
        sys.stdout, sys.stderr = before
