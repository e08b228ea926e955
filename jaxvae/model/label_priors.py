"""A prior over the simplex that is made from each example's label, which may be missing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxvae.model.latents import dirichlet
from jaxvae.model.parameters import Dirichlet
from jaxvae.model.priors import Context, Own, Prior, in_family
from jaxvae.model.values import made_by
from jaxvae.numerics import checks, sharding


@made_by
def from_labels(
    *,
    smoothness: Any = 0.5,
    total_concentration: Any = 8.0,
    frequencies: Any = None,
    missing: bool | None = True,
) -> Prior:
    """The original's prior over the simplex: most of the mass on the example's own label.

    concentration = total_concentration * (one_hot(y) + smoothness) / (1 + K smoothness)

    An example whose label is missing (-1) has the mixture of the K priors by the labels'
    frequencies. What is bounded is then log p(x | y) for the others, and log p(x) for it; its KL
    divergence, which has no closed form, is taken by the draws.

    Args:
      smoothness: what each category gets beside the label's 1, above zero.
      total_concentration: the sum of the concentrations, above zero (the original calls it
        `label_smoothing`).
      frequencies: of the labels [K], where one is missing or drawn: each as likely where None;
        positive numbers, of which only the ratios matter; or "learned".
      missing: whether labels may be missing. None: where they are seen to be, as by `fit` and
        `evaluate`; a compiled step of your own is then faster, and gives NaN for a missing label.

    Returns:
      The prior, for `latents.dirichlet`. To sample from it without labels, a label is drawn first.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae import Batch
      >>> q = Dirichlet(jnp.array([[2.0, 6.0], [2.0, 6.0]]))
      >>> context = Context(Batch(y=jnp.array([1, 1])), q)
      >>> from_labels().kl({}, q, context).tolist()
      [0.0, 0.0]

    Source: the 2020 TensorFlow script, whose `smoothness` and `label_smoothing` these are; the
    missing labels: Kingma, Rezende, Mohamed and Welling, 2014, Semi-supervised learning with deep
    generative models.
    """
    smoothness = checks.number("smoothness", smoothness)
    total = checks.number("total_concentration", total_concentration)
    if missing is not None:
        checks.boolean("missing", missing)
    learned = isinstance(frequencies, str)
    if learned:
        checks.one_of("frequencies", frequencies, ("learned",))
    elif frequencies is not None:
        frequencies = checks.real_array("frequencies", frequencies)
        checks.finite_array("frequencies", frequencies.astype(np.float32), positive=True)
        if frequencies.ndim != 1:
            raise ValueError(f"frequencies must have the shape [K], got {frequencies.shape}")

    def base(categories: int) -> tuple[Any, Any]:
        """The concentration of each category but the label's, and what the label's has more."""
        share = total / (1 + categories * smoothness)
        return share * smoothness, share

    def labels(context: Context) -> jax.Array:
        if context.batch.y is None:
            raise ValueError("y must hold the labels that the prior is made from, got None")
        return jnp.asarray(context.batch.y)

    def concentration(y: Any, categories: int) -> jax.Array:
        p = jax.nn.one_hot(y, categories) + smoothness
        return total * p / (1 + categories * smoothness)

    def parameters(own: Own, context: Context) -> Dirichlet:
        return Dirichlet(concentration(labels(context), context.q.shape[-1]))

    def init(key: jax.Array, context: Context) -> Own:
        categories = context.q.shape[-1]
        return {"log_frequencies": jnp.zeros(categories)} if learned else {}

    def log_frequencies(own: Own, categories: int) -> jax.Array:
        if learned:
            return jax.nn.log_softmax(own["log_frequencies"])
        if frequencies is None:
            return jnp.full(categories, -jnp.log(float(categories)))
        if len(frequencies) != categories:
            raise ValueError(
                f"frequencies must have one number for each of {categories} categories, "
                f"got {len(frequencies)}"
            )
        return jnp.log(jnp.asarray(frequencies / frequencies.sum(), jnp.float32))

    simple = in_family(dirichlet, parameters)

    def mixture(own: Own, u: jax.Array) -> jax.Array:
        """The K densities differ in one power: the label's share to `peak`."""
        categories = u.shape[-1]
        rest, peak = base(categories)
        first = rest + peak * jax.nn.one_hot(0, categories)
        weights = log_frequencies(own, categories).reshape((1,) * (u.ndim - 1) + (-1,))
        return (
            dirichlet.log_prob(Dirichlet(first), u)
            - peak * u[..., 0]
            + logsumexp(weights + peak * u, axis=-1)
        )

    def log_prob(own: Own, u: jax.Array, context: Context) -> jax.Array:
        known = simple.log_prob(own, u, context)
        missing = jnp.broadcast_to(labels(context) < 0, known.shape)
        missing, known, mixed = sharding.aligned(missing, known, mixture(own, u))
        return jnp.where(missing, mixed, known)

    def sample(own: Own, key: jax.Array, context: Context) -> jax.Array:
        label_key, draw_key = jax.random.split(key)
        shape = context.q.shape
        if learned or frequencies is not None:
            logits = jnp.broadcast_to(log_frequencies(own, shape[-1]), shape)
            y = jax.random.categorical(label_key, logits)
        else:
            y = jax.random.randint(label_key, shape[:-1], 0, shape[-1])
        if context.batch.y is not None:
            given = jnp.broadcast_to(jnp.asarray(context.batch.y), shape[:-1])
            y = jnp.where(given < 0, y, given)
        return dirichlet.sample(draw_key, Dirichlet(concentration(y, shape[-1])))

    def kl(own: Own, q: Any, context: Context) -> jax.Array:
        assert simple.kl is not None
        found = simple.kl(own, q, context)
        if missing:
            return found
        y, found = sharding.aligned(labels(context), found)
        return jnp.where(y < 0, jnp.nan, found)

    def closed(context: Context) -> jax.Array | None:
        known = labels(context) >= 0
        if missing or not (checks.is_traced(known) or bool(known.all())):
            return known
        return None

    def with_missing() -> Prior:
        return from_labels(
            smoothness=smoothness,
            total_concentration=total_concentration,
            frequencies=frequencies,
        )

    return Prior(
        init,
        log_prob,
        sample,
        kl,
        None if missing is False else closed,
        uses_labels=True,
        family=simple.family,
        concentration=concentration,
        with_missing=with_missing if missing is None else None,
    )
