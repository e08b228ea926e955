"""Terms of a loss, as small functions of arrays.

`normal_nll` and `bernoulli_nll` are in nats, summed over the event and averaged over the batch by
`weighted_mean`. The terms of the two objectives of the 2020 original, which are no ELBO, are kept
by name.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.data.batches import Array
from jaxvae.numerics import checks, sharding
from jaxvae.numerics.softplus import softplus


@door("objectives")
class LossTerms(NamedTuple):
    """What a loss reports for each example; `kl` before its weight is applied.

    Attributes:
      reconstruction: [B].
      kl: [B], the sum over the latent's parts.
      more: what the objective adds, {name: [B]}.
      statistics: the network's, as they are after this batch; empty where it keeps none.

    Example:
      >>> terms = LossTerms(reconstruction=jnp.array([3.0, 5.0]), kl=jnp.array([1.0, 1.0]))
      >>> float(weighted_mean(terms.reconstruction + terms.kl, None))
      5.0
    """

    reconstruction: jax.Array
    kl: jax.Array
    more: Mapping[str, jax.Array] = {}
    statistics: Any = {}  # noqa: RUF012


def normal_nll(x: Array, mean: jax.Array) -> jax.Array:
    """-log Normal(x | mean, 1) = sum_d 1/2 (x - mean)^2 + D/2 log(2 pi), in nats.

    Args:
      x: examples [..., D].
      mean: decoded means [..., D].

    Returns:
      [...], summed over D.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> round(float(normal_nll(jnp.zeros(2), jnp.ones(2))), 4)
      2.8379

    Source: the density's definition.
    """
    _same_shape("mean", mean, "x", x)
    constant = 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return 0.5 * jnp.sum((x - mean) ** 2, axis=-1) + constant


def bernoulli_nll(x: Array, logits: jax.Array) -> jax.Array:
    """-log Bernoulli(x | sigmoid(logits)) = sum_d softplus(l) - x l, in nats.

    Args:
      x: examples [..., D] in [0, 1]; for grey values it is the cross-entropy, not a likelihood.
      logits: decoded logits [..., D].

    Returns:
      [...], summed over D.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> round(float(bernoulli_nll(jnp.ones(2), jnp.zeros(2))), 4)
      1.3863

    Source: the probability's definition, in the stable form of TensorFlow's
    `sigmoid_cross_entropy_with_logits`.
    """
    _same_shape("logits", logits, "x", x)
    return jnp.sum(softplus(logits) - x * logits, axis=-1)


def original_normal_reconstruction(x: Array, mean: jax.Array) -> jax.Array:
    """The original Normal model's first term, sum_d 1/2 (x - mean)^2: no log(2 pi).

    Args:
      x: examples [..., D].
      mean: decoded means [..., D].

    Returns:
      [...], summed over D.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> float(original_normal_reconstruction(jnp.zeros(2), jnp.ones(2)))
      1.0

    Source: the 2020 TensorFlow script; `docs/objectives.md`.
    """
    _same_shape("mean", mean, "x", x)
    # The original divides by 1 + 1e-10, which is 1 in float32.
    return 0.5 * jnp.sum((x - mean) ** 2, axis=-1)


def original_normal_kl(
    z: jax.Array, loc: jax.Array, scale: jax.Array, *, prior_variance: float
) -> jax.Array:
    """The original Normal model's second term. It is no KL divergence and can be negative.

    1/2 (sum z^2 / C - sum (z - loc)^2 / (scale + 1e-10)): `scale`, which drew z as a standard
    deviation, divides as if it were a variance, and both log-determinants are missing. In
    expectation it is 1/2 sum((loc^2 + scale^2) / C - scale), least at scale = C / 2.

    Args:
      z: the draws [..., K].
      loc: posterior means [..., K].
      scale: posterior standard deviations [..., K].
      prior_variance: C, above zero.

    Returns:
      [...], summed over K.

    Raises:
      ValueError: if the shapes differ, or prior_variance is not finite and positive.

    Example:
      >>> z, loc, scale = jnp.array([1.0]), jnp.array([0.0]), jnp.array([0.5])
      >>> float(original_normal_kl(z, loc, scale, prior_variance=1.0))  # (1 / 1 - 1 / 0.5) / 2
      -0.5

    Source: the 2020 TensorFlow script; `docs/objectives.md`.
    """
    prior_variance = checks.positive_float("prior_variance", prior_variance)
    _same_shape("loc", loc, "z", z)
    _same_shape("scale", scale, "z", z)
    prior = jnp.sum(z**2, axis=-1) / prior_variance
    posterior = jnp.sum((z - loc) ** 2 / (scale + 1e-10), axis=-1)
    return 0.5 * (prior - posterior)


def original_dirichlet_reconstruction(x: Array, mean: jax.Array) -> jax.Array:
    """The original Dirichlet model's first term: the mean over pixels of (x - mean)^2.

    With D pixels it is 2/D times a unit-variance Normal's, so that the KL beside it weighs D/2
    times what the ELBO gives it.

    Args:
      x: examples [..., D].
      mean: decoded means [..., D].

    Returns:
      [...].

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> float(original_dirichlet_reconstruction(jnp.zeros(2), jnp.ones(2)))
      1.0

    Source: the 2020 TensorFlow script; `docs/objectives.md`.
    """
    _same_shape("mean", mean, "x", x)
    return jnp.mean((x - mean) ** 2, axis=-1)


def weighted_mean(values: jax.Array, weight: Array | None) -> jax.Array:
    """sum(weight * values) / sum(weight) over the batch; the plain mean where weight is None.

    Args:
      values: [B].
      weight: [B], finite and at least 0, or None. An example of weight 0 counts for nothing, even
        if its value is NaN.

    Returns:
      A scalar; 0 where every weight is 0, as on a device whose rows are all padding. Inside
      compiled code, where values cannot be refused, NaN where a weight is negative or NaN.

    Raises:
      ValueError: if the shapes differ, or a weight is not finite and at least 0.

    Example:
      >>> float(weighted_mean(jnp.array([1.0, 5.0]), jnp.array([1.0, 0.0])))
      1.0
    """
    if jnp.ndim(values) != 1:
        raise ValueError(f"values must have the shape [B], got {jnp.shape(values)}")
    if weight is None:
        return jnp.mean(values)
    checks.same_shape("weight", weight, "values", values, "[B]")
    checks.finite_array("weight", weight, nonnegative=True)
    values, weight = sharding.aligned(values, jnp.asarray(weight))
    if not jnp.issubdtype(weight.dtype, jnp.floating):
        weight = weight.astype(float)
    # Inside compiled code the check above sees nothing: a bad weight makes the mean NaN.
    weight = jnp.where(weight >= 0, weight, jnp.nan)
    total = jnp.sum(jnp.where(weight == 0, 0, weight * values))
    weights = jnp.sum(weight)
    return jnp.where(weights == 0, 0, total / jnp.where(weights == 0, 1, weights))


def _same_shape(name: str, array: Array, other_name: str, other: Array) -> None:
    checks.same_shape(name, array, other_name, other, "[..., D]")
