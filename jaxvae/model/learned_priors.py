"""Priors that training finds: one in the latent's family, and a mixture."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxvae.model.draws import drawn
from jaxvae.model.latents import Latent
from jaxvae.model.priors import Context, Own, Prior, in_family
from jaxvae.model.unbounded import bounded, unbounded
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


def _names(parameters: Any) -> list[str]:
    """The names of a family's parameters, in their order."""
    paths = jax.tree.leaves_with_path(parameters)
    return [jax.tree_util.keystr(path, simple=True) for path, _ in paths]


def _own_names(latent: Latent, parameters: Any) -> list[str]:
    """What a family's parameters are called as numbers without bounds."""
    return [f"log_{name}" if name in latent.positive else name for name in _names(parameters)]


def _free(latent: Latent, parameters: Any) -> Own:
    """Parameters as numbers without bounds: the logarithm of those above zero."""
    leaves = map(jnp.asarray, jax.tree.leaves(unbounded(latent, parameters)))
    return dict(zip(_own_names(latent, parameters), leaves, strict=True))


def _bound(latent: Latent, own: Own, like: Any) -> Any:
    """The parameters that `_free` was given."""
    leaves = [own[name] for name in _own_names(latent, like)]
    return bounded(latent, jax.tree.unflatten(jax.tree.structure(like), leaves))


@made_by
def learned(prior: Prior) -> Prior:
    """A prior of the latent's family whose parameters training finds, the same for all examples.

    Args:
      prior: where it starts: `standard_normal()`, `symmetric()`, or another that is in a family and
        is not made from labels.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if it is none of these.

    Example:
      >>> import jaxvae
      >>> prior = learned(jaxvae.priors.symmetric(2.0))
      >>> q = jaxvae.latents.Dirichlet(jnp.ones((1, 3)))
      >>> sorted(prior.init(jax.random.key(0), Context(jaxvae.Batch(), q)))
      ['log_concentration']

    Source: empirical Bayes; for a VAE: Rezende and Mohamed, 2015, Variational inference with
    normalizing flows.
    """
    checks.instance("prior", prior, Prior, "a jaxvae.priors.Prior")
    if prior.family is None or prior.uses_labels:
        raise ValueError(
            f"prior must be in the family of its latent and not made from labels, got {prior!r}"
        )
    latent, start = prior.family

    def init(key: jax.Array, context: Context) -> Own:
        own = start(prior.init(key, context), context)
        # The same for all examples: the first one's.
        one = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1])[0], own)
        return _free(latent, one)

    def parameters(own: Own, context: Context) -> Any:
        return _bound(latent, own, context.q)

    return in_family(latent, parameters, init)


MIXED = ("posteriors", "members")


@made_by
def mixture(latent: Latent, components: int = 10, *, of: str = "posteriors") -> Prior:
    """A mixture of members of the latent's family, all equally likely, that training finds.

    Args:
      latent: the family.
      components: how many, at least 1.
      of: "posteriors" of as many learned pseudo-inputs (the VampPrior); or "members" with learned
        parameters of their own.

    Returns:
      The prior; its KL divergence is taken by the draws.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named. `init` raises
        too: where examples have a condition, pseudo-inputs have none.

    Example:
      >>> import jaxvae
      >>> prior = mixture(jaxvae.latents.normal, 5, of="members")
      >>> q = jaxvae.latents.Normal(jnp.zeros((1, 2)), jnp.ones((1, 2)))
      >>> own = prior.init(jax.random.key(0), Context(jaxvae.Batch(), q))
      >>> own["loc"].shape
      (5, 2)

    Source: Tomczak and Welling, 2018, VAE with a VampPrior.
    """
    checks.instance("latent", latent, Latent, "a jaxvae.latents.Latent")
    components = checks.positive_int("components", components)
    checks.one_of("of", of, MIXED)

    def pseudo_inputs(key: jax.Array, context: Context) -> Own:
        if context.batch.condition is not None:
            raise ValueError(
                'of must be "members" where examples have a condition, got "posteriors", whose '
                "pseudo-inputs have none"
            )
        leaves, tree = jax.tree.flatten(context.batch.x)
        keys = jax.random.split(key, len(leaves))
        drawn = [
            jax.random.uniform(k, (components, *jnp.shape(leaf)[1:]), jnp.float32)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return {"pseudo_inputs": jax.tree.unflatten(tree, drawn)}

    def members(key: jax.Array, context: Context) -> Own:
        leaves, tree = jax.tree.flatten(context.q)
        keys = jax.random.split(key, len(leaves))
        drawn = [
            jax.random.normal(k, (components, leaf.shape[-1]), leaf.dtype)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        names = zip(_names(context.q), drawn, strict=True)
        # Above zero: about 1, and not all alike.
        around = [jnp.exp(0.5 * v) if name in latent.positive else v for name, v in names]
        return _free(latent, jax.tree.unflatten(tree, around))

    def all_components(own: Own, context: Context) -> Any:
        """Each leaf [components, K]."""
        if of == "members":
            return _bound(latent, own, context.q)
        if context.encode is None:
            raise ValueError("a mixture of posteriors needs the encoder, got none")
        return context.encode(own["pseudo_inputs"])

    def log_prob(own: Own, u: Any, context: Context) -> jax.Array:
        each = jax.vmap(lambda p: latent.log_prob(p, u))(all_components(own, context))
        return logsumexp(each, axis=0) - jnp.log(float(components))

    def sample(own: Own, key: jax.Array, context: Context) -> Any:
        choice_key, draw_key = jax.random.split(key)
        rows = jax.tree.leaves(context.q)[0].shape[:-1]
        chosen = jax.random.randint(choice_key, rows, 0, components)
        p = jax.tree.map(lambda leaf: leaf[chosen], all_components(own, context))
        return drawn(draw_key, latent, p)

    init: Callable[[jax.Array, Context], Own] = members if of == "members" else pseudo_inputs
    return Prior(init, log_prob, sample)
