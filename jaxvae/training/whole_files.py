"""The files of a run, JSON, text and parameters: never half written, and nothing is unpickled."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.data.files import read_arrays
from jaxvae.model.networks import Params

STRAY = ".tmp"  # ends the name of what is being written or removed, before a file's own ending
SAFETENSORS = ".safetensors"
# What this format calls NumPy's types of numbers.
DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}  # fmt: skip


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


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file of any kind, whole or not at all: no reader ever sees half of it.

    Args:
      path: the file; one that is there is replaced at the end, and stays after an error.

    Yields:
      A path beside it, of the same ending, to write to.

    Raises:
      OSError: if the file cannot be written.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "curve.csv")
      >>> with whole(path) as new:
      ...     _ = new.write_text("epoch,loss")
      ...     path.exists()
      False
      >>> path.read_text()
      'epoch,loss'
    """
    if not path.parent.is_dir():  # else the error would name the other path
        raise FileNotFoundError(f"{path} must be in a folder that exists")
    new = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{STRAY}{path.suffix}")
    try:
        yield new
        sync(new)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
    sync(path.parent)


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
    with whole(path) as new:
        new.write_bytes(text.encode())


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
      path: the file, `.safetensors` or `.npz`.
      params: the parameters; each array is named by its path in the tree.

    Raises:
      ValueError: if the format has no name for an array's type; the array is named.
      OSError: if the file cannot be written; what was there stays.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "params.safetensors")
      >>> save_params(path, {"decoder": {"bias": jnp.zeros(2)}})
      >>> load_params(path, {"decoder": {"bias": jnp.ones(2)}})
      {'decoder': {'bias': Array([0., 0.], dtype=float32)}}
    """
    arrays = {leaf_name(keys): np.asarray(leaf) for keys, leaf in jax.tree.leaves_with_path(params)}
    with whole(path) as new, new.open("wb") as file:
        if path.suffix == SAFETENSORS:
            file.write(_to_safetensors(path, arrays))
        else:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def load_params(path: Path, like: Params) -> Params:
    """Load parameters saved by `save_params`.

    Args:
      path: the `.safetensors` or the `.npz`.
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
    arrays = _read_safetensors(path) if path.suffix == SAFETENSORS else read_arrays(path)
    try:
        check_arrays(arrays, like)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return jax.tree.map_with_path(
        lambda keys, leaf: jax.numpy.asarray(arrays[leaf_name(keys)]), like
    )


def check_arrays(arrays: Mapping[str, Any], like: Params) -> None:
    """Refuse arrays that are not a model's parameters.

    Args:
      arrays: by the names of `leaf_name`.
      like: a tree of arrays or abstract shapes, the model's.

    Raises:
      ValueError: if a name, a shape or a type differs, or a number is not finite.

    Example:
      >>> check_arrays({"bias": np.zeros(2, np.float32)}, {"bias": jnp.zeros(2)})
    """
    wanted = {leaf_name(keys): leaf for keys, leaf in jax.tree.leaves_with_path(like)}
    if set(arrays) != set(wanted):
        raise ValueError(
            f"it must hold the arrays {sorted(wanted)}, got {sorted(arrays)}: "
            "it belongs to another model"
        )
    for name, leaf in wanted.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{name} must be {leaf.dtype} {leaf.shape}, got {array.dtype} {array.shape}"
            )
        if not np.isfinite(np.asarray(array)).all():
            raise ValueError(f"{name} must be finite")


def _to_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save  # here: an import of the library needs none of it

    for name, array in arrays.items():
        if array.dtype.name not in DTYPES.values():
            raise ValueError(f"{path}: {name} must be of one of the types "
                             f"{', '.join(DTYPES.values())}, got {array.dtype}")  # fmt: skip
    # It copies memory as it lies; sorted, so that equal parameters make equal files.
    return save({name: np.asarray(arrays[name], order="C") for name in sorted(arrays)})


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Its arrays. The reader of the format checks that the header and its offsets fit the bytes."""
    import safetensors

    if not path.is_file():
        raise FileNotFoundError(f"path must name an existing file, got {path}")
    try:
        return {
            name: np.frombuffer(about["data"], DTYPES[about["dtype"]]).reshape(about["shape"])
            for name, about in safetensors.deserialize(path.read_bytes())
        }
    except Exception as error:  # its own, and what a type without a name raises
        raise ValueError(f"path must name a whole safetensors file, {path}: {error}") from None


def leaf_name(keys: Any) -> str:
    """What an array is called in a file.

    Args:
      keys: the array's path in its tree.

    Returns:
      The name, as `decoder/bias`.
    """
    return jax.tree_util.keystr(keys, simple=True, separator="/")
