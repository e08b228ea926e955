"""What the command line tells of an exception: one line, or for a bug the whole traceback."""

import itertools
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from jaxvae import _output

# What is told in its own words: bad arguments and files, and what the system refuses.
TOLD = (ValueError, TypeError, OSError, ImportError, FloatingPointError, OverflowError)
# What XLA says where it is no bug: memory or a host that is not there.
OUTSIDE = ("RESOURCE_EXHAUSTED", "Out of memory", "UNAVAILABLE", "DEADLINE_EXCEEDED")

INTERRUPTED = 128 + signal.SIGINT  # the exit status after Ctrl-C


def one_line(error: BaseException) -> str | None:
    """What to tell of an exception, in one line; None for a bug."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = " ".join(str(error).split()) or type(error).__name__
    if package := _broken_package(error):
        return f"jaxvae: error: {package} cannot be imported: {text}"
    if isinstance(error, MemoryError):
        return f"jaxvae: error: out of memory: {text}"
    if isinstance(error, TOLD):
        return f"jaxvae: error: {text}"
    if isinstance(error, RuntimeError) and any(status in text for status in OUTSIDE):
        return f"jaxvae: error: {text}"
    if isinstance(error, Exception) and not _has_device():  # that is why anything else fails
        platforms = os.environ.get("JAX_PLATFORMS", "")
        return f"jaxvae: error: JAX has no device here with JAX_PLATFORMS={platforms!r}: {text}"
    return None


def status(error: BaseException) -> int:
    """The exit status that belongs to `one_line`: 130 after Ctrl-C, else 1."""
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def _broken_package(error: BaseException) -> str | None:
    """The package of another's whose import, asked for by this one, raised the error."""
    frames = [
        frame
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if not _module(frame).startswith("importlib")
    ]
    for asks, answers in itertools.pairwise(frames):
        package = _module(answers).partition(".")[0]
        if _module(asks).partition(".")[0] == "jaxvae" != package:
            return package if answers.f_code.co_name == "<module>" else None
    return None


def _module(frame: Any) -> str:
    return frame.f_globals.get("__name__", "")


def _has_device() -> bool:
    try:
        import jax

        return bool(jax.devices())
    except Exception:
        return False


def is_command_line() -> bool:
    """Whether this process is the command line, and no program of someone's own."""
    by_name = Path(next(iter(getattr(sys, "argv", [])), "")).stem == "jaxvae"
    by_module = sys.argv[:1] == ["-m"] and ("-m", "jaxvae") in itertools.pairwise(sys.orig_argv)
    return by_name or by_module


def _watch_command() -> None:
    """In a process that is the command line, tell in one line what happens outside of its `main`.

    Above all while JAX is imported: that takes seconds, in which Ctrl-C may come, and it fails
    where the installation is broken.
    """
    if not is_command_line():
        return
    sys.excepthook = _show
    sys.unraisablehook = _raise_again
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Some imports catch whatever is raised in them, this exception too.
        signal.signal(signal.SIGINT, _leave)


def imported() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt: there may be something to put in order."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: Any) -> None:
    error = KeyboardInterrupt()
    _output.say(one_line(error) or "", error=True)
    os._exit(status(error))


def _raise_again(unraisable: Any) -> None:
    """Ctrl-C is not lost where it comes in a callback: JAX has one for each garbage collection."""
    if unraisable.exc_type is KeyboardInterrupt:  # later, as in here it would be lost once more
        main = threading.main_thread().ident
        threading.Timer(0.01, signal.pthread_kill, (main, signal.SIGINT)).start()
    elif threading.current_thread() is threading.main_thread():
        sys.__unraisablehook__(unraisable)
    # Else it is a callback of Orbax's, after the error that is told: its event loop is closed.


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = one_line(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
        return
    _output.say(line, error=True)
    sys.exit(status(error))  # after Ctrl-C Python would end itself by a signal


_watch_command()  # at import, which is the first of all that `import jaxvae` does
