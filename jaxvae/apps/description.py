"""What a model is, as plain values: the command line, the estimators and runs build it from these.

A `Description` can be written as JSON and read back, each part by the name of its kind. Whoever
adds a kind adds a class and its name in `model_parts.KINDS`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxvae._version import __version__
from jaxvae.apps.model_parts import (
    KINDS,
    NAMES,
    UNIT,
    Dense,
    Elbo,
    Identity,
    NormalLikelihood,
    kind,
)
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.vae import VAE, bind

FORMAT = 1  # of what `to_json` writes


@dataclass(frozen=True, kw_only=True)
class Description:
    """A model: its parts, its shapes, its names, and the version that made it.

    A likelihood that is a value of `jaxvae.likelihoods`, and an activation that is a function, make
    a model too, which JSON cannot hold.
    """

    latent: Any
    prior: Any
    likelihood: Any = field(default_factory=NormalLikelihood)
    objective: Any = field(default_factory=Elbo)
    network: Any = field(default_factory=Dense)
    transform: Any = field(default_factory=Identity)
    data_shape: tuple[int, ...]
    latent_dim: int
    label_names: tuple[str, ...] | None = None
    column_names: tuple[str, ...] | None = None
    jaxvae: str = field(default=__version__, compare=False)


def build(description: Description) -> VAE:
    """The model of a description.

    Args:
      description: what it is.

    Returns:
      The model; an equal one for an equal description, so that nothing compiles twice.

    Raises:
      ValueError, TypeError: if a value is outside what is allowed; it is named.
    """
    latent, likelihood, shape = description.latent, description.likelihood, description.data_shape
    own = isinstance(likelihood, Likelihood)  # a value of the user's
    decoded = shape if own else likelihood.decoded_shape(shape)
    network = description.network.value(latent, shape, decoded, description.latent_dim)
    objective = description.objective.value()
    if objective is None:
        return _original(network, description)
    family = latent.value()
    return bind(
        network,
        family,
        description.prior.value(family),
        likelihood_of(description),
        objective,
        transform=description.transform.value(),
    )


def likelihood_of(description: Description) -> Likelihood:
    """The likelihood of a description as a value.

    Args:
      description: what it is.

    Returns:
      The likelihood.
    """
    own = description.likelihood
    return own if isinstance(own, Likelihood) else own.value()


def _original(network: Any, description: Description) -> VAE:
    for name, allowed in (("likelihood", UNIT), ("transform", Identity())):
        if (found := getattr(description, name)) != allowed:
            raise ValueError(f"{name} must be {kind(allowed)} with the original objective, which "
                             f"has one of its own, got {found}")  # fmt: skip
    return description.latent.original(network, description.prior, description.objective.kl_weight)


def to_plain(description: Description) -> dict[str, Any]:
    """A description as dicts, for a pickle: what is no part of `KINDS` stays as it is.

    Args:
      description: what it is.

    Returns:
      A dict that `from_json` reads.
    """

    def plain(value: Any) -> Any:
        if type(value) not in NAMES:
            return value
        return {"kind": kind(value), **vars(value)}

    return {"format": FORMAT, **{name: plain(value) for name, value in vars(description).items()}}


def to_json(description: Description) -> dict[str, Any]:
    """A description as JSON's own values.

    Args:
      description: what it is.

    Returns:
      A dict of strings, numbers, lists and dicts.

    Raises:
      TypeError: if JSON cannot hold a value; it is named.
    """

    def checked(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: checked(f"{name}.{key}", item) for key, item in value.items()}
        if isinstance(value, Likelihood) or not isinstance(value, str | int | float | tuple | None):
            raise TypeError(f"{name} must be one that has a name to be written, got {value!r}")
        return value

    plain = {name: checked(name, value) for name, value in to_plain(description).items()}
    return json.loads(json.dumps(plain))


def from_json(value: Any) -> Description:
    """Read what `to_json` or `to_plain` gave.

    Args:
      value: the dict.

    Returns:
      The description.

    Raises:
      ValueError: if something is missing or unknown, a kind or a field; it is named.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"a model must be described by an object, got {value!r}")
    given = dict(value)
    if (number := given.pop("format", None)) != FORMAT:
        raise ValueError(f"format must be {FORMAT}, got {number}")
    for name, kinds in KINDS.items():
        if name not in given or isinstance(given[name], Likelihood):
            continue
        own = dict(given[name]) if isinstance(given[name], Mapping) else {"kind": given[name]}
        if not isinstance(found := own.pop("kind", None), str) or found not in kinds:
            raise ValueError(f"{name} must be of the kinds {', '.join(kinds)}, got {found!r}")
        given[name] = _made(kinds[found], name, own)
    return _made(Description, "a model", given)


def _made(cls: Any, name: str, values: dict[str, Any]) -> Any:
    known = {f.name: f for f in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{name} must have the fields {', '.join(known)}, "
                         f"got {', '.join(unknown)}")  # fmt: skip
    needed = {n for n, f in known.items() if f.default is f.default_factory is dataclasses.MISSING}
    if missing := sorted(needed - set(values)):
        raise ValueError(f"{name} must have the fields {', '.join(known)}; "
                         f"{', '.join(missing)} is missing")  # fmt: skip
    return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})
