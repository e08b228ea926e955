"""Text for people, on stdout and stderr: whatever fails there, a run goes on.

All that the library prints goes through here.
"""

import contextlib
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any, cast

WIDTH = 80  # columns, that every terminal has
_quiet = False  # whether `say` says nothing but errors


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


def say(text: str, name: Any = None, *, end: str = "\n", error: bool = False) -> None:
    """Write text to stdout, or to stderr where it tells of an error. Never raises.

    A line of more than 80 columns is wrapped; that of an error on a terminal alone, as in a log it
    is found more easily in one piece. Within `quiet` nothing but errors is written.

    Args:
      text: one line or more.
      name: of a file or a folder, or a command line, that follows the text; None: nothing does. It
        is never wrapped, so that it can be copied: a long one gets a line of its own.
      end: what follows.
      error: whether it tells of an error.
    """
    if _quiet and not error:
        return
    outlet = Outlet(sys.stderr if error else sys.stdout)
    if not error or outlet.isatty():
        text = wrapped(text)
    if name is not None:
        fits = len(text.rpartition("\n")[2]) + 1 + len(str(name)) <= WIDTH
        text = f"{text} {name}" if fits else f"{text}\n  {name}"
    outlet.write(text + end)
    outlet.flush()


def say_made(text: str, name: Any) -> None:
    """Say what was made and what it is called; within `quiet` its name alone, as a script needs it.

    Args:
      text: ends where the name follows.
      name: of a file, a folder or a page.
    """
    if not _quiet:
        say(text, name)
        return
    outlet = Outlet(sys.stdout)
    outlet.write(f"{name}\n")
    outlet.flush()


def wrapped(text: str, width: int = WIDTH) -> str:
    """Text whose lines have at most so many columns, but for words that are longer.

    Args:
      text: one line or more. A line that is short enough stays as it is, spaces included.
      width: columns.

    Returns:
      The text. What is left of a long line follows on lines of its own, two columns further in.
    """

    def lines(line: str) -> list[str]:
        if len(line) <= width:
            return [line]
        margin = " " * (len(line) - len(line.lstrip()))
        return textwrap.wrap(
            line.strip(),
            width,
            initial_indent=margin,
            subsequent_indent=f"{margin}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )

    return "\n".join(part for line in text.split("\n") for part in lines(line))


def counted(count: int, what: str) -> str:
    """How many there are of something.

    Args:
      count: how many.
      what: one of them, whose plural ends in s.

    Returns:
      The text.

    Example:
      >>> counted(1, "example"), counted(1200, "example")
      ('1 example', '1,200 examples')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def number(value: float, width: int) -> str:
    """A number in at most so many columns: with fewer decimals, in the end as 1e+09.

    Args:
      value: the number.
      width: columns, at least 7.

    Returns:
      The text, with four decimals where they fit and say something.
    """
    texts = [f"{value:.{decimals}f}" for decimals in (4, 3, 2, 1, 0)]
    if 0 < abs(value) < 1e-3:
        texts = []
    texts += [f"{value:.{digits}e}" for digits in (4, 3, 2, 1)]
    return next((text for text in texts if len(text) <= width), f"{value:.0e}")


@contextlib.contextmanager
def quiet(asked: bool = True) -> Iterator[None]:
    """Say nothing but errors and the names of what was made, in this context.

    Args:
      asked: whether it is so; where not, this changes nothing.
    """
    global _quiet
    before, _quiet = _quiet, _quiet or asked
    try:
        yield
    finally:
        _quiet = before


def is_quiet() -> bool:
    """Whether nothing but errors is said."""
    return _quiet


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
