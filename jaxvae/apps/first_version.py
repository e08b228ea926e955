"""What the first version wrote: its flat config.json, and what its estimators pickled."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.apps import chosen, options
from jaxvae.apps.description import Description, build
from jaxvae.apps.model_parts import (
    KINDS,
    UNIT,
    Dense,
    DirichletLatent,
    Elbo,
    FromLabels,
    NormalLatent,
    StandardNormal,
    Symmetric,
)
from jaxvae.data.dataset import from_arrays
from jaxvae.data.files import read_arrays
from jaxvae.training import run_folder

# Options that it did not have.
NEW = {
    "network", "channels", "likelihood_scale", "kind", "missing", "scale", "style_dim",
    "category_kl_weight", *options.READING,
}  # fmt: skip
WIDTH = "decoder/decoded/bias"  # the parameter that is as wide as an example
KNOWN = {field.name for field in dataclasses.fields(options.Options)} - NEW


def of_config(path: Path, fields: Mapping[str, Any]) -> tuple[Description, options.Options]:
    """What a config.json of the first version says.

    The width of an example does not stand in it: the parameters beside it have it, else the data.

    Args:
      path: the file.
      fields: what it holds.

    Returns:
      The model and all options.

    Raises:
      ValueError: if it holds anything else than options, of their types and among their choices.
      TypeError, OSError: if the data are needed and cannot be read.
    """
    if unknown := sorted(set(fields) - KNOWN):
        raise ValueError(f"{path} must hold options of `jaxvae train`, got {', '.join(unknown)}")
    own = options.parsed(path, options.Options, fields)
    own = dataclasses.replace(own, scale="none")
    params = path.with_name(run_folder.FIRST_PARAMS)
    try:
        data = chosen.load_data(own)
    except (OSError, ValueError, TypeError):
        if own.latent_dim is None or not params.exists():
            raise
        width = len(read_arrays(params).get(WIDTH, [0]))
        data = from_arrays(np.zeros((2, max(1, width))), name="unknown")
    # It held nothing out, averaged nothing and weighed nothing where that was left open.
    left_open = ("hold_out", "patience", "average", "label_weight")
    open_then = {name: getattr(own, name) for name in left_open}
    own = dataclasses.replace(chosen.resolve(own, data), **open_then)
    model = with_unit_scale(chosen.describe(own, data))
    parts = build(model).parts
    # A label was the number of its category.
    by_labels = parts is not None and parts.prior.uses_labels
    numbers = tuple(map(str, range(model.latent_dim))) if by_labels else None
    return dataclasses.replace(model, label_names=numbers), own


def with_unit_scale(model: Description) -> Description:
    """A model by the first version's names: its Normal likelihood had unit variance.

    Args:
      model: by today's names.

    Returns:
      The description.
    """
    by_name = KINDS["likelihood"]["normal"]()
    return dataclasses.replace(model, likelihood=UNIT) if model.likelihood == by_name else model


class PickledModel:
    """`jaxvae.estimators._Model` of the first version: what its pickles hold of a model, as values.

    Called with them, as unpickling does, it gives the description that they become.

    Example:
      >>> PickledModel(64, 2, "normal", (3.0,), 1, 16, "relu", "bernoulli", 1.0).prior
      StandardNormal(variance=3.0)
    """

    def __new__(  # type: ignore[misc]
        cls,
        data_dim: int,
        latent_dim: int,
        prior: str,
        prior_options: tuple[float, ...],
        layers: int,
        hidden_units: int,
        activation: Any,
        likelihood: str,
        kl_weight: float,
    ) -> Description:
        parts: dict[str, tuple[Any, Any, list[str]]] = {
            "normal": (NormalLatent, StandardNormal, ["variance"]),
            "symmetric": (DirichletLatent, Symmetric, ["concentration"]),
            "labels": (DirichletLatent, FromLabels, ["smoothness", "total_concentration"]),
        }
        latent, made_prior, names = parts[prior]
        made = Description(
            latent=latent(),
            prior=made_prior(**dict(zip(names, prior_options, strict=True))),
            likelihood=KINDS["likelihood"][likelihood](),
            objective=Elbo(kl_weight=kl_weight),
            network=Dense(layers=layers, hidden_units=hidden_units, activation=activation),
            data_shape=(data_dim,),
            latent_dim=latent_dim,
            jaxvae="0.1.0",
        )
        return with_unit_scale(made)
