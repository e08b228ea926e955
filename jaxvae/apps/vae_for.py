"""The model that `jaxvae train` makes for a data set, for one's own `fit`."""

import dataclasses
import typing
from typing import Any

from jaxvae.apps import chosen, description
from jaxvae.apps.option_effects import check_effect
from jaxvae.apps.options import ModelOptions, Options
from jaxvae.data.dataset import Dataset
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks

FIELDS = {field.name for field in dataclasses.fields(ModelOptions)} | {"scale"}


def vae_for(data: Dataset, **options: Any) -> VAE:
    """The model that `jaxvae train` makes for a data set.

    Args:
      data: of `datasets.load`, `load_digits`, `load_mnist` or `from_arrays`. Examples [N, D], or
        [N, ...] as they are where the network is convolutional.
      **options: of the model, by the names that `jaxvae train --help` gives them, as
        `model="normal"`, `latent_dim=8` or `scale="none"`. What is left out follows the data.

    Returns:
      The model, in the units of the data; an equal one for equal arguments.

    Raises:
      ValueError, TypeError: if there is no such option, its value is not allowed, or it has no
        effect; it is named.

    Example:
      >>> from jaxvae import datasets
      >>> vae = vae_for(datasets.load_digits())
      >>> [name for name, _ in vae.parts.latent.parts]
      ['category', 'style']
      >>> vae_for(datasets.load_digits(), model="normal", latent_dim=3).parts.latent.support
      'real'
    """
    checks.instance("data", data, Dataset, "a jaxvae.Dataset")
    if unknown := sorted(set(options) - FIELDS):
        raise TypeError(
            f"options must be among {', '.join(sorted(FIELDS))}, got {', '.join(unknown)}"
        )
    for name, allowed in _choices().items():
        if (value := options.get(name)) is not None:
            checks.one_of(name, value, allowed)
    for name in ("latent_dim", "style_dim"):
        if (number := options.get(name)) is not None:
            checks.positive_int(name, number)
    given = Options(**options)
    check_effect(given)
    # `missing` is how data are read; these are read already.
    masked = dataclasses.replace(given, missing="mask") if data.mask_train is not None else given
    own = chosen.resolve(masked, data)
    check_effect(dataclasses.replace(own, missing="refuse"))
    return description.build(chosen.describe(own, data))


def _choices() -> dict[str, tuple[Any, ...]]:
    """The options that are one of a few words, and these."""
    found = {}
    for name, hint in typing.get_type_hints(Options).items():
        for one in (hint, *typing.get_args(hint)):
            if typing.get_origin(one) is typing.Literal and name in FIELDS:
                found[name] = typing.get_args(one)
    return found
