"""Save and restore a run: a folder with its configuration, metrics, summary and parameters."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae.datasets import read_arrays
from jaxvae.networks import Params

CONFIG, METRICS, SUMMARY, PARAMS = "config.json", "metrics.jsonl", "summary.json", "params.npz"


def new_run(folder: str | os.PathLike) -> Path:
    """Make the folder of a new run.

    Args:
      folder: where; made with its parents.

    Returns:
      Its path.

    Raises:
      FileExistsError: if it exists and is not an empty folder.
      OSError: if it cannot be made or written to.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"out must be a new or empty folder, got {folder}, which has content")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all.

    Args:
      path: the file.
      value: what it shall hold; finite numbers only.

    Raises:
      ValueError: if a number is not finite.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
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


def _name(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _write(path: Path, content: Any) -> None:
    """Write beside the target and rename, so that no reader ever sees half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
