"""What a model is, as plain values: the command line, the estimators and runs build it from these.

A `Description` can be written as JSON and read back, each part by the name of its kind. Whoever
adds a kind adds a class and its name in `model_parts.KINDS`. A part may also be a value of the
public modules, as `bind` takes it; it is written by what made it (`model/portable.py`).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae._version import __version__
from jaxvae.apps.latent_space import LatentSpace, space_of
from jaxvae.apps.model_parts import (
    KINDS,
    NAMES,
    UNIT,
    Dense,
    DirichletLatent,
    Elbo,
    Identity,
    NormalLatent,
    NormalLikelihood,
    Original,
    StandardNormal,
    kind,
)
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.model import portable, ready
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.public_names import is_value, name_of
from jaxvae.model.vae import VAE, bind, check_model
from jaxvae.model.values import recipe_of

FORMAT = 1  # of what `to_json` writes


@dataclass(frozen=True, kw_only=True)
class Description:
    """A model: its parts, its shapes, its names, and the version that made it.

    A part is a dataclass of `model_parts` or a value of `jaxvae.latents`, `jaxvae.priors` and so
    on. `condition_shape` is of what encoder and decoder see beside one example; `data_kind` is
    "images", "series", "table" or "counts"; `masked` says that values may be missing.
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
    image_shape: tuple[int, ...] | None = None
    image_range: tuple[float, float] | None = None
    series_shape: tuple[int, ...] | None = None
    condition_shape: tuple[int, ...] | None = None
    data_kind: str | None = None
    masked: bool = False
    jaxvae: str = field(default=__version__, compare=False)


def of(
    vae: VAE,
    *,
    data_shape: tuple[int, ...],
    latent_dim: int | None = None,
    label_names: tuple[str, ...] | None = None,
    column_names: tuple[str, ...] | None = None,
    condition_shape: tuple[int, ...] | None = None,
    **about: Any,
) -> Description:
    """The description of a model that is made already, its parts as values.

    Args:
      vae: made by `bind`, `normal_vae` or `dirichlet_vae`.
      data_shape: of one example.
      latent_dim: K, of a product the sum over its parts; found where None.
      label_names: of the categories, or None.
      column_names: of the values of an example, or None.
      condition_shape: of the condition of one example, or None.
      **about: what else is known of the data, as `data_kind` and `image_shape`.

    Returns:
      The description; `build` makes a model of the same parts of it.

    Raises:
      ValueError, TypeError: if the model was made in another way.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> made = of(normal_vae(dense_normal_network(64, 2)), data_shape=(64,))
      >>> made.latent_dim, build(made).parts == normal_vae(dense_normal_network(64, 2)).parts
      (2, True)
    """
    check_model(vae)
    recipe = recipe_of(vae.init)
    if vae.parts is None or recipe is None or vae != recipe.value:
        raise ValueError("vae must be as jaxvae.bind, normal_vae or dirichlet_vae made it, "
                         "got one with a function of its own")  # fmt: skip
    arguments = recipe.arguments
    is_original = arguments.get("objective") == "original"
    parts = _original_parts(recipe.constructor, arguments) if is_original else vae.parts._asdict()
    if latent_dim is None:
        latent_dim = space_of(vae, abstract_example(data_shape, condition_shape)).width
    return Description(
        **parts,
        data_shape=tuple(data_shape),
        latent_dim=latent_dim,
        label_names=label_names,
        column_names=column_names,
        condition_shape=condition_shape,
        **about,
    )


def _original_parts(constructor: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an original objective's model, which no call of `bind` takes."""
    if constructor is ready.normal_vae:
        latent: Any = NormalLatent()
        prior: Any = StandardNormal(variance=arguments["prior_variance"])
    else:
        latent = DirichletLatent(gradient=arguments["gradient"])
        prior = ready.label_prior() if arguments["prior"] is None else arguments["prior"]
    return {
        "network": arguments["network"],
        "latent": latent,
        "prior": prior,
        "likelihood": UNIT,
        "objective": Original(kl_weight=arguments["kl_weight"]),
    }


def about(data: Dataset) -> dict[str, Any]:
    """What a description says of the data that a model is for.

    Args:
      data: the data.

    Returns:
      Fields of `Description` by name.
    """
    return {
        "label_names": data.label_names,
        "column_names": data.column_names,
        "image_shape": data.image_shape,
        "image_range": data.value_range if data.kind == "images" else None,
        "series_shape": data.shape if data.kind == "series" else None,
        "data_kind": data.kind,
        "masked": data.mask_train is not None,
    }


def abstract_example(data_shape: Any, condition_shape: Any = None) -> Batch:
    """One example as shapes, of which no array is made.

    Args:
      data_shape: of the example.
      condition_shape: of its condition, or None.

    Returns:
      A batch of one row.

    Example:
      >>> abstract_example((8, 8)).x.shape
      (1, 8, 8)
    """

    def row(shape: Any) -> Any:
        return None if shape is None else jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    return Batch(row(data_shape), condition=row(condition_shape))


def build(description: Description) -> VAE:
    """The model of a description.

    Args:
      description: what it is.

    Returns:
      The model; an equal one for an equal description, so that nothing compiles twice.

    Raises:
      ValueError, TypeError: if a value is outside what is allowed; it is named.
    """
    latent, shape = description.latent, description.data_shape
    network = description.network
    if not is_value(network):
        if is_value(latent):
            raise ValueError(f"network must be a value where the latent is one, got {network!r}")
        likelihood = description.likelihood
        decoded = shape if is_value(likelihood) else likelihood.decoded_shape(shape)
        network = network.value(latent, shape, decoded, description.latent_dim)
    objective = _own(description.objective)
    if objective is None:
        return _original(network, description)
    family = _own(latent)
    return bind(
        network,
        family,
        _own(description.prior, family),
        likelihood_of(description),
        objective,
        transform=_own(description.transform),
    )


def _own(part: Any, *args: Any) -> Any:
    """A part as a value, which it may be already."""
    return part if is_value(part) else part.value(*args)


def latent_space(vae: VAE, description: Description) -> LatentSpace:
    """The latent space of a model that is described.

    Args:
      vae: the model.
      description: what it is.

    Returns:
      Its parts.
    """
    example = abstract_example(description.data_shape, description.condition_shape)
    return space_of(vae, example)


def likelihood_of(description: Description) -> Likelihood:
    """The likelihood of a description as a value.

    Args:
      description: what it is.

    Returns:
      The likelihood.
    """
    return _own(description.likelihood)


def _original(network: Any, description: Description) -> VAE:
    for name, allowed in (("likelihood", UNIT), ("transform", Identity())):
        if (found := getattr(description, name)) != allowed:
            raise ValueError(f"{name} must be {kind(allowed)} with the original objective, which "
                             f"has one of its own, got {found}")  # fmt: skip
    prior = _Given(description.prior) if is_value(description.prior) else description.prior
    return description.latent.original(network, prior, description.objective.kl_weight)


@dataclass(frozen=True)
class _Given:
    """A value in the place of a part."""

    made: Any

    def value(self, latent: Any) -> Any:
        return self.made


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
        return {"kind": kind(value), **{name: by_name(own) for name, own in vars(value).items()}}

    return {"format": FORMAT, **{name: plain(value) for name, value in vars(description).items()}}


def by_name(value: Any) -> Any:
    """A function of JAX's or one that is registered, as a pickle can hold it.

    Args:
      value: of anything.

    Returns:
      A dict that `from_json` reads in a part; what is no such function as it is.

    Example:
      >>> by_name(jax.nn.relu), by_name("relu")
      ({'name': 'jax.nn.relu'}, 'relu')
    """
    named = callable(value) and name_of(value) is not None
    return portable.to_json(value) if named else value


def to_json(description: Description) -> dict[str, Any]:
    """A description as JSON's own values.

    Args:
      description: what it is.

    Returns:
      A dict of strings, numbers, lists and dicts.

    Raises:
      TypeError: if JSON cannot hold a value; it is named.
    """

    def plain(name: str, value: Any) -> Any:
        if type(value) in NAMES:
            own = {key: plain(f"{name}.{key}", item) for key, item in vars(value).items()}
            return {"kind": kind(value), **own}
        if type(value) is tuple:
            return [plain(name, item) for item in value]
        return portable.to_json(value, name)

    return {"format": FORMAT, **{name: plain(name, v) for name, v in vars(description).items()}}


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
        if name in given and not is_value(given[name]):
            given[name] = _part(name, kinds, given[name])
    return _made(Description, "a model", given)


def _part(name: str, kinds: Mapping[str, type], given: Any) -> Any:
    """A part of a kind, or a value."""
    own = dict(given) if isinstance(given, Mapping) else {"kind": given}
    if "kind" not in own and ("make" in own or "name" in own):
        if not is_value(made := _read(name, own)):
            raise ValueError(f"{name} must be a value of jaxvae, got {made!r}")
        return made
    if not isinstance(found := own.pop("kind", None), str) or found not in kinds:
        raise ValueError(f"{name} must be of the kinds {', '.join(kinds)}, got {found!r}")
    fields = {k: _read(f"{name}.{k}", v) if isinstance(v, dict) else v for k, v in own.items()}
    return _made(kinds[found], name, fields)


def _read(name: str, value: Any) -> Any:
    try:
        return portable.from_json(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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
