"""The data of a run, read again: where they lay, where they lie now, or others like them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.apps import chosen, options
from jaxvae.apps.description import Description
from jaxvae.apps.model_parts import Identity
from jaxvae.apps.run_config import Config, Origin
from jaxvae.data import sparse
from jaxvae.data.dataset import Dataset
from jaxvae.model import transforms

# Of a model that `jaxvae.save` saved: it names no data.
NOWHERE = Origin(name="a saved model", train_examples=0, fingerprint="")


def load_data(config: Config, path: Path | None = None, *, other: bool = False) -> Dataset:
    """The data of a run, read as the run's options say.

    Args:
      config: of the run.
      path: where they lie now; None: where they lay.
      other: whether they may be others than it was trained on. Labels are then by the names that
        the model knows, columns by their names, and all examples are test examples.

    Returns:
      The data, examples of the shape that the model sees.

    Raises:
      ValueError: if their content is not what the run was trained on.
      ValueError, TypeError, OSError: if they cannot be read.
    """
    if path is None and config.origin == NOWHERE:
        raise ValueError("data must be given for a saved model, which names none: --data and "
                         "--other-data")  # fmt: skip
    own, model = config.data, config.model
    if path is not None:
        own = dataclasses.replace(own, data=options.absolute(path), dataset="digits", data_dir=None)
    origin = config.origin
    known = model if other or origin is None else None

    def read(known: Description | None, **how: bool) -> Dataset:
        data = chosen.load_data(own, known, **how)
        if path is None:
            return data
        images = data.kind == "images"
        x, x_test = (as_shares(config, x, images=images) for x in (data.x_train, data.x_test))
        return data._replace(x_train=x, x_test=x_test)

    try:
        data = read(known, split=not other)
    except FileNotFoundError as error:
        if path is None:
            raise FileNotFoundError(f"{error}; --data says where the run's data lie now") from None
        raise
    except (ValueError, TypeError):
        # As for new data: that names options of `jaxvae train`, which no other command has.
        if path is None or other or origin is None:
            raise
        data = read(model, examples_only=True)
    if other or origin is None or data.fingerprint == origin.fingerprint:
        return shaped(data, model)
    if path is not None and model.column_names not in (None, data.column_names):
        data = read(model, examples_only=True)  # among others its columns may be
        if data.fingerprint == origin.fingerprint:
            return shaped(data, model)
    where = own.data or own.dataset
    raise ValueError(
        f"data must be what the run was trained on, but the content of {where} is another; "
        "--other-data takes it all the same"
    )


def as_shares(config: Config, x: Any, *, images: bool) -> Any:
    """Bytes divided by 256 where a run's own were before they were a data set, as MNIST's.

    Args:
      config: of the run. A saved model names no data: then its transform and the range of its
        images tell whether it knows them as numbers from 0 to 1.
      x: examples [N, ...] of a file.
      images: whether the file says that they are images.

    Returns:
      The examples; what are no such bytes as they are.
    """
    if sparse.is_sparse(x) or x.dtype != np.uint8:
        return x
    divided = config.data.data is None
    if config.origin == NOWHERE:
        known, model = config.model.image_range, config.model
        plain = model.transform in (Identity(), transforms.identity())
        divided = plain and x.max() > 1 and (images if known is None else known == (0, 1))
    return x / np.float32(256) if divided else x


def shaped(data: Dataset, model: Description) -> Dataset:
    """Data as the model sees them.

    Args:
      data: examples [N, D].
      model: of the run.

    Returns:
      The data, their examples [N, ...] of the model's shape.

    Raises:
      ValueError: if they are of another size.
    """
    shape, width = model.data_shape, data.x_train.shape[1]
    if np.prod(shape) != width:
        raise ValueError(f"data must be examples of the shape {shape} as the model's, got {width} "
                         f"values in {data.name}")  # fmt: skip
    if len(shape) == 1:  # as a data set has them, sparse ones too
        return data
    names = ("x_train", "x_test", "mask_train", "mask_test")
    whole = {name: getattr(data, name) for name in names}
    return data._replace(
        **{name: x.reshape(-1, *shape) for name, x in whole.items() if x is not None}
    )
