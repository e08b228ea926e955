"""The two models by their short names: `normal_vae` and `dirichlet_vae` are calls of `bind`."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax

from jaxvae._door import door
from jaxvae.model import latents, likelihoods, objectives, originals
from jaxvae.model.label_priors import from_labels
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.networks import Network
from jaxvae.model.objectives import Objective
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.priors import Context, Own, Prior, in_family, standard_normal, symmetric
from jaxvae.model.transforms import Transform
from jaxvae.model.vae import VAE, bind
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

# By name a Normal's scale is learned: with unit variance on data in [0, 1] a model that says
# nothing of x is the optimum.
LIKELIHOODS: dict[str, Callable[[], Likelihood]] = {
    "normal": lambda: likelihoods.normal(math.exp(-1), learned=True),
    "bernoulli": likelihoods.bernoulli,
}
OBJECTIVES = ("elbo", "original")


@made_by
def normal_vae(
    network: Network,
    *,
    prior_variance: Any = 1.0,
    prior: Prior | None = None,
    likelihood: str | Likelihood = "normal",
    objective: str | Objective = "elbo",
    kl_weight: Any = 1.0,
    transform: Transform | None = None,
) -> VAE:
    """A VAE with a Normal latent, z ~ Normal(loc, scale^2), prior Normal(0, prior_variance).

    Args:
      network: its `encode` gives `(loc, scale)`.
      prior_variance: the prior's variance (the original's C).
      prior: another prior, from `jaxvae.priors`, in place of that one.
      likelihood: "normal" (its scale learned, one for all values), "bernoulli" (x in [0, 1]), or a
        value from `jaxvae.likelihoods`.
      objective: "elbo", the negative ELBO in nats; "original", which is none
        (`objectives.original_normal_kl`; its likelihood is its own); or a value from
        `jaxvae.objectives`.
      kl_weight: what the KL term is multiplied by, as for `objectives.elbo`; 1 is the ELBO.
      transform: from the units of the data to the model's, from `jaxvae.transforms`; none where
        None, as with the original's objective.

    Returns:
      The model.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import Batch, dense_normal_network
      >>> vae = normal_vae(dense_normal_network(64, 2), prior_variance=3.0)
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> loss, terms = vae.loss(params, jax.random.key(1), Batch(jnp.zeros((5, 64))))
      >>> loss.shape, terms.kl.shape
      ((), (5,))

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes.
    """
    _check_network(network)
    prior_variance = checks.number("prior_variance", prior_variance)
    if prior is not None and prior_variance is not None and not _is_default(prior_variance):
        raise ValueError(f"prior_variance must be left out with a prior, got {prior_variance}")
    minimised = _objective(objective, kl_weight)
    _check_transform(transform, objective)
    if _is_original(objective):
        if prior is not None:
            raise ValueError(f'prior must be None with objective="original", got {prior!r}')
        return bind(
            network,
            originals.normal_latent(),
            originals.normal_prior(prior_variance),
            _likelihood(likelihood, originals.half_square()),
            minimised,
        )
    own = standard_normal(prior_variance) if prior is None else prior
    return bind(
        network, latents.normal, own, _likelihood(likelihood), minimised, transform=transform
    )


@made_by
def dirichlet_vae(
    network: Network,
    *,
    prior: Prior | None = None,
    likelihood: str | Likelihood = "normal",
    objective: str | Objective = "elbo",
    kl_weight: Any = 1.0,
    gradient: str = "beta",
    transform: Transform | None = None,
) -> VAE:
    """A VAE with a Dirichlet latent: z lies on the simplex of K categories.

    Args:
      network: its `encode` gives the concentration.
      prior: `label_prior()` where None, as the original has it; or `priors.symmetric(...)`,
        which needs no labels, or another from `jaxvae.priors`.
      likelihood: "normal" (its scale learned, one for all values), "bernoulli" (x in [0, 1]), or a
        value from `jaxvae.likelihoods`.
      objective: "elbo", the negative ELBO in nats; "original": the squared error is averaged over
        the pixels, which is the ELBO of unit variance with `kl_weight` D/2, scaled by 2/D; or a
        value from `jaxvae.objectives`.
      kl_weight: what the KL term is multiplied by, as for `objectives.elbo`; 1 is the ELBO.
      gradient: the estimator of the draw's gradient, as for `sample_dirichlet`; the original's is
        "gamma".
      transform: from the units of the data to the model's, as for `normal_vae`.

    Returns:
      The model.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import Batch, dense_dirichlet_network
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10))
      >>> params = vae.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> batch = Batch(jnp.zeros((5, 64)), y=jnp.arange(5))
      >>> loss, terms = vae.loss(params, jax.random.key(1), batch)
      >>> loss.shape, terms.kl.shape
      ((), (5,))

    Source: Joo, Lee, Park and Moon, 2020, Dirichlet variational autoencoder; the gradient by
    Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients.
    """
    _check_network(network)
    prior = label_prior() if prior is None else prior
    if not isinstance(prior, Prior):
        raise TypeError(f"prior must be a jaxvae.priors.Prior, got {prior!r}")
    _check_transform(transform, objective)
    own = originals.mean_square() if _is_original(objective) else None
    return bind(
        network,
        latents.dirichlet_with(gradient),
        prior,
        _likelihood(likelihood, own),
        _objective(objective, kl_weight),
        transform=transform,
    )


@made_by
def label_prior(*, smoothness: Any = 0.5, total_concentration: Any = 8.0) -> Prior:
    """`priors.from_labels` by the name that it had first, with `missing=None`.

    Args:
      smoothness: what each category gets beside the label's 1, above zero.
      total_concentration: the sum of the concentrations, above zero.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if an argument is not finite and positive.

    Example:
      >>> label_prior().concentration(jnp.array([1]), 2)
      Array([[2., 6.]], dtype=float32)

    Source: the 2020 TensorFlow script.
    """
    return from_labels(smoothness=smoothness, total_concentration=total_concentration, missing=None)


@made_by
def symmetric_prior(concentration: Any = 1.0) -> Prior:
    """`priors.symmetric` by the name that it had first.

    Args:
      concentration: of each category, above zero.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if the concentration is not finite and positive.

    Example:
      >>> symmetric_prior(0.5).concentration(None, 3).tolist()
      [0.5, 0.5, 0.5]

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """
    return symmetric(concentration)


@door("models")
class DirichletPrior:
    """A prior over the simplex by its concentrations, the first version's way to make one.

    `DirichletPrior(concentration, uses_labels)` is a `priors.Prior`: `concentration(y [B] or None,
    K)` gives them as [B, K] or [K], and `uses_labels` says whether it needs y. `priors.in_family`
    does the same, and more.

    Example:
      >>> prior = DirichletPrior(lambda y, categories: jnp.arange(1.0, categories + 1), False)
      >>> prior.concentration(None, 3)
      Array([1., 2., 3.], dtype=float32)
    """

    def __new__(  # type: ignore[misc]
        cls, concentration: Callable[[Any, int], jax.Array], uses_labels: bool = False
    ) -> Prior:
        return _by_concentration(concentration, uses_labels)


@door("models")
@dataclasses.dataclass(frozen=True)
class _LabelConcentration:
    """What a pickle of the first version has in a `label_prior`."""

    smoothness: float
    total: float

    def __call__(self, y: Any, categories: int) -> jax.Array:
        prior = label_prior(smoothness=self.smoothness, total_concentration=self.total)
        assert prior.concentration is not None
        return prior.concentration(y, categories)


@door("models")
@dataclasses.dataclass(frozen=True)
class _SymmetricConcentration:
    """What a pickle of the first version has in a `symmetric_prior`."""

    each: float

    def __call__(self, y: Any, categories: int) -> jax.Array:
        return jax.numpy.full(categories, self.each)


@made_by
def _by_concentration(concentration: Callable[[Any, int], jax.Array], uses_labels: bool) -> Prior:
    checks.function("concentration", concentration)

    def parameters(own: Own, context: Context) -> Dirichlet:
        y, shape = context.batch.y, context.q.shape
        if uses_labels and y is None:
            raise ValueError("y must hold the labels that the prior is made from, got None")
        made = concentration(y, shape[-1])
        if jax.numpy.shape(made) not in (shape, shape[-1:]):
            raise ValueError(
                f"prior.concentration must return the shape {shape} or {shape[-1:]}, "
                f"got {jax.numpy.shape(made)}"
            )
        return Dirichlet(made)

    def sample(own: Own, key: jax.Array, context: Context) -> Any:
        label_key, draw_key = jax.random.split(key)
        shape = context.q.shape
        if uses_labels and context.batch.y is None:
            y = jax.random.randint(label_key, shape[:-1], 0, shape[-1])
            context = context._replace(batch=context.batch._replace(y=y))
        return simple.sample(own, draw_key, context)

    simple = in_family(latents.dirichlet, parameters)
    return simple._replace(
        sample=sample, uses_labels=uses_labels, family=None, concentration=concentration
    )


def _check_network(network: Any) -> None:
    if not isinstance(network, Network):
        raise TypeError(f"network must be a jaxvae.Network, got {network!r}")


def _check_transform(transform: Transform | None, objective: str | Objective) -> None:
    if transform is not None and _is_original(objective):
        raise ValueError(
            f'transform must be None with objective="original", got {transform.forward!r}'
        )


def _is_default(variance: Any) -> bool:
    return not checks.is_traced(variance) and variance == 1


def _is_original(objective: Any) -> bool:
    return isinstance(objective, str) and objective == "original"


def _objective(objective: str | Objective, kl_weight: Any) -> Objective:
    if isinstance(objective, Objective):
        if checks.is_traced(kl_weight) or kl_weight != 1:
            raise ValueError(
                f"kl_weight must be left out where the objective is a value, got {kl_weight}"
            )
        return objective
    checks.one_of("objective", objective, OBJECTIVES)
    return objectives.elbo(kl_weight)


def _likelihood(likelihood: str | Likelihood, original: Likelihood | None = None) -> Likelihood:
    """The likelihood of a name, or the value itself; the original objective has one of its own."""
    if not isinstance(likelihood, Likelihood):
        checks.one_of("likelihood", likelihood, LIKELIHOODS)
    if original is None:
        return likelihood if isinstance(likelihood, Likelihood) else LIKELIHOODS[likelihood]()
    if likelihood != "normal":
        raise ValueError(
            f'likelihood must be "normal" with objective="original", got {likelihood!r}'
        )
    return original
