"""What the first version wrote: its flat config.json, and what its estimators pickled."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxvae.apps import options
from jaxvae.apps.description import Description
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
from jaxvae.data.datasets import Dataset

NEW = {"network", "channels"}  # options that it did not have
KNOWN = {field.name for field in dataclasses.fields(options.Options)} - NEW


def of_config(
    path: Path, fields: Mapping[str, Any]
) -> tuple[Description, options.Options, Dataset]:
    """What a config.json of the first version says.

    Args:
      path: the file, for what is said of it.
      fields: what it holds.

    Returns:
      The model, all options, and the data, as the width of an example stands nowhere else.

    Raises:
      ValueError: if it holds anything else than options, of their types and among their choices.
      TypeError, OSError: if the data cannot be read.
    """
    if unknown := sorted(set(fields) - KNOWN):
        raise ValueError(f"{path} must hold options of `jaxvae train`, got {', '.join(unknown)}")
    own = options.parsed(path, options.Options, fields)
    data = options.load_data(own)
    own = options.resolve(own, data)
    return with_unit_scale(options.describe(own, data)), own, data


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
