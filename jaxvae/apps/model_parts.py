"""The parts of a description: small dataclasses of plain values, each kind with its options.

Each is named in `KINDS` as its constructor in `jaxvae.latents`, `jaxvae.priors`,
`jaxvae.likelihoods` and so on; whether its values are allowed is for the constructor to say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxvae.model import (
    convolutional_networks,
    counts,
    label_priors,
    latents,
    learned_priors,
    likelihoods,
    modules,
    objectives,
    priors,
    ready,
    ready_networks,
    transforms,
)
from jaxvae.model.latents import Latent
from jaxvae.model.networks import Network
from jaxvae.model.objectives import Objective
from jaxvae.model.priors import Prior
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks

Shape = tuple[int, ...]


class _Made:
    """A part whose fields are the arguments of one constructor."""

    make: ClassVar[Callable[..., Any]]

    def value(self) -> Any:
        return self.make(**vars(self))


# --- latents: a family, and which of the ready-made networks ends in its parameters


@dataclass(frozen=True, kw_only=True)
class NormalLatent:
    """`latents.normal`."""

    def value(self) -> Latent:
        return latents.normal

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        return ready_networks.dense_normal_network(shape, latent_dim, **options)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        return convolutional_networks.convolutional_normal_network(shape, latent_dim, **options)

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        """The model that minimises what the 2020 original minimised."""
        if (variance := vars(prior).get("variance")) is None:
            raise ValueError(f"prior must have a variance with the original objective, got {prior}")
        return ready.normal_vae(
            network, prior_variance=variance, objective="original", kl_weight=kl_weight
        )


@dataclass(frozen=True, kw_only=True)
class LogisticNormalLatent(NormalLatent):
    """`latents.logistic_normal`."""

    def value(self) -> Latent:
        return latents.logistic_normal

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        raise ValueError("objective must be another for a logistic Normal, got original")


@dataclass(frozen=True, kw_only=True)
class DirichletLatent:
    """`latents.dirichlet`, and how its network makes a concentration."""

    gradient: str = "beta"
    head: str = "softplus"
    concentration_floor: float = 0.1

    def value(self) -> Latent:
        return latents.dirichlet_with(self.gradient)

    def _head(self) -> dict[str, Any]:
        return {"head": self.head, "concentration_floor": self.concentration_floor}

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        options |= self._head()
        return ready_networks.dense_dirichlet_network(shape, latent_dim, **options)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        options |= self._head()
        return convolutional_networks.convolutional_dirichlet_network(shape, latent_dim, **options)

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        """The model that minimises what the 2020 original minimised."""
        return ready.dirichlet_vae(
            network,
            prior=prior.value(self.value()),
            objective="original",
            kl_weight=kl_weight,
            gradient=self.gradient,
        )


@dataclass(frozen=True, kw_only=True)
class JointLatent:
    """`latents.product(category=dirichlet, style=normal)`: of its width, `style_dim` are the
    style's. The decoder sees `category_gain` times the category.
    """

    style_dim: int = 8
    gradient: str = "beta"
    concentration_floor: float = 0.1
    category_gain: float = 5.0

    def value(self) -> Latent:
        category = latents.dirichlet_with(self.gradient)
        return latents.product(category=category, style=latents.normal)

    def _heads(self, latent_dim: int) -> dict[str, Any]:
        style_dim = checks.axis_length("style_dim", self.style_dim)
        categories = checks.axis_length("latent_dim", latent_dim - style_dim, minimum=2)
        floor = checks.positive_float("concentration_floor", self.concentration_floor)
        return {
            "category": modules.DirichletHead(categories, floor),
            "style": modules.NormalHead(style_dim),
        }

    def dense(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        made = ready_networks.dense_network(shape, self._heads(latent_dim), **options)
        return ready_networks.scaled_parts(made, category=self.category_gain)

    def convolutional(self, shape: Any, latent_dim: int, **options: Any) -> Network:
        heads = self._heads(latent_dim)
        made = convolutional_networks.convolutional_network(shape, heads, **options)
        return ready_networks.scaled_parts(made, category=self.category_gain)

    def original(self, network: Network, prior: Any, kl_weight: Any) -> VAE:
        raise ValueError("objective must be another for a joint latent, got original")


# --- priors


def _beside_normals(latent: Latent, prior: Prior) -> Prior:
    """A prior of the part on the simplex; of a product the others' are standard Normal."""
    if not latent.parts:
        return prior
    each = {
        name: prior if part.support == "simplex" else priors.standard_normal()
        for name, part in latent.parts
    }
    return priors.product(**each)


@dataclass(frozen=True, kw_only=True)
class StandardNormal:
    """`priors.standard_normal`."""

    variance: float = 1.0

    def value(self, latent: Latent) -> Prior:
        return priors.standard_normal(self.variance)


@dataclass(frozen=True, kw_only=True)
class FromLabels:
    """`priors.from_labels`; frequencies None, "learned", or a number a label. By itself it is
    `jaxvae.label_prior`, which finds out whether labels are missing. Of a product it is the prior
    of the part on the simplex.
    """

    smoothness: float = 0.5
    total_concentration: float = 8.0
    frequencies: str | tuple[float, ...] | None = None
    missing: bool | None = None

    def value(self, latent: Latent) -> Prior:
        return _beside_normals(latent, label_priors.from_labels(**vars(self)))


@dataclass(frozen=True, kw_only=True)
class Symmetric:
    """`priors.symmetric`; of a product, of the part on the simplex."""

    concentration: float = 1.0

    def value(self, latent: Latent) -> Prior:
        return _beside_normals(latent, priors.symmetric(self.concentration))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """`priors.mixture`, of the latent's own family."""

    components: int = 10
    of: str = "posteriors"

    def value(self, latent: Latent) -> Prior:
        return learned_priors.mixture(latent, self.components, of=self.of)


# --- likelihoods


class _Likelihood(_Made):
    of_counts: ClassVar[bool] = False  # the encoder then sees their log
    takes_masks: ClassVar[bool] = True

    def decoded_shape(self, data_shape: Shape) -> Shape:
        """What the decoder returns for one example."""
        return data_shape


@dataclass(frozen=True, kw_only=True)
class NormalLikelihood(_Likelihood):
    """`likelihoods.normal`; by itself what the name "normal" stands for, a learned scale."""

    make = staticmethod(likelihoods.normal)
    scale: float = math.exp(-1)
    learned: bool = True
    per_dimension: bool = False
    minimum: float = 1e-3


UNIT = NormalLikelihood(scale=1.0, learned=False)  # the first version's, and the original's


@dataclass(frozen=True, kw_only=True)
class Bernoulli(_Likelihood):
    """`likelihoods.bernoulli`."""

    make = staticmethod(likelihoods.bernoulli)


@dataclass(frozen=True, kw_only=True)
class Poisson(_Likelihood):
    """`likelihoods.poisson`."""

    make = staticmethod(counts.poisson)
    of_counts = True


@dataclass(frozen=True, kw_only=True)
class NegativeBinomial(_Likelihood):
    """`likelihoods.negative_binomial`."""

    make = staticmethod(counts.negative_binomial)
    of_counts = True
    dispersion: float = 1.0
    learned: bool = True
    per_dimension: bool = True


@dataclass(frozen=True, kw_only=True)
class Multinomial(_Likelihood):
    """`likelihoods.multinomial` of a decoder's logits."""

    make = staticmethod(counts.multinomial)
    of_counts = True
    takes_masks = False


@dataclass(frozen=True, kw_only=True)
class Categorical(_Likelihood):
    """`likelihoods.categorical`, each value of an example one of so many categories."""

    categories: int

    def decoded_shape(self, data_shape: Shape) -> Shape:
        return (*data_shape, self.categories)

    def value(self) -> Any:
        return counts.categorical()


# --- objectives


@dataclass(frozen=True, kw_only=True)
class Elbo:
    """`objectives.elbo`; kl_weight is a number. Of a product, the part that is called category may
    have another.
    """

    kl_weight: float = 1.0
    category_kl_weight: float | None = None
    free_bits: float = 0.0
    draws: int = 1
    gradient: str = "pathwise"

    def value(self) -> Objective:
        own = dict(vars(self))
        if (category := own.pop("category_kl_weight")) is not None:
            own["kl_weight"] = {"category": category, "style": self.kl_weight}
        return objectives.elbo(**own)


@dataclass(frozen=True, kw_only=True)
class Iwae(_Made):
    """`objectives.iwae`."""

    make = staticmethod(objectives.iwae)
    draws: int
    gradient: str = "pathwise"


@dataclass(frozen=True, kw_only=True)
class Original:
    """What the 2020 TensorFlow script minimised. It is no objective of any parts: it has its own
    latent, prior and likelihood.
    """

    kl_weight: float = 1.0

    def value(self) -> Objective | None:
        return None


# --- networks


@dataclass(frozen=True, kw_only=True)
class Dense:
    """`networks.dense_..._network`, the one of the latent; of counts its encoder sees their log."""

    layers: int = 4
    hidden_units: int = 128
    activation: Any = "relu"
    counts: bool = False

    def value(self, latent: Any, shape: Shape, decoded: Shape, latent_dim: int) -> Network:
        width = decoded[0] if len(decoded) == 1 else decoded
        own = {name: value for name, value in vars(self).items() if name != "counts"}
        network = latent.dense(width, latent_dim, **own)
        return ready_networks.of_counts(network) if self.counts else network


@dataclass(frozen=True, kw_only=True)
class Convolutional:
    """`networks.convolutional_..._network`, the one of the latent, for images."""

    channels: Shape = (32, 64)
    hidden_units: int = 128
    activation: Any = "relu"

    def value(self, latent: Any, shape: Shape, decoded: Shape, latent_dim: int) -> Network:
        if shape != decoded:
            raise ValueError(
                f"network must be dense where {decoded} is decoded for an example {shape}, "
                f"got convolutional"
            )
        return latent.convolutional(shape, latent_dim, **vars(self))


# --- transforms


@dataclass(frozen=True, kw_only=True)
class Identity(_Made):
    """`transforms.identity`."""

    make = staticmethod(transforms.identity)


@dataclass(frozen=True, kw_only=True)
class DividedBy(_Made):
    """`transforms.divided_by`."""

    make = staticmethod(transforms.divided_by)
    number: float


KINDS: dict[str, dict[str, type]] = {
    "latent": {
        "normal": NormalLatent,
        "logistic_normal": LogisticNormalLatent,
        "dirichlet": DirichletLatent,
        "joint": JointLatent,
    },
    "prior": {
        "standard_normal": StandardNormal,
        "from_labels": FromLabels,
        "symmetric": Symmetric,
        "mixture": Mixture,
    },
    "likelihood": {
        "normal": NormalLikelihood,
        "bernoulli": Bernoulli,
        "poisson": Poisson,
        "negative_binomial": NegativeBinomial,
        "multinomial": Multinomial,
        "categorical": Categorical,
    },
    "objective": {"elbo": Elbo, "iwae": Iwae, "original": Original},
    "network": {"dense": Dense, "convolutional": Convolutional},
    "transform": {"identity": Identity, "divided_by": DividedBy},
}
# The likelihoods that a name alone makes.
BY_NAME = ("normal", "bernoulli", "poisson", "negative_binomial", "multinomial")
NAMES = {made: name for kinds in KINDS.values() for name, made in kinds.items()}


def kind(part: Any) -> str:
    """What a part of a description is called.

    Args:
      part: one of them.

    Returns:
      The name of its kind in `KINDS`; "custom" for a value of the user's own.
    """
    return NAMES.get(type(part), "custom")
