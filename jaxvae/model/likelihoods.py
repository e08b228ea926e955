"""Likelihoods: what the decoder's output says of x, each a value of pure functions for one example.

Log-probabilities are in nats, summed over the example, every constant in them. What an example's
mask leaves out counts for nothing.
"""

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data.batches import Batch
from jaxvae.model.values import made_by
from jaxvae.numerics import checks
from jaxvae.numerics.softplus import softplus

Own = dict[str, jax.Array]


def nothing(key: jax.Array, x: Any) -> Own:
    """The parameters of a likelihood that has none of its own.

    Args:
      key: unused.
      x: unused.

    Returns:
      An empty dict.
    """
    return {}


def accept(x: Any) -> None:
    """The check of a likelihood for data x of any values."""


def accept_both(x: Any, decoded: Any) -> None:
    """The same, whatever is decoded.

    Args:
      x: data.
      decoded: what the decoder makes of them.
    """


@door("likelihoods")
class Likelihood(NamedTuple):
    """How x is distributed given what the decoder returns. All functions are for one example.

    Attributes:
      init: `init(key, x) -> own`, the likelihood's own parameters, a dict of arrays; x is one
        example, only its shape matters.
      log_prob: `log_prob(own, decoded, x, example) -> scalar`, in nats. `example` is the example's
        `Batch` of one row without its axis: x, condition, mask.
      mean: `mean(own, decoded, example=None)`, the mean of x, in data space.
      sample: `sample(own, key, decoded, example=None)`, a draw of x.
      check: `check(x)` raises, on the host, if data [N, ...] cannot be this likelihood's.
      same_shape: whether the decoder must return the shape of x.
      normalized: whether log_prob is that of a distribution.
      fits: `fits(x, decoded)` raises, on the host, if data [N, ...] are beyond what the decoder
        says; of `decoded` [N, ...] the shapes are known and nothing else.

    Example:
      >>> from jaxvae import Batch
      >>> unit = normal(1.0)
      >>> round(float(unit.log_prob({}, jnp.zeros(2), jnp.ones(2), Batch(jnp.ones(2)))), 4)
      -2.8379
    """

    init: Callable[[jax.Array, Any], Own]
    log_prob: Callable[[Own, Any, Any, Batch], jax.Array]
    mean: Callable[..., Any]
    sample: Callable[..., Any]
    check: Callable[[Any], None] = accept
    same_shape: bool = True
    normalized: bool = True
    fits: Callable[[Any, Any], None] = accept_both


def total(each: Callable[..., jax.Array], example: Batch, *trees: Any) -> jax.Array:
    """The sum of a log-density over the values of one example that are seen.

    Args:
      each: `each(*leaves)`, elementwise.
      example: its row; a mask of x's shape says which values count.
      *trees: what the decoder returned for it, x, and what else each value needs: arrays, or trees
        of arrays, of one shape.

    Returns:
      A scalar.
    """
    values = jax.tree.map(each, *trees)
    if example.mask is not None:
        values = jax.tree.map(lambda v, seen: jnp.where(_true(seen), v, 0), values, example.mask)
    sums = [jnp.sum(value) for value in jax.tree.leaves(values)]
    return functools.reduce(operator.add, sums)


def _true(seen: Any) -> jax.Array:
    """A mask of True and False, or of 1 and 0, as the first: not all of them compare with 0."""
    return jnp.asarray(seen).astype(bool)


def count_seen(x: Any, example: Batch) -> Any:
    """How many values of one example are seen.

    Args:
      x: its values.
      example: its row.

    Returns:
      Their number.
    """
    if example.mask is None:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(x))
    counts = [jnp.sum(_true(seen)) for seen in jax.tree.leaves(example.mask)]
    return functools.reduce(operator.add, counts).astype(jnp.float32)


def noisy(key: jax.Array, draw: Callable[..., jax.Array], *trees: Any) -> Any:
    """A draw for each leaf: `draw(key, *leaves)`.

    Args:
      key: one typed key.
      draw: for one array.
      *trees: of arrays.

    Returns:
      A tree of draws.
    """
    leaves, tree = jax.tree.flatten(trees[0])
    keys = [key] if len(leaves) == 1 else list(jax.random.split(key, len(leaves)))
    return jax.tree.map(draw, jax.tree.unflatten(tree, keys), *trees)


def check_values(x: Any, bad: Callable[[np.ndarray], np.ndarray], allowed: str) -> None:
    """Refuse data that hold a value which a likelihood gives no probability.

    Args:
      x: data [N, ...], a tree of arrays; or sparse rows, of which the entries are looked at.
      bad: which values of an array are not allowed.
      allowed: what is, as the end of "x must ...".

    Raises:
      ValueError: if there is one.
    """
    for leaf in jax.tree.leaves(x):
        values = np.asarray(leaf.data if hasattr(leaf, "nnz") else leaf)
        wrong = values[bad(values)]
        if wrong.size:
            raise ValueError(f"x must {allowed}, got {wrong.ravel()[0]}")


@made_by
def normal(
    scale: Any = 1.0,
    *,
    learned: bool = False,
    per_dimension: bool = False,
    minimum: Any = 1e-3,
) -> Likelihood:
    """Normal(decoded, scale^2), independent for each value.

    Args:
      scale: the standard deviation, above zero; where it is learned, its start.
      learned: whether training finds it, as the parameter `log_scale`.
      per_dimension: one learned scale for each value of an example, instead of one for all.
      minimum: what a learned scale stays above.

    Returns:
      The likelihood.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> sorted(normal(learned=True).init(jax.random.key(0), jnp.zeros(3)))
      ['log_scale']

    Source: the density's definition; a learned scale is Rybkin, Daniilidis and Levine, 2021, Simple
    and effective VAE training with calibrated decoders.
    """
    scale = checks.number("scale", scale)
    checks.boolean("learned", learned)
    checks.boolean("per_dimension", per_dimension)
    minimum = checks.number("minimum", minimum)
    if per_dimension and not learned:
        raise ValueError("per_dimension must be False where the scale is not learned, got True")
    known = not (checks.is_traced(scale) or checks.is_traced(minimum))
    if learned and known and scale <= minimum:
        raise ValueError(f"scale must be above the minimum, {minimum:g}, got {scale:g}")
    is_unit = not learned and known and scale == 1

    def init(key: jax.Array, x: Any) -> Own:
        if not learned:
            return {}
        start = jnp.log(jnp.asarray(scale - minimum, jnp.float32))
        each = jax.tree.map(lambda leaf: jnp.full(leaf.shape, start), x)
        return {"log_scale": each if per_dimension else start}

    def scales(own: Own, like: Any) -> Any:
        """A scale for each leaf, an array or one number."""
        if "log_scale" not in own:  # not learned; or parameters of the network alone
            return jax.tree.map(lambda leaf: scale, like)
        if per_dimension:
            return jax.tree.map(lambda raw: minimum + jnp.exp(raw), own["log_scale"])
        return jax.tree.map(lambda leaf: minimum + jnp.exp(own["log_scale"]), like)

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        constant = 0.5 * math.log(2 * math.pi) * count_seen(x, example)
        if is_unit:
            return -0.5 * total(lambda d, x: (x - d) ** 2, example, decoded, x) - constant
        each = lambda d, x, s: -0.5 * ((x - d) / s) ** 2 - jnp.log(s)  # noqa: E731
        return total(each, example, decoded, x, scales(own, decoded)) - constant

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return decoded

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        draw = lambda key, d, s: d + s * jax.random.normal(key, d.shape, d.dtype)  # noqa: E731
        return noisy(key, draw, decoded, scales(own, decoded))

    return Likelihood(init, log_prob, mean, sample)


@made_by
def bernoulli() -> Likelihood:
    """Bernoulli(sigmoid(decoded)), independent for each value; x lies in [0, 1].

    log p = x l - softplus(l) for the logit l. For grey values between 0 and 1 it is the
    cross-entropy, no likelihood.

    Returns:
      The likelihood; the decoder gives logits.

    Example:
      >>> own, example = {}, Batch(jnp.ones(2))
      >>> round(float(bernoulli().log_prob(own, jnp.zeros(2), example.x, example)), 4)
      -1.3863

    Source: the probability's definition, in the stable form of TensorFlow's
    `sigmoid_cross_entropy_with_logits`.
    """

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        return -total(lambda d, x: softplus(d) - x * d, example, decoded, x)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return jax.tree.map(jax.nn.sigmoid, decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        draw = lambda key, d: (  # noqa: E731
            jax.random.bernoulli(key, jax.nn.sigmoid(d)).astype(d.dtype)
        )
        return noisy(key, draw, decoded)

    def check(x: Any) -> None:
        check_values(x, lambda v: (v < 0) | (v > 1), "lie in [0, 1] for a Bernoulli likelihood")

    return Likelihood(nothing, log_prob, mean, sample, check)


@made_by
def distribution(make: Callable[[Any], Any]) -> Likelihood:
    """Any distribution object with `log_prob`, `mean` and `sample`: TFP's, NumPyro's, Distrax's.

    Args:
      make: `make(decoded)` gives the distribution of one example, or of each of its values; their
        log-probabilities are summed. A value that a mask leaves out counts for nothing where the
        log-probability has x's shape.

    Returns:
      The likelihood.

    Raises:
      TypeError: if make is no function.

    Example:
      >>> from jaxvae.distributions import tfp_distributions
      >>> laplace = distribution(lambda decoded: tfp_distributions().Laplace(decoded, 1.0))
      >>> example = Batch(jnp.zeros(2))
      >>> round(float(laplace.log_prob({}, jnp.zeros(2), example.x, example)), 4)
      -1.3863
    """
    checks.function("make", make)

    def allowing(function: Callable[[], Any]) -> Any:
        # Others rely on implicit promotion, which a caller may have forbidden.
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return function()

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        each = allowing(lambda: make(decoded).log_prob(x))
        if example.mask is not None and jnp.shape(each) != jnp.shape(example.mask):
            raise ValueError(
                f"mask must be None where the distribution's log-probability is not one a value, "
                f"{jnp.shape(each)}, got {jnp.shape(example.mask)}"
            )
        return total(lambda v: v, example, each)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        found = allowing(lambda: make(decoded)).mean
        return allowing(found) if callable(found) else found

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        made = allowing(lambda: make(decoded))
        by_seed = "seed" in inspect.signature(made.sample).parameters
        return allowing(lambda: made.sample(seed=key) if by_seed else made.sample(key))

    return Likelihood(nothing, log_prob, mean, sample, same_shape=False)
