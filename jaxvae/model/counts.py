"""Likelihoods of counts and of categories."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln, gammaln

from jaxvae.data.batches import Batch
from jaxvae.model.likelihoods import Likelihood, Own, check_values, noisy, nothing, total
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


def _counts(name: str) -> Callable[[Any], None]:
    """The check of a likelihood of counts."""

    def bad(values: np.ndarray) -> np.ndarray:
        return (values < 0) | (values != np.floor(values))

    def check(x: Any) -> None:
        check_values(x, bad, f"hold counts, integers of at least 0, for a {name} likelihood")

    return check


@made_by
def poisson() -> Likelihood:
    """Poisson(exp(decoded)), independent for each count.

    Returns:
      The likelihood; the decoder gives log-rates.

    Example:
      >>> x = jnp.array([0.0, 2.0])
      >>> round(float(poisson().log_prob({}, jnp.zeros(2), x, Batch(x))), 4)
      -2.6931

    Source: the probability's definition.
    """

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        return total(lambda d, x: x * d - jnp.exp(d) - gammaln(x + 1), example, decoded, x)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return jax.tree.map(jnp.exp, decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        draw = lambda key, d: jax.random.poisson(key, jnp.exp(d)).astype(d.dtype)  # noqa: E731
        return noisy(key, draw, decoded)

    return Likelihood(nothing, log_prob, mean, sample, _counts("Poisson"))


@made_by
def negative_binomial(
    dispersion: Any = 1.0, *, learned: bool = True, per_dimension: bool = True
) -> Likelihood:
    """Negative binomial of mean m = exp(decoded) and variance m + m^2 / dispersion.

    Args:
      dispersion: above zero; the larger, the nearer to a Poisson. Where it is learned, its start.
      learned: whether training finds it, as the parameter `log_dispersion`.
      per_dimension: one learned dispersion for each count of an example, instead of one for all.

    Returns:
      The likelihood; the decoder gives log-means.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> x, likelihood = jnp.array([0.0, 2.0]), negative_binomial()
      >>> own = likelihood.init(jax.random.key(0), x)
      >>> round(float(likelihood.log_prob(own, jnp.zeros(2), x, Batch(x))), 4)  # log 1/2 + log 1/8
      -2.7726

    Source: Lopez, Regier, Cole, Jordan and Yosef, 2018, Deep generative modeling for single-cell
    transcriptomics, whose inverse dispersion this is.
    """
    dispersion = checks.number("dispersion", dispersion)
    checks.boolean("learned", learned)
    checks.boolean("per_dimension", per_dimension)

    def init(key: jax.Array, x: Any) -> Own:
        if not learned:
            return {}
        start = jnp.log(jnp.asarray(dispersion, jnp.float32))
        each = jax.tree.map(lambda leaf: jnp.full(leaf.shape, start), x)
        return {"log_dispersion": each if per_dimension else start}

    def log_dispersions(own: Own, like: Any) -> Any:
        start = jnp.log(jnp.asarray(dispersion, jnp.float32))
        raw = own.get("log_dispersion", start)  # not learned; or parameters of the network alone
        whole = raw if raw is not start and per_dimension else jax.tree.map(lambda leaf: raw, like)
        return jax.tree.map(lambda r, leaf: jnp.broadcast_to(r, leaf.shape), whole, like)

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        def each(d: jax.Array, x: jax.Array, log_r: jax.Array) -> jax.Array:
            # No small difference of large numbers, as gammaln(x + r) - gammaln(r) is.
            r = jnp.exp(log_r)
            ways = -betaln(r, x + 1) - jnp.log(x + r)
            return ways - r * jax.nn.softplus(d - log_r) - x * jax.nn.softplus(log_r - d)

        return total(each, example, decoded, x, log_dispersions(own, decoded))

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return jax.tree.map(jnp.exp, decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        def draw(key: jax.Array, d: jax.Array, log_r: jax.Array) -> jax.Array:
            rate_key, count_key = jax.random.split(key)
            gamma = jax.random.gamma(rate_key, jnp.exp(log_r))
            return jax.random.poisson(count_key, gamma * jnp.exp(d - log_r)).astype(d.dtype)

        return noisy(key, draw, decoded, log_dispersions(own, decoded))

    return Likelihood(init, log_prob, mean, sample, _counts("negative binomial"))


def _log_softmax(decoded: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(decoded, axis=-1)


def _log(decoded: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(decoded, jnp.finfo(decoded.dtype).tiny))


def _itself(decoded: jax.Array) -> jax.Array:
    return decoded


LOG_PROBABILITIES = {"logits": _log_softmax, "log_probabilities": _itself, "probabilities": _log}


@made_by
def multinomial(of: str = "logits") -> Likelihood:
    """Multinomial(total, probabilities): how an example's total falls on its last axis.

    Its mean is the expected counts where the example, and so its total, is known; else the
    probabilities.

    Args:
      of: what the decoder gives: "logits", "log_probabilities" or "probabilities".

    Returns:
      The likelihood.

    Raises:
      ValueError: if `of` is none of these.

    Example:
      >>> x = jnp.array([0.0, 1.0])
      >>> round(float(multinomial().log_prob({}, jnp.zeros(2), x, Batch(x))), 4)
      -0.6931

    Source: the probability's definition.
    """
    log_probabilities = LOG_PROBABILITIES[checks.one_of("of", of, LOG_PROBABILITIES)]

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        if example.mask is not None:
            raise ValueError("mask must be None for a multinomial likelihood: the total is of all")
        log_p = log_probabilities(decoded)
        chosen = jnp.where(x > 0, x * jnp.where(x > 0, log_p, 0), 0)  # 0 log 0 = 0
        ways = gammaln(jnp.sum(x, axis=-1) + 1) - jnp.sum(gammaln(x + 1), axis=-1)
        return jnp.sum(chosen) + jnp.sum(ways)

    def probabilities(decoded: Any) -> jax.Array:
        return jnp.exp(log_probabilities(decoded))

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        p = probabilities(decoded)
        if example is None or example.x is None:
            return p
        return p * jnp.sum(example.x, axis=-1, keepdims=True).astype(p.dtype)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        if example is None or example.x is None:
            raise ValueError(
                "noise must be False for a multinomial likelihood without examples, whose totals "
                "it needs, got True"
            )
        p = probabilities(decoded)
        count = jnp.sum(example.x, axis=-1).astype(p.dtype)
        return jax.random.multinomial(key, count, p).astype(p.dtype)

    return Likelihood(nothing, log_prob, mean, sample, _counts("multinomial"))


@made_by
def categorical() -> Likelihood:
    """Each value of x is the number of a category; the decoder has a last axis of logits for them.

    Returns:
      The likelihood. Its mean is the probabilities [..., C].

    Raises:
      ValueError: from `log_prob`, if the decoder's output is not of x's shape and one axis more.

    Example:
      >>> x = jnp.array([0, 1])
      >>> round(float(categorical().log_prob({}, jnp.zeros((2, 4)), x, Batch(x))), 4)
      -2.7726

    Source: the probability's definition.
    """

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        def each(x: jax.Array, d: jax.Array) -> jax.Array:
            if d.shape[:-1] != x.shape:
                raise ValueError(
                    f"network.decode must return logits of shape {(*x.shape, 'C')} for each "
                    f"example, got {d.shape}"
                )
            index = x.astype(jnp.int32)[..., None]
            # NaN for a category that the decoder does not have.
            chosen = jnp.take_along_axis(_log_softmax(d), index, axis=-1, mode="fill")
            return chosen[..., 0]

        return total(each, example, x, decoded)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return jax.tree.map(lambda d: jax.nn.softmax(d, axis=-1), decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        return noisy(key, lambda key, d: jax.random.categorical(key, d), decoded)

    return Likelihood(nothing, log_prob, mean, sample, _counts("categorical"), same_shape=False)
