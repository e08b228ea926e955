"""Priors over a latent, each a value of pure functions.

A prior may have parameters of its own, which training finds, and may look at the batch, as one that
is made from labels does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.data.batches import Batch
from jaxvae.model.draws import drawn
from jaxvae.model.latents import Latent, dirichlet, normal
from jaxvae.model.parameters import Dirichlet, Normal
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

Own = Any


@door("priors")
class Context(NamedTuple):
    """What a prior may look at.

    Attributes:
      batch: the batch, with labels and conditions; without examples it has none.
      q: the posterior's parameters, each leaf [B, ...]; their shapes where there is no posterior,
        as when z is drawn from the prior.
      encode: `encode(x) -> q`, the encoder with its parameters; None where there is none.

    Example:
      >>> from jaxvae import Batch, latents
      >>> Context(Batch(), latents.Normal(jnp.zeros((5, 2)), jnp.ones((5, 2)))).q.loc.shape
      (5, 2)
    """

    batch: Batch
    q: Any
    encode: Callable[[Any], Any] | None = None


def no_parameters(key: jax.Array, context: Context) -> Own:
    """The parameters of a prior that has none of its own.

    Args:
      key: unused.
      context: unused.

    Returns:
      An empty dict.
    """
    return {}


@door("priors")
class Prior(NamedTuple):
    """A prior over one latent, or over the parts of a product.

    Attributes:
      init: `init(key, context) -> own`, the prior's own parameters.
      log_prob: `log_prob(own, u [B, ...], context) -> [B]`, in nats, of one draw for each example.
      sample: `sample(own, key, context) -> u`, of the shapes that context.q has.
      kl: `kl(own, q, context) -> [B]`, in nats; None where there is no closed form.
      closed: `closed(context) -> [B]`, for which examples `kl` is the divergence; the others' is
        taken by the draws. None, or what returns None: for all.
      uses_labels: whether y must be given.
      family: `(latent, parameters)` of a prior in the latent's own family, else None.
      parts: of a product, its priors by name; else empty.
      normalized: whether log_prob is that of a density.
      concentration: of a Dirichlet prior, `concentration(y [B] or None, K)`; else None.
      with_missing: `with_missing()`, the same prior for data in which labels are missing, where
        this one is faster without; else None.

    Example:
      >>> from jaxvae import Batch, latents
      >>> prior = standard_normal()
      >>> context = Context(Batch(), latents.Normal(jnp.zeros((5, 2)), jnp.ones((5, 2))))
      >>> prior.sample({}, jax.random.key(0), context).shape, prior.kl({}, context.q, context).shape
      ((5, 2), (5,))
    """

    init: Callable[[jax.Array, Context], Own]
    log_prob: Callable[[Own, Any, Context], Any]
    sample: Callable[[Own, jax.Array, Context], Any]
    kl: Callable[[Own, Any, Context], Any] | None = None
    closed: Callable[[Context], jax.Array | None] | None = None
    uses_labels: bool = False
    family: Any = None
    parts: Any = ()
    normalized: bool = True
    concentration: Callable[[Any, int], jax.Array] | None = None
    with_missing: Callable[[], Any] | None = None


@made_by
def in_family(
    latent: Latent,
    parameters: Callable[[Own, Context], Any],
    init: Callable[[jax.Array, Context], Own] = no_parameters,
) -> Prior:
    """A prior of the latent's own family: fixed, learned, or made from what the batch holds.

    Args:
      latent: the family.
      parameters: `parameters(own, context) -> p`, the prior's parameters: named as the latent's, or
        bare as a network returns them. Each leaf is [B, ...], or lacks leading axes.
      init: `init(key, context) -> own`, the parameters that training finds.

    Returns:
      The prior.

    Raises:
      TypeError: if an argument is of another kind.

    Example:
      >>> import jaxvae
      >>> sparse = in_family(jaxvae.latents.dirichlet, lambda own, context: jnp.full(3, 0.1))
      >>> q = Dirichlet(jnp.ones((5, 3)))
      >>> sparse.kl({}, q, Context(Batch(), q)).shape
      (5,)
    """
    checks.instance("latent", latent, Latent, "a jaxvae.latents.Latent")
    checks.function("parameters", parameters)
    checks.function("init", init)

    def own_parameters(own: Own, context: Context) -> Any:
        p = latent.wrap(parameters(own, context))
        return jax.tree.map(_to_shape, p, context.q)

    def log_prob(own: Own, u: Any, context: Context) -> jax.Array:
        return latent.log_prob(own_parameters(own, context), u)

    def sample(own: Own, key: jax.Array, context: Context) -> Any:
        return drawn(key, latent, own_parameters(own, context))

    def kl(own: Own, q: Any, context: Context) -> jax.Array:
        assert latent.kl is not None
        return latent.kl(q, own_parameters(own, context))

    return Prior(
        init,
        log_prob,
        sample,
        None if latent.kl is None else kl,
        family=(latent, own_parameters),
    )


def _to_shape(p: Any, q: Any) -> jax.Array:
    """A parameter in the posterior's shape: nothing is left to implicit promotion."""
    if jnp.shape(p) == q.shape:
        return p
    try:
        return jnp.broadcast_to(p, q.shape)
    except ValueError:
        raise ValueError(
            f"prior must give parameters of the shape {q.shape} or {q.shape[-1:]}, "
            f"got {jnp.shape(p)}"
        ) from None


@made_by
def standard_normal(variance: Any = 1.0) -> Prior:
    """Normal(0, variance), for `normal` and `logistic_normal`.

    Args:
      variance: of each dimension, above zero.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if the variance is not finite and positive.

    Example:
      >>> standard_normal(4.0) == standard_normal(4.0)
      True

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes.
    """
    variance = checks.number("variance", variance)

    def parameters(own: Own, context: Context) -> Normal:
        loc = context.q.loc
        return Normal(jnp.zeros_like(loc), jnp.full_like(loc, variance**0.5))

    return in_family(normal, parameters)


@made_by
def symmetric(concentration: Any = 1.0) -> Prior:
    """A Dirichlet of the same concentration for each category, without labels.

    Args:
      concentration: of each category, above zero; 1 is uniform on the simplex.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if the concentration is not finite and positive.

    Example:
      >>> q = Dirichlet(jnp.ones((5, 3)))
      >>> symmetric().kl({}, q, Context(Batch(), q)).tolist()
      [0.0, 0.0, 0.0, 0.0, 0.0]

    Source: Blei, Ng and Jordan, 2003, Latent Dirichlet allocation.
    """
    value = checks.number("concentration", concentration)

    def of_each(y: Any, categories: int) -> jax.Array:
        return jnp.full(categories, jnp.asarray(value, jnp.float32))

    def parameters(own: Own, context: Context) -> Dirichlet:
        return Dirichlet(of_each(None, context.q.shape[-1]))

    simple = in_family(dirichlet, parameters)

    def sample(own: Own, key: jax.Array, context: Context) -> Any:
        return simple.sample(own, jax.random.split(key)[1], context)  # the first version's draws

    return simple._replace(sample=sample, concentration=of_each)


@made_by
def product(**priors: Prior) -> Prior:
    """The priors of the parts of a product, independent of each other.

    Args:
      **priors: by the names of the latent's parts.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if there are fewer than two, or one is no prior of a single latent.

    Example:
      >>> both = product(category=symmetric(), style=standard_normal())
      >>> [name for name, _ in both.parts]
      ['category', 'style']
    """
    if len(priors) < 2:
        raise ValueError(f"priors must be at least two by name, got {list(priors)}")
    for name, prior in priors.items():
        checks.instance(name, prior, Prior, "a jaxvae.priors.Prior")
        if prior.parts:
            raise ValueError(f"{name} must be the prior of a single latent, got a product")

    def of_part(context: Context, name: str) -> Context:
        encode = context.encode
        own = None if encode is None else lambda x: encode(x)[name]
        return Context(context.batch, context.q[name], own)

    def allowing_missing() -> Prior:
        each = {name: prior.with_missing for name, prior in priors.items()}
        return product(**{name: f() if f else priors[name] for name, f in each.items()})

    def init(key: jax.Array, context: Context) -> Own:
        made = {
            name: prior.init(jax.random.fold_in(key, i), of_part(context, name))
            for i, (name, prior) in enumerate(priors.items())
        }
        return {name: own for name, own in made.items() if jax.tree.leaves(own)}

    def log_prob(own: Own, u: Any, context: Context) -> dict[str, jax.Array]:
        return {
            name: prior.log_prob(own.get(name, {}), u[name], of_part(context, name))
            for name, prior in priors.items()
        }

    def sample(own: Own, key: jax.Array, context: Context) -> dict[str, Any]:
        return {
            name: prior.sample(
                own.get(name, {}), jax.random.fold_in(key, i), of_part(context, name)
            )
            for i, (name, prior) in enumerate(priors.items())
        }

    return Prior(
        init,
        log_prob,
        sample,
        uses_labels=any(prior.uses_labels for prior in priors.values()),
        parts=tuple(priors.items()),
        normalized=all(prior.normalized for prior in priors.values()),
        with_missing=allowing_missing,
    )


def parts_of(prior: Prior) -> dict[str, Prior]:
    """The priors of a model by the names of the latent's parts.

    Args:
      prior: one, or a product.

    Returns:
      Those of a product; else the one under the name "z".
    """
    return dict(prior.parts) or {"z": prior}
