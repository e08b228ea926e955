"""Compiled programs on disk, so that what is started again need not compile them again.

JAX keeps them; here is where, how many, and what happens to a damaged one.
"""

import contextlib
import os
import platform
import shutil
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache as jax_cache

_one_at_a_time = threading.Lock()
FOLDER = "jax_compilation_cache_dir"
ENABLED = "jax_enable_compilation_cache"
# A run's programs take one MiB. A bound also makes JAX lock the folder and drop the oldest.
OPTIONS = {
    "jax_compilation_cache_max_size": 2**26,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}


@contextlib.contextmanager
def keep_compiled(keep: bool = True) -> Iterator[Path | None]:
    """Keep what JAX compiles in this context, and take from there what was compiled before.

    Where JAX was given a folder of its own (`JAX_COMPILATION_CACHE_DIR`), or told to keep nothing
    (`JAX_ENABLE_COMPILATION_CACHE=0`), that stands. A folder that this user alone can write to is
    needed, as what lies in it is run; without one nothing is kept. If a program in it is damaged,
    it is compiled again, and the folder emptied at the end.

    Args:
      keep: False changes nothing.

    Yields:
      The folder; None where this context changed nothing.

    Example:
      >>> with keep_compiled() as folder:
      ...     value = jax.jit(lambda x: x + 1)(1)
      >>> int(value)
      2
    """
    if not keep or not _one_at_a_time.acquire(blocking=False):  # another thread's stands meanwhile
        yield None
        return
    try:
        with _kept() as folder:
            yield folder
    finally:
        _one_at_a_time.release()


@contextlib.contextmanager
def _kept() -> Iterator[Path | None]:
    """The same, by settings of the whole process: one at a time."""
    before = {name: getattr(jax.config, name) for name in (FOLDER, ENABLED, *OPTIONS)}
    folder = _own_folder() if before[ENABLED] and not before[FOLDER] else None
    if folder is None:
        yield None
        return
    damaged = False
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_others(message: Any, *args: Any, **kwargs: Any) -> None:
            nonlocal damaged
            if "persistent compilation cache entry" in str(message):
                damaged |= "reading" in str(message)  # not where one could not be written
            else:
                show(message, *args, **kwargs)

        warnings.showwarning = show_others
        warnings.filterwarnings("always", ".*persistent compilation cache entry")
        try:
            for name, value in {FOLDER: str(folder), **OPTIONS}.items():
                jax.config.update(name, value)
            jax_cache.reset_cache()  # of a folder that it had before
            yield folder
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            jax_cache.reset_cache()
            if damaged:  # JAX never replaces an entry
                shutil.rmtree(folder, ignore_errors=True)


def _own_folder() -> Path | None:
    """A folder for this kind of processor, made if need be, where no one else can write."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache, "jaxvae", "programs", _processor())
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except (OSError, RuntimeError):  # not writable, or a user without a home
        return None
    others = stat.S_IWGRP | stat.S_IWOTH
    if os.name == "posix" and (state.st_uid != os.getuid() or state.st_mode & others):
        return None
    return folder if os.access(folder, os.W_OK) else None


def _processor() -> str:
    """A name that is the same on processors that run the same programs.

    Machines that share a home may differ, and JAX's own key does not hold the instruction set.
    """
    features = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{zlib.crc32(features.encode()):08x}"
