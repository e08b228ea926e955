"""The parts of a description: small dataclasses of plain values, each kind with its options.

Each is named in `KINDS` as its constructor in `jaxvae.latents`, `jaxvae.priors`,
`jaxvae.likelihoods` and so on; whether its values are allowed is for the constructor to say.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxvae.apps.latent_parts import (
    DirichletLatent,
    JointLatent,
    LogisticNormalLatent,
    NormalLatent,
)
from jaxvae.model import (
    counts,
    label_priors,
    learned_priors,
    likelihoods,
    network_wrappers,
    objectives,
    priors,
    transforms,
)
from jaxvae.model.latents import Latent
from jaxvae.model.networks import Network
from jaxvae.model.objectives import Objective
from jaxvae.model.priors import Prior

Shape = tuple[int, ...]


class _Made:
    """A part whose fields are the arguments of one constructor."""

    make: ClassVar[Callable[..., Any]]

    def value(self) -> Any:
        return self.make(**vars(self))


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
class Learned:
    """`priors.learned` of a symmetric one; of a product, of the part on the simplex."""

    concentration: float = 1.0

    def value(self, latent: Latent) -> Prior:
        prior = learned_priors.learned(priors.symmetric(self.concentration))
        return _beside_normals(latent, prior)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """`priors.mixture`, of the latent's own family."""

    components: int = 10
    of: str = "posteriors"

    def value(self, latent: Latent) -> Prior:
        return learned_priors.mixture(latent, self.components, of=self.of)


# --- likelihoods


class _Likelihood(_Made):
    of_counts: ClassVar[bool] = False  # a dense encoder then sees their log
    # Where not, it is of a total that the data have: what is decoded are logits of its shares.
    takes_masks: ClassVar[bool] = True
    has_scale: ClassVar[bool] = False  # of what it says of each value, fixed or `learned`

    def decoded_shape(self, data_shape: Shape) -> Shape:
        """What the decoder returns for one example."""
        return data_shape


@dataclass(frozen=True, kw_only=True)
class NormalLikelihood(_Likelihood):
    """`likelihoods.normal`; by itself what the name "normal" stands for, a learned scale."""

    make = staticmethod(likelihoods.normal)
    has_scale = True
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
class DirichletMultinomial(_Likelihood):
    """`likelihoods.dirichlet_multinomial` of a decoder's logits."""

    make = staticmethod(counts.dirichlet_multinomial)
    of_counts = True
    takes_masks = False
    total_concentration: float = 100.0
    learned: bool = True


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
        category = own.pop("category_kl_weight")
        made = objectives.elbo(**own)  # a wrong kl_weight is named as it was given
        if category is None:
            return made
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


class _Network:
    of_topics: ClassVar[bool] = False  # whether each category is a topic of words


@dataclass(frozen=True, kw_only=True)
class Dense(_Network):
    """`networks.dense_..._network`, the one of the latent; of counts its encoder sees their log."""

    layers: int = 4
    hidden_units: int = 128
    activation: Any = "relu"
    counts: bool = False

    def value(self, latent: Any, shape: Shape, decoded: Shape, latent_dim: int) -> Network:
        width = decoded[0] if len(decoded) == 1 else decoded
        own = {name: value for name, value in vars(self).items() if name != "counts"}
        network = latent.dense(width, latent_dim, **own)
        return network_wrappers.of_counts(network) if self.counts else network


@dataclass(frozen=True, kw_only=True)
class Convolutional(_Network):
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


@dataclass(frozen=True, kw_only=True)
class Topics(_Network):
    """`networks.topic_network`, of a Dirichlet latent: each category is a topic of words. `counts`:
    its encoder sees their log, as in all runs but those of before.
    """

    of_topics: ClassVar[bool] = True
    decoder: str = "hybrid"
    layers: int = 2
    hidden_units: int = 100
    dropout: float = 0.3
    activation: Any = "softplus"
    counts: bool = False

    def value(self, latent: Any, shape: Shape, decoded: Shape, latent_dim: int) -> Network:
        if len(shape) != 1 or shape != decoded:
            raise ValueError(f"network must be another for examples {shape}, got topics")
        own = {name: value for name, value in vars(self).items() if name != "counts"}
        network = latent.topics(shape[0], latent_dim, **own)
        return network_wrappers.of_counts(network) if self.counts else network

    def started(self, params: Any, counts: Any, labels: Any, random_state: int) -> Any:
        """Parameters where training starts: topics at factors of the counts, the background at the
        words' frequencies.

        Args:
          params: of the network, fresh.
          counts: of the training examples, CSR [N, V].
          labels: of these [N], where the prior is made from labels; or None.
          random_state: of the factorisation.

        Returns:
          The parameters.
        """
        from jaxvae.apps.topics import run_starts  # scikit-learn is slow to import

        return run_starts.started(params, self.decoder, counts, labels, random_state)


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
        "learned": Learned,
        "mixture": Mixture,
    },
    "likelihood": {
        "normal": NormalLikelihood,
        "bernoulli": Bernoulli,
        "poisson": Poisson,
        "negative_binomial": NegativeBinomial,
        "multinomial": Multinomial,
        "dirichlet_multinomial": DirichletMultinomial,
        "categorical": Categorical,
    },
    "objective": {"elbo": Elbo, "iwae": Iwae, "original": Original},
    "network": {"dense": Dense, "convolutional": Convolutional, "topics": Topics},
    "transform": {"identity": Identity, "divided_by": DividedBy},
}
# The likelihoods that a name alone makes.
BY_NAME = (
    "normal", "bernoulli", "poisson", "negative_binomial", "multinomial", "dirichlet_multinomial",
)  # fmt: skip
NAMES = {made: name for kinds in KINDS.values() for name, made in kinds.items()}


def kind(part: Any) -> str:
    """What a part of a description is called.

    Args:
      part: one of them.

    Returns:
      The name of its kind in `KINDS`; "custom" for a value of the user's own.
    """
    return NAMES.get(type(part), "custom")
