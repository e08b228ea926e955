"""The objectives of the 2020 TensorFlow script, which are no ELBO, as parts to bind.

Their terms are not log-densities: the mean over pixels for the Dirichlet model; for the Normal one
a posterior whose scale divides as if it were a variance, and no log-determinants.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch
from jaxvae.model import latents, likelihoods, loss_terms, priors
from jaxvae.model.latents import Latent
from jaxvae.model.likelihoods import Likelihood, Own
from jaxvae.model.parameters import Normal
from jaxvae.model.priors import Context, Prior
from jaxvae.model.values import made_by


@made_by
def half_square() -> Likelihood:
    """Minus half the squared error of an example, without log(2 pi): the Normal model's.

    Returns:
      The likelihood, its log-probability that of no distribution.
    """

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        return -loss_terms.original_normal_reconstruction(x.reshape(-1), decoded.reshape(-1))

    return likelihoods.normal()._replace(log_prob=log_prob, normalized=False)


@made_by
def mean_square() -> Likelihood:
    """Minus the mean over pixels of the squared error: the Dirichlet model's.

    Returns:
      The likelihood, its log-probability that of no distribution.
    """

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        return -loss_terms.original_dirichlet_reconstruction(x.reshape(-1), decoded.reshape(-1))

    return likelihoods.normal()._replace(log_prob=log_prob, normalized=False)


@made_by
def normal_latent() -> Latent:
    """The Normal, its log-density as the original has it: see `objectives.original_normal_kl`.

    Returns:
      The latent, without a divergence in closed form.
    """

    def log_prob(q: Normal, z: jax.Array) -> jax.Array:
        loc, scale, z = latents.same_shape(q.loc, q.scale, z)
        return -0.5 * jnp.sum((z - loc) ** 2 / (scale + 1e-10), axis=-1)

    return latents.normal._replace(log_prob=log_prob, kl=None, normalized=False)


@made_by
def normal_prior(variance: Any) -> Prior:
    """The standard Normal without its constants, and no divergence in closed form.

    Args:
      variance: the original's C.

    Returns:
      The prior.
    """

    def log_prob(own: Own, z: jax.Array, context: Context) -> jax.Array:
        return -0.5 * jnp.sum(z**2, axis=-1) / variance

    return priors.standard_normal(variance)._replace(
        log_prob=log_prob, kl=None, family=None, normalized=False
    )
