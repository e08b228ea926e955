"""Save and restore a run: a folder with its configuration, metrics, parameters and checkpoints.

Nothing here is ever half written, and nothing is unpickled.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
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
from jaxvae.data.files import read_arrays
from jaxvae.model.networks import Params

CONFIG, METRICS, SUMMARY, PARAMS = "config.json", "metrics.jsonl", "summary.json", "params.npz"
CHECKPOINTS = "checkpoints"  # the folder of them in a run's folder
FORMAT = 1  # of a checkpoint
ARRAYS, ABOUT, MANIFEST = "arrays", "about.json", "manifest.json"
STRAY = ".tmp"  # ends the name of what is being written or removed
ANY = object()  # an array of any shape and dtype


@contextlib.contextmanager
def new_run(folder: str | os.PathLike, *, another: bool = False) -> Iterator[Path]:
    """Make the folder of a new run; after an error before its first epoch, leave nothing of it.

    Args:
      folder: where; made with its parents.
      another: whether a folder beside it will do where it exists: the same name with -2, -3, ...

    Yields:
      Its path. No other process can begin a run in it.

    Raises:
      FileExistsError: if it exists and is not an empty folder.
      OSError: if it cannot be made or written to.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "runs", "mine")
      >>> for _ in range(2):
      ...     with new_run(path, another=True) as folder:
      ...         folder.name
      'mine'
      'mine-2'
    """
    wanted = Path(folder)
    made = [path for path in wanted.parents if not path.exists()]
    claim = None
    try:
        path, is_new = _make_folder(wanted, another)
        made = [path, *made] if is_new else made
        claim = _claim(path)
        yield path
    except BaseException:
        if claim is not None and not any(any(path.rglob(name)) for name in (METRICS, PARAMS)):
            for file in path.iterdir():
                shutil.rmtree(file, ignore_errors=True) if file.is_dir() else file.unlink()
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: it holds this run, or another
                folder.rmdir()
        raise
    finally:
        if claim is not None:
            claim.unlink(missing_ok=True)


def _make_folder(wanted: Path, another: bool) -> tuple[Path, bool]:
    """The folder, or where it exists another beside it, and whether it was made here."""
    path, number = wanted, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path, True
        except FileExistsError:
            if not another:
                return path, False
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")


def _claim(folder: Path) -> Path:
    """A file that holds an empty folder against all other processes."""
    claim = folder / f".new{STRAY}"
    if folder.is_dir() and not any(folder.iterdir()):
        with contextlib.suppress(FileExistsError):
            claim.touch(exist_ok=False)
            return claim
    raise FileExistsError(f"out must be a new or empty folder, got {folder}, which has content")


def clean(folder: Path) -> None:
    """Remove what a killed process was writing beside a run's files.

    Args:
      folder: the run's, which no other process uses.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> (folder / ".params.npz.tmp").touch()
      >>> clean(folder)
      >>> list(folder.iterdir())
      []
    """
    for path in folder.glob(f".*{STRAY}"):
        path.unlink()


def sync(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk before going on.

    Args:
      path: the file or the folder.

    Raises:
      OSError: if it cannot be written.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "metrics.jsonl")
      >>> write_text(path, "a line")
      >>> sync(path)
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Args:
      path: the file.
      value: what it shall hold; finite numbers only.

    Raises:
      ValueError: if a number is not finite.
      OSError: if the file cannot be written; what was there stays.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "summary.json")
      >>> write_json(path, {"loss": 1.5})
      >>> read_json(path)
      {'loss': 1.5}
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Args:
      path: the file.
      text: what it shall hold.

    Raises:
      OSError: if the file cannot be written; what was there stays.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "metrics.jsonl")
      >>> write_text(path, "a line")
      >>> path.read_text()
      'a line'
    """
    _write(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
      path: the file.

    Returns:
      The object.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds no JSON object.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "summary.json")
      >>> write_json(path, {"epochs": 3})
      >>> read_json(path)["epochs"]
      3
    """
    if not path.is_file():
        raise FileNotFoundError(f"a run must hold {path.name}; there is no {path}")
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must hold a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(value).__name__}")
    return value


def save_params(path: Path, params: Params) -> None:
    """Save parameters, whole or not at all.

    Args:
      path: the `.npz` file.
      params: the parameters; each array is named by its path in the tree.

    Raises:
      OSError: if the file cannot be written; what was there stays.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "params.npz")
      >>> save_params(path, {"decoder": {"bias": jnp.zeros(2)}})
      >>> list(read_arrays(path))
      ['decoder/bias']
    """
    arrays = {_name(keys): np.asarray(leaf) for keys, leaf in jax.tree.leaves_with_path(params)}
    _write(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def load_params(path: Path, like: Params) -> Params:
    """Load parameters saved by `save_params`.

    Args:
      path: the `.npz`.
      like: a tree of arrays or abstract shapes, as `jax.eval_shape(vae.init, ...)` gives it.

    Returns:
      The parameters, shaped as `like`.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it cannot be read, or its arrays are not those of `like`, or not finite.

    Example:
      >>> path, params = Path(tempfile.mkdtemp(), "params.npz"), {"bias": jnp.zeros(2)}
      >>> save_params(path, params)
      >>> load_params(path, params)
      {'bias': Array([0., 0.], dtype=float32)}
    """
    arrays = read_arrays(path)
    wanted = {_name(keys): leaf for keys, leaf in jax.tree.leaves_with_path(like)}
    if set(arrays) != set(wanted):
        raise ValueError(
            f"{path} must hold the arrays {sorted(wanted)}, got {sorted(arrays)}: "
            "it belongs to another model"
        )
    for name, leaf in wanted.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{path}: {name} must be {leaf.dtype} {leaf.shape}, got {array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} must be finite")
    return jax.tree.map_with_path(lambda keys, leaf: jax.numpy.asarray(arrays[_name(keys)]), like)


@door("checkpoints")
class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was saved. The message names it, and what is wrong with it.

    Example:
      >>> empty = Path(tempfile.mkdtemp())
      >>> try:
      ...     read_checkpoint(empty, lambda beside: {})
      ... except DamagedCheckpointError as error:
      ...     print(empty.name in str(error))
      True
    """


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
    wanted = [(_name(keys), leaf) for keys, leaf in jax.tree.leaves_with_path(tree)]
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
            if path.name.endswith(STRAY):
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
            entries.append({"name": _name(keys), "shape": shape, "dtype": dtype, "key": impl})
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
            _write_manifest(new)
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

    def check(right: bool, what: str) -> None:
        if not right:
            raise DamagedCheckpointError(f"{path} is damaged: {what}")

    manifest = path / MANIFEST
    check(manifest.is_file(), f"there is no {MANIFEST}")
    own, _, body = manifest.read_bytes().partition(b"\n")
    check(hashlib.sha256(body).hexdigest().encode() == own, f"{MANIFEST} was changed")
    files = json.loads(body)
    present = {
        file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()
    } - {MANIFEST}
    for name in sorted(present ^ files.keys()):
        check(False, f"{name} is {'missing' if name in files else 'not one of its files'}")
    for name, (size, digest) in files.items():
        check((path / name).stat().st_size == size, f"{name} has another size")
        check(_digest(path / name) == digest, f"{name} was changed")
    return read_json(path / ABOUT)


def _score(path: Path) -> float | None:
    """The score of a checkpoint; of a damaged one none, so that it is never the best."""
    try:
        return _verified(path)["score"]
    except DamagedCheckpointError:
        return None


def _write_manifest(folder: Path) -> None:
    files = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        sync(file)
        name = file.relative_to(folder).as_posix()
        files[name] = (file.stat().st_size, _digest(file))
    body = json.dumps(files).encode()
    # The manifest begins with its own digest: it too is a file whose bits can flip.
    (folder / MANIFEST).write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    sync(folder / MANIFEST)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    if impl is not None:
        return jax.random.wrap_key_data(jnp.array(array), impl=impl)
    return jnp.array(array)  # a copy: the state is donated to the first epoch


def _name(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _write(path: Path, content: Any) -> None:
    """Write beside the target and rename, so that no reader ever sees half a file."""
    handle, name = tempfile.mkstemp(STRAY, f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    sync(path.parent)
