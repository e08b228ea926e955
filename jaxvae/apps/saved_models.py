"""A trained model as a folder that another process loads: what it is, its parameters, no code."""

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxvae._door import door
from jaxvae.apps import description, saved_inputs
from jaxvae.apps.description import Description
from jaxvae.apps.saved_model import SavedModel
from jaxvae.data.batches import as_batch
from jaxvae.data.dataset import Dataset
from jaxvae.data.formats.source import listed
from jaxvae.data.sparse import is_sparse
from jaxvae.model.evaluation import parts_of_vae
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE, check_model
from jaxvae.model.values import recipe_of
from jaxvae.numerics import checks
from jaxvae.training import manifest, whole_files

MODEL, PARAMS = "model.json", "params.safetensors"
FILES = (MODEL, PARAMS, manifest.MANIFEST)


@door("saved_models")
class DamagedModelError(ValueError):
    """A saved model is not what was saved. The message names the file.

    Example:
      >>> import jaxvae
      >>> path = Path(tempfile.mkdtemp())
      >>> (path / "model.json").write_text("{}")
      2
      >>> try:
      ...     jaxvae.load(path)
      ... except DamagedModelError as error:
      ...     print("there is no manifest.json" in str(error))
      True
    """


def save(
    path: str | os.PathLike,
    vae: Any,
    params: Params | None = None,
    *,
    data: Any = None,
    replace: bool = False,
) -> Path:
    """Save a model, so that another process loads it and needs nothing else.

    The folder holds `model.json`, what the model is, its parts by their public constructors;
    `params.safetensors`; and `manifest.json`, by which damage is found. It is whole or not there.
    A schedule of a KL weight is saved as 1, for which it stands outside of training.

    Args:
      path: the folder.
      vae: made by `bind`, `normal_vae` or `dirichlet_vae`, of public values; functions and Flax
        modules of your own must be registered, `jaxvae.register(name, function)`. Or a fitted
        estimator of `jaxvae.estimators` or `jaxvae.topics` alone, with the names of its labels and
        columns.
      params: its parameters; None for an estimator, which holds them.
      data: what it was trained on: a `jaxvae.Dataset`, whose names of labels and columns are saved
        too, its examples of the shape that the model sees; or examples [N, ...], one is enough; or
        a `jaxvae.Batch` of them, where there is a condition. Where None, a ready-made network says
        the shape of its data. NaN or a mask says that values may be missing.
      replace: whether a model that is saved there already makes place. A folder that holds other
        files beside the model is never replaced: they would be lost.

    Returns:
      The path.

    Raises:
      FileExistsError: if there is something else, or a model and `replace` is False.
      TypeError: if a part has no public constructor or registered name; it is named; or path is
        none.
      ValueError: if the params are not the model's, or the data's shape is not known, or path is
        empty or an address on a hub.
      OSError: if it cannot be written; what was there stays.

    Example:
      >>> import jaxvae
      >>> data = jaxvae.datasets.load_digits()
      >>> vae = jaxvae.dirichlet_vae(jaxvae.dense_dirichlet_network(64, 10, hidden_units=8))
      >>> params = vae.init(jax.random.key(0), data.x_train[:1])
      >>> path = jaxvae.save(Path(tempfile.mkdtemp(), "digits"), vae, params, data=data)
      >>> model = jaxvae.load(path)
      >>> model.encode(data.x_test).shape
      (360, 10)
      >>> model.generate(3, key=jax.random.key(1), category=7).shape
      (3, 64)
    """
    _new_folder(path)
    if (described := getattr(vae, "_described", None)) is not None:
        for name, given in (("params", params), ("data", data)):
            if given is not None:
                raise ValueError(f"{name} must be None where an estimator is saved, which holds "
                                 f"them, got {type(given).__name__}")  # fmt: skip
        what = described()
        return write(path, what, vae.params_, replace=replace)
    check_model(vae)
    if params is None:
        raise TypeError("params must be those of vae, got None")
    return write(path, description.of(vae, **_about(vae, data)), params, replace=replace)


def write(
    path: str | os.PathLike, what: Description, params: Params, *, replace: bool = False
) -> Path:
    """`save` of a model that is described already, as a run's.

    Args:
      path: the folder.
      what: the model.
      params: its parameters.
      replace: whether a model that is saved there already makes place.

    Returns:
      The path.

    Raises:
      FileExistsError, TypeError, ValueError, OSError: as `save`.

    Example:
      >>> import jaxvae
      >>> vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
      >>> params = vae.init(jax.random.key(0), np.zeros((1, 64)))
      >>> what = description.of(vae, data_shape=(64,), column_names=tuple(map(str, range(64))))
      >>> read(write(Path(tempfile.mkdtemp(), "mine"), what, params)).description == what
      True
    """
    _check_params(params, what)
    plain = description.to_json(what)
    place = _new_folder(path).resolve()
    _check_place(place, replace)
    place.parent.mkdir(parents=True, exist_ok=True)
    new = place.with_name(f".{place.name}.{secrets.token_hex(8)}{whole_files.STRAY}")
    try:
        new.mkdir()
        whole_files.write_json(new / MODEL, plain)
        whole_files.save_params(new / PARAMS, params)
        manifest.write(new)
        whole_files.sync(new)
        _into_place(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    whole_files.sync(place.parent)
    return Path(path)


def read(path: Path) -> SavedModel:
    """Read a folder that `save` made.

    Args:
      path: the folder.

    Returns:
      The model with its parameters.

    Raises:
      FileNotFoundError: if there is none.
      DamagedModelError: if a byte is not as it was saved; the file is named.
      ValueError: if it needs a name that is not registered, or is of another version's format.
    """
    if not any((path / name).is_file() for name in FILES):
        raise FileNotFoundError(f"path must name a saved model or a run, got {path}")
    # Beside them may lie what Git, the Hub or a desktop has put there.
    known = manifest.check(path, DamagedModelError, alone=False)
    if missing := sorted({MODEL, PARAMS} - known):
        raise DamagedModelError(f"{path} is damaged: {manifest.MANIFEST} lacks {missing[0]}")
    try:
        what = description.from_json(whole_files.read_json(path / MODEL))
        vae = description.build(what)
        like = _abstract_params(vae, what)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path / MODEL}: {error}") from None
    return SavedModel(vae, whole_files.load_params(path / PARAMS, like), what)


def _about(vae: VAE, data: Any) -> dict[str, Any]:
    """What is known of the data: their shape, and the names that a data set has."""
    if data is None:
        return {"data_shape": _shape_by_network(vae)}
    if not isinstance(data, Dataset):
        batch = as_batch(data)
        return {"data_shape": _shape_of("data", batch.x),
                "condition_shape": None if batch.condition is None
                else _shape_of("condition of data", batch.condition),
                "masked": batch.mask is not None or _has_nan(batch.x)}  # fmt: skip
    shape = _shape_of("data", data.x_train)
    with contextlib.suppress(ValueError):  # where the network says it: images lie flat in the data
        own = _shape_by_network(vae)
        shape = own if np.prod(own) == np.prod(shape) else shape
    found = {name: getattr(data, name, None) for name in ("label_names", "column_names")}
    names = {name: None if v is None else tuple(map(str, v)) for name, v in found.items()}
    return {"data_shape": shape, **description.about(data), **names}


def _has_nan(x: Any) -> bool:
    """Whether values of dense examples are missing."""
    x = saved_inputs.by_names(x, None)
    if is_sparse(x):
        return False
    array = np.asarray(x)
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def _shape_of(name: str, array: Any) -> tuple[int, ...]:
    shape = getattr(array, "shape", None)
    if shape is None and isinstance(array, list | tuple):
        shape = np.shape(array)
    if shape is None or len(shape) < 2:
        raise ValueError(f"{name} must be one array of examples [N, ...] for a model to be saved, "
                         f"got {type(array).__name__}")  # fmt: skip
    return tuple(map(int, shape[1:]))


def _shape_by_network(vae: VAE) -> tuple[int, ...]:
    """The shape of an example that a ready-made network was made for."""
    parts = parts_of_vae("save", vae)
    arguments: dict[str, Any] = {"network": parts.network}
    while (network := arguments.get("network")) is not None:  # one may be around another
        recipe = recipe_of(network.init)
        arguments = {} if recipe is None else recipe.arguments
    size = arguments.get("data_dim", arguments.get("image_shape"))
    if size is None or not parts.likelihood.same_shape:
        raise ValueError("data must be given, one example is enough, where the network does not "
                         "say the shape of x, got None")  # fmt: skip
    return tuple(map(int, size)) if isinstance(size, tuple | list) else (int(size),)


def _abstract_params(vae: VAE, what: Description) -> Params:
    example = description.abstract_example(what.data_shape, what.condition_shape)
    return jax.eval_shape(vae.init, jax.random.key(0), example)


def _check_params(params: Params, what: Description) -> None:
    like = _abstract_params(description.build(what), what)
    arrays = {whole_files.leaf_name(k): leaf for k, leaf in jax.tree.leaves_with_path(params)}
    try:
        whole_files.check_arrays(arrays, like)
    except (ValueError, AttributeError) as error:
        beside = ""
        if what.condition_shape is None:
            beside = ", without a condition (where there is one, data is a jaxvae.Batch with it)"
        raise ValueError(
            f"params must be those of vae for data of the shape {what.data_shape}{beside}: {error}"
        ) from None


def _new_folder(path: Any) -> Path:
    """A path on this machine, which none on a hub is."""
    folder = checks.path("path", path)
    if str(path).startswith("hf:/"):
        raise ValueError(f"path must be a folder on this machine, got {path}; `jaxvae push` brings "
                         "a saved model to the Hub")  # fmt: skip
    return folder


def _check_place(path: Path, replace: bool) -> None:
    checks.boolean("replace", replace)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    held = {file.name for file in path.iterdir()} if path.is_dir() else set()
    if MODEL not in held or (more := sorted(held - set(FILES))):
        what = f"{listed(more)} beside the model" if MODEL in held else "something else"
        raise FileExistsError(f"path must be new, empty, or a saved model alone, got {path}, which "
                              f"holds {what}")  # fmt: skip
    if not replace:
        raise FileExistsError(f"path must be new or empty, got {path}, where a model is saved; "
                              "replace=True puts this one in its place")  # fmt: skip


def _into_place(new: Path, path: Path) -> None:
    """A model that was there is renamed before it is removed: there is never half of one."""
    old = new.with_name(f"{new.name}.old{whole_files.STRAY}")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
