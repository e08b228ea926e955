"""The checkpoints of one run: written in a thread of its own, read with every byte compared."""

import contextlib
import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import filelock
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae._output import warn
from jaxvae._version import __version__
from jaxvae.training import manifest
from jaxvae.training.manifest import DamagedCheckpointError
from jaxvae.training.run_folder import METRICS
from jaxvae.training.whole_files import STRAY, leaf_name, read_json, sync

FORMAT = 1  # of a checkpoint
ARRAYS, ABOUT = "arrays", "about.json"
UNFINISHED = re.compile(rf"\d{{10,}}(\.old)?{re.escape(STRAY)}")  # a folder of ours, half written
ANY = object()  # an array of any shape and dtype


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, whole or damaged.

    Args:
      folder: where they are.

    Returns:
      Their paths, the earliest step first.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> for step in 20, 10:
      ...     (folder / f"{step:010d}").mkdir()
      >>> [path.name for path in checkpoints_in(folder)]
      ['0000000010', '0000000020']
    """
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def read_checkpoint(
    path: Path, like: Callable[[dict[str, Any]], Any]
) -> tuple[Any, dict[str, Any]]:
    """Read one checkpoint, every byte of it compared with what was saved.

    Args:
      path: its folder.
      like: called with what was saved beside the arrays; gives a tree of arrays or abstract
        shapes, which the checkpoint must hold. A leaf that is ANY is read as a NumPy array of the
        shape and dtype that it has.

    Returns:
      The tree, in new arrays, and what was saved beside it.

    Raises:
      DamagedCheckpointError: if it is not what was saved.
      ValueError: if it is of another format, or its arrays are not those of `like`.

    Example:
      >>> writer = CheckpointWriter(Path(tempfile.mkdtemp()))
      >>> writer.save(7, {"w": jnp.ones(2)}, {"epochs": 1}, score=None)
      >>> writer.close()
      >>> (path,) = checkpoints_in(writer.folder)
      >>> read_checkpoint(path, lambda beside: {"w": ANY})
      ({'w': array([1., 1.], dtype=float32)}, {'epochs': 1})
    """
    about = _verified(path)
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path} must be a checkpoint of format {FORMAT}, got {about.get('format')!r}, written "
            f"by jaxvae {about.get('jaxvae')}: read it with that version"
        )
    tree = like(about["beside"])
    wanted = [(leaf_name(keys), leaf) for keys, leaf in jax.tree.leaves_with_path(tree)]
    stored = {entry["name"]: (tuple(entry["shape"]), entry["dtype"]) for entry in about["arrays"]}
    expected = {
        name: stored.get(name) if leaf is ANY else _shape_and_dtype(leaf) for name, leaf in wanted
    }
    if stored != expected:
        different = sorted(
            name for name in stored.keys() | expected if stored.get(name) != expected.get(name)
        )
        raise ValueError(
            f"{path} must be of this model and optimizer; it differs in {', '.join(different[:3])}"
            + (f" and {len(different) - 3} more arrays" if len(different) > 3 else "")
        )
    arrays = _read_arrays(path, {_slot(i): stored[name] for i, (name, _) in enumerate(wanted)})
    impls = {entry["name"]: entry["key"] for entry in about["arrays"]}
    leaves = [
        _from_numpy(arrays[_slot(i)], leaf, impls[name]) for i, (name, leaf) in enumerate(wanted)
    ]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves), about["beside"]


def _read_arrays(path: Path, wanted: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, whose names, shapes and dtypes must be the `wanted` ones."""
    folder = (path / ARRAYS).absolute()  # Orbax takes no other path
    with _orbax() as orbax:
        try:
            about = orbax.metadata(folder).item_metadata  # None where Orbax finds none
            inside = {
                name: (tuple(leaf.shape), np.dtype(leaf.dtype).name)
                for name, leaf in (about.tree if about else {}).items()
            }
            if inside == wanted:
                return orbax.restore(folder)
        except MemoryError:
            raise
        except Exception as error:  # damaged bytes make it raise a dozen kinds
            raise DamagedCheckpointError(f"{path} is damaged: {error}") from error
    raise DamagedCheckpointError(f"{path} is damaged: its arrays are not those it lists")


def read_last(
    folder: Path, like: Callable[[dict[str, Any]], Any]
) -> tuple[Any, dict[str, Any]] | None:
    """Read the last checkpoint that is whole; one that is damaged is named in a warning.

    Args:
      folder: where the checkpoints are.
      like: as in `read_checkpoint`.

    Returns:
      As `read_checkpoint`, or None where there is none.

    Raises:
      DamagedCheckpointError: if there are checkpoints and all of them are damaged.
      ValueError: if the last whole one is of another model.

    Example:
      >>> read_last(Path(tempfile.mkdtemp()), lambda beside: {}) is None
      True
    """
    damaged = None
    for path in reversed(checkpoints_in(folder)):
        try:
            found = read_checkpoint(path, like)
        except DamagedCheckpointError as error:
            damaged = error
            continue
        if damaged is not None:
            warn(f"{damaged}; going on from {path.name}", stacklevel=2)
        return found
    if damaged is not None:
        raise DamagedCheckpointError(f"{damaged}; there is no whole one before it")
    return None


@door("checkpoints")
class CheckpointWriter:
    """Writes the checkpoints of one run, in a thread of its own; one writer a folder.

    A checkpoint is a folder named by its step: the arrays, by Orbax; what goes beside them; and
    a manifest of the size and the SHA-256 of every file. It is written under another name,
    flushed to the disk and renamed: a reader sees all of it or nothing.

    Args:
      folder: where; made with its parents.
      keep: how many of the last to keep; the one of the lowest score is kept too.

    Raises:
      OSError: if the folder cannot be made or written to, or another process writes to it.

    Example:
      >>> writer = CheckpointWriter(Path(tempfile.mkdtemp()), keep=1)
      >>> for step in 1, 2:
      ...     writer.save(step, {"w": jnp.full(2, float(step))}, {}, score=None)
      >>> writer.close()
      >>> [path.name for path in checkpoints_in(writer.folder)]
      ['0000000002']
    """

    def __init__(self, folder: Path, *, keep: int = 3):
        self.folder, self.keep = folder, keep
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise OSError(f"{folder} is in use by another process") from None
        except OSError as error:
            raise _unwritable(folder, error) from error
        for path in folder.iterdir():  # what a killed process left; ours is the only one now
            if UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path)
        self._scores = {path.name: _score(path) for path in checkpoints_in(folder)}
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[float] | None = None
        self._seconds, self._ended = 0.0, time.monotonic()

    def is_cheap(self) -> bool:
        """Whether to save now would keep the cost of all saves below 3% of the time."""
        if self._saving is not None and not self._saving.done():
            return False
        self._wait()
        return time.monotonic() - self._ended > 33 * self._seconds

    def save(self, step: int, tree: Any, beside: Mapping[str, Any], score: float | None) -> None:
        """Save a checkpoint; returns as soon as the arrays are copied.

        Args:
          step: names it. One of the same step is replaced.
          tree: of arrays.
          beside: what JSON can hold.
          score: the lower the better; None where there is none.

        Raises:
          OSError: if this one or the one before cannot be written. Those written stay.
        """
        self._wait()
        entries, arrays = [], {}
        for i, (keys, leaf) in enumerate(jax.tree.leaves_with_path(tree)):
            impl = str(jax.random.key_impl(leaf)) if _is_key(leaf) else None
            array = np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
            arrays[_slot(i)] = array  # a copy, as the state is donated to the next epoch
            shape, dtype = array.shape, array.dtype.name
            entries.append({"name": leaf_name(keys), "shape": shape, "dtype": dtype, "key": impl})
        about = {
            "format": FORMAT,
            "jaxvae": __version__,
            "score": score,
            "arrays": entries,
            "beside": beside,
        }
        self._saving = self._thread.submit(self._write, f"{step:010d}", arrays, about)

    def close(self) -> None:
        """Wait for the last save, and let others write.

        Raises:
          OSError: if the last one cannot be written.
        """
        try:
            self._wait()
        finally:
            self._thread.shutdown()
            self._lock.release()

    def _wait(self) -> None:
        if self._saving is None:
            return
        saving, self._saving = self._saving, None
        try:
            self._seconds = saving.result()
            self._ended = time.monotonic()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _write(self, name: str, arrays: dict[str, np.ndarray], about: Mapping[str, Any]) -> float:
        started = time.monotonic()
        new = self.folder / f"{name}{STRAY}"
        try:
            new.mkdir()
            with _orbax() as orbax:
                orbax.save((new / ARRAYS).absolute(), arrays)  # it takes no other path
            (new / ABOUT).write_text(json.dumps(about, allow_nan=False))
            manifest.write(new)
            metrics = self.folder.absolute().parent / METRICS
            if metrics.is_file():  # a run goes on from here, and its lines up to here must be there
                sync(metrics)
                sync(metrics.parent)
            self._remove(self.folder / name)
            new.rename(self.folder / name)
            sync(self.folder)
        except BaseException as error:
            shutil.rmtree(new, ignore_errors=True)
            if isinstance(error, Exception) and not isinstance(error, OSError | ImportError):
                raise OSError(str(error)) from error  # Orbax wraps the system's errors in its own
            raise
        self._scores[name] = about["score"]
        self._prune()
        return time.monotonic() - started

    def _prune(self) -> None:
        paths = checkpoints_in(self.folder)
        scores = {p: score for p in paths if (score := self._scores[p.name]) is not None}
        best = min(scores, key=lambda path: scores[path], default=None)
        for path in paths[: -self.keep]:
            if path != best:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        # Renamed first: what is half removed must not look like a damaged checkpoint.
        if path.exists():
            old = path.with_name(f"{path.name}.old{STRAY}")
            path.rename(old)
            shutil.rmtree(old)


def _verified(path: Path) -> dict[str, Any]:
    """What a checkpoint says about itself, once each of its bytes is known to be as saved."""
    manifest.check(path)
    return read_json(path / ABOUT)


def _score(path: Path) -> float | None:
    """The score of a checkpoint; of a damaged one none, so that it is never the best."""
    try:
        return _verified(path)["score"]
    except DamagedCheckpointError:
        return None


def _unwritable(folder: Path, error: OSError) -> OSError:
    last = [path.name for path in checkpoints_in(folder)[-1:]]
    kept = f"; the checkpoint before it is whole: {last[0]}" if last else ""
    return OSError(f"checkpoints cannot be written to {folder}: {error}{kept}")


@contextlib.contextmanager
def _orbax() -> Iterator[Any]:
    """Orbax's checkpointer for arrays of this process alone. It is slow to import.

    It logs what it raises, traceback and all, and more; what is raised is told, so none is wanted.
    """
    from orbax import checkpoint as ocp

    index = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=index, active_processes={index})
    log = logging.getLogger("absl")

    def is_anothers(record: logging.LogRecord) -> bool:
        return "orbax" not in Path(record.pathname).parts

    log.addFilter(is_anothers)  # one of its own a call: another thread may be in here too
    try:
        with ocp.Checkpointer(
            ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
            multiprocessing_options=alone,
        ) as checkpointer:
            yield checkpointer
    finally:
        log.removeFilter(is_anothers)


def _slot(i: int) -> str:
    """Under which name Orbax holds an array: no name from the tree becomes a file's."""
    return f"array{i:04d}"


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # optax.add_noise has one in its state


def _shape_and_dtype(leaf: Any) -> tuple[tuple[int, ...], str]:
    if _is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return tuple(leaf.shape), np.dtype(leaf.dtype).name


def _from_numpy(array: np.ndarray, like: Any, impl: str | None) -> Any:
    if like is ANY:
        return array
    if impl is None and getattr(like, "sharding", None) is not None:  # where it is to lie
        return jax.device_put(array, like.sharding, may_alias=False)
    if impl is not None:
        return jax.random.wrap_key_data(jnp.array(array), impl=impl)
    return jnp.array(array)  # a copy: the state is donated to the first epoch
