"""Likelihoods of counts and of categories."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import betaln

from jaxvae.data.batches import Batch
from jaxvae.model.likelihoods import Likelihood, Own, check_values, noisy, nothing, total
from jaxvae.model.values import made_by
from jaxvae.numerics import checks, count_densities
from jaxvae.numerics.count_densities import log_factorial
from jaxvae.numerics.distributions import sample_log_dirichlet
from jaxvae.numerics.softplus import softplus

MOST = 60.0  # of the log of a total concentration: beyond exp(60) float32 knows no difference


def _counts(name: str) -> Callable[[Any], None]:
    """The check of a likelihood of counts."""

    def bad(values: np.ndarray) -> np.ndarray:
        return (values < 0) | (values != np.floor(values))

    def check(x: Any) -> None:
        check_values(x, bad, f"hold counts, integers of at least 0, for a {name} likelihood")

    return check


def _refuse_mask(name: str, example: Batch) -> None:
    if example.mask is not None:
        raise ValueError(f"mask must be None for a {name}: the total is of all")


def _total(x: jax.Array) -> jax.Array:
    """The total of each row, with its axis."""
    return jnp.sum(x, axis=-1, keepdims=True)


def _known(name: str, example: Batch | None) -> Any:
    """The counts whose totals a draw needs."""
    if example is None or example.x is None:
        raise ValueError(
            f"noise must be False for a {name} without examples, whose totals it needs, got True"
        )
    return example.x


def _log_shares(log_p: jax.Array, x: jax.Array) -> jax.Array:
    """log(total p), where the total is 0 as if it were 1."""
    return jnp.log(jnp.maximum(_total(x), 1)) + log_p


def _shared(decoded: Any, example: Batch | None) -> Any:
    """The shares softmax(decoded) of the totals of an example; without it the shares alone."""
    shares = jax.tree.map(lambda d: jax.nn.softmax(d, axis=-1), decoded)
    if example is None or example.x is None:
        return shares
    return jax.tree.map(lambda p, x: p * _total(x).astype(p.dtype), shares, example.x)


@made_by
def poisson(*, totals: bool = False) -> Likelihood:
    """Poisson(exp(decoded)), independent for each count.

    With totals it is Poisson(n softmax(decoded)), where n is the sum of the example's counts over
    their last axis: an example of twice the counts has twice the means. Its mean is that where the
    example is known, else softmax(decoded).

    Args:
      totals: whether the example's own totals are known and shared out.

    Returns:
      The likelihood; the decoder gives log-rates, with totals logits.

    Raises:
      TypeError: if `totals` is not True or False.

    Example:
      >>> x = jnp.array([0.0, 2.0])
      >>> round(float(poisson().log_prob({}, jnp.zeros(2), x, Batch(x))), 4)
      -2.6931
      >>> poisson(totals=True).mean({}, jnp.zeros(2), Batch(x)).tolist()
      [1.0, 1.0]

    Source: the probability's definition.
    """
    checks.boolean("totals", totals)
    name = "Poisson likelihood with totals"

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        if not totals:
            return total(
                lambda d, x: x * d - jnp.exp(d) - log_factorial(x),
                example,
                decoded,
                x,
            )
        _refuse_mask(name, example)

        def each(d: jax.Array, x: jax.Array) -> jax.Array:
            log_p = _log_softmax(d)
            return count_densities.log_poisson(x, _total(x) * jnp.exp(log_p), _log_shares(log_p, x))

        return total(each, example, decoded, x)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return _shared(decoded, example) if totals else jax.tree.map(jnp.exp, decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        if totals:
            _known(name, example)
        draw = lambda key, m: jax.random.poisson(key, m).astype(m.dtype)  # noqa: E731
        return noisy(key, draw, mean(own, decoded, example))

    return Likelihood(nothing, log_prob, mean, sample, _counts("Poisson"))


@made_by
def negative_binomial(
    dispersion: Any = 1.0,
    *,
    learned: bool = True,
    per_dimension: bool = True,
    totals: bool = False,
) -> Likelihood:
    """Negative binomial of mean m = exp(decoded) and variance m + m^2 / dispersion.

    With totals the mean is m = n softmax(decoded), where n is the sum of the example's counts over
    their last axis, known as a cell's library size is. Its mean is that where the example is known,
    else softmax(decoded).

    Args:
      dispersion: above zero; the larger, the nearer to a Poisson. Where it is learned, its start.
      learned: whether training finds it, as the parameter `log_dispersion`.
      per_dimension: one learned dispersion for each count of an example, instead of one for all.
      totals: whether the example's own totals are known and shared out.

    Returns:
      The likelihood; the decoder gives log-means, with totals logits.

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
    checks.boolean("totals", totals)
    name = "negative binomial likelihood with totals"

    def init(key: jax.Array, x: Any) -> Own:
        if not learned:
            return {}
        start = jnp.log(jnp.asarray(dispersion, jnp.float32))
        each = jax.tree.map(lambda leaf: jnp.full(leaf.shape, start), x)
        return {"log_dispersion": each if per_dimension else start}

    def log_dispersions(own: Own, like: Any) -> Any:
        # Not learned; or parameters of the network alone.
        start = jax.tree.map(lambda leaf: jnp.log(jnp.asarray(dispersion, leaf.dtype)), like)
        raw = own.get("log_dispersion", start)
        each = raw if raw is start or per_dimension else jax.tree.map(lambda leaf: raw, like)
        return jax.tree.map(
            lambda r, leaf: jnp.broadcast_to(r, leaf.shape).astype(leaf.dtype), each, like
        )

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        def each(d: jax.Array, x: jax.Array, log_r: jax.Array) -> jax.Array:
            # No small difference of large numbers, as gammaln(x + r) - gammaln(r) is.
            r = jnp.exp(log_r)
            ways = -betaln(r, x + 1) - jnp.log(x + r)
            return ways - r * softplus(d - log_r) - x * softplus(log_r - d)

        def shared(d: jax.Array, x: jax.Array, log_r: jax.Array) -> jax.Array:
            log_p, r = _log_softmax(d), jnp.exp(log_r)
            log_odds = _log_shares(log_p, x) - log_r
            odds = _total(x) * jnp.exp(log_p) / r
            return count_densities.log_negative_binomial(x, r, log_r, odds, log_odds)

        if totals:
            _refuse_mask(name, example)
        return total(shared if totals else each, example, decoded, x, log_dispersions(own, decoded))

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return _shared(decoded, example) if totals else jax.tree.map(jnp.exp, decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        def draw(key: jax.Array, d: jax.Array, log_r: jax.Array) -> jax.Array:
            rate_key, count_key = jax.random.split(key)
            gamma = jax.random.gamma(rate_key, jnp.exp(log_r))
            return jax.random.poisson(count_key, gamma * jnp.exp(d - log_r)).astype(d.dtype)

        if totals:
            _known(name, example)
            decoded = jax.tree.map(jnp.log, mean(own, decoded, example))
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
        _refuse_mask("multinomial likelihood", example)
        log_p = log_probabilities(decoded)
        chosen = jnp.where(x > 0, x * jnp.where(x > 0, log_p, 0), 0)  # 0 log 0 = 0
        ways = log_factorial(jnp.sum(x, axis=-1)) - jnp.sum(log_factorial(x), axis=-1)
        return jnp.sum(chosen) + jnp.sum(ways)

    def probabilities(decoded: Any) -> jax.Array:
        return jnp.exp(log_probabilities(decoded))

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        p = probabilities(decoded)
        if example is None or example.x is None:
            return p
        return p * jnp.sum(example.x, axis=-1, keepdims=True).astype(p.dtype)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        x, p = _known("multinomial likelihood", example), probabilities(decoded)
        count = jnp.sum(x, axis=-1).astype(p.dtype)
        return jax.random.multinomial(key, count, p).astype(p.dtype)

    return Likelihood(nothing, log_prob, mean, sample, _counts("multinomial"))


@made_by
def dirichlet_multinomial(
    total_concentration: Any = 100.0, *, learned: bool = True, of: str = "logits"
) -> Likelihood:
    """Dirichlet-multinomial: a multinomial whose probabilities are drawn anew for each example.

    They are a draw of Dirichlet(total_concentration * probabilities). So a count that is there once
    is likely to be there again, and the variance is that of the multinomial times
    (total + total_concentration) / (1 + total_concentration). Its mean is the multinomial's.

    Args:
      total_concentration: above zero; the larger, the nearer to a multinomial. Where it is learned,
        its start.
      learned: whether training finds it, as the parameter `log_concentration`, one number.
      of: what the decoder gives: "logits", "log_probabilities" or "probabilities".

    Returns:
      The likelihood.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> x, likelihood = jnp.array([0.0, 2.0]), dirichlet_multinomial(2.0)
      >>> own = likelihood.init(jax.random.key(0), x)
      >>> round(float(likelihood.log_prob(own, jnp.zeros(2), x, Batch(x))), 4)  # log 1/3
      -1.0986

    Source: Madsen, Kauchak and Elkan, 2005, Modeling word burstiness using the Dirichlet
    distribution.
    """
    start = checks.number("total_concentration", total_concentration)
    checks.boolean("learned", learned)
    log_probabilities = LOG_PROBABILITIES[checks.one_of("of", of, LOG_PROBABILITIES)]
    name = "Dirichlet-multinomial likelihood"
    plain = multinomial(of)

    def init(key: jax.Array, x: Any) -> Own:
        return {"log_concentration": jnp.log(jnp.asarray(start, jnp.float32))} if learned else {}

    def log_concentration(own: Own, like: jax.Array) -> jax.Array:
        # Not learned; or parameters of the network alone.
        raw = own["log_concentration"] if "log_concentration" in own else jnp.log(start)
        return jnp.clip(jnp.asarray(raw).astype(like.dtype), -MOST, MOST)

    def log_prob(own: Own, decoded: Any, x: Any, example: Batch) -> jax.Array:
        """Of independent negative binomials of one odds, that of x given that of their sum.

        The odds are free. Those that make the mean of the sum the total leave no large number.
        """
        _refuse_mask(name, example)
        log_p, count = log_probabilities(decoded), _total(x)
        log_a = log_concentration(own, log_p)
        a, some = jnp.exp(log_a), jnp.maximum(count, 1)
        odds, log_odds = jax.lax.stop_gradient((some / a, jnp.log(some) - log_a))
        log_nb = count_densities.log_negative_binomial
        each = log_nb(x, a * jnp.exp(log_p), log_a + log_p, odds, log_odds)
        whole = log_nb(count, a, log_a, odds, log_odds)
        return jnp.sum(jnp.where(count > 0, jnp.sum(each, axis=-1, keepdims=True) - whole, 0))

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return plain.mean({}, decoded, example)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        x, log_p = _known(name, example), log_probabilities(decoded)
        share_key, count_key = jax.random.split(key)
        concentration = jnp.exp(log_concentration(own, log_p) + log_p)
        least = jnp.finfo(log_p.dtype).tiny  # less is no concentration
        log_z = sample_log_dirichlet(share_key, jnp.maximum(concentration, least))
        count = jnp.sum(x, axis=-1).astype(log_p.dtype)
        return jax.random.multinomial(count_key, count, jnp.exp(log_z)).astype(log_p.dtype)

    return Likelihood(init, log_prob, mean, sample, _counts("Dirichlet-multinomial"))


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
            return jnp.take_along_axis(_log_softmax(d), index, axis=-1, mode="fill")[..., 0]

        return total(each, example, x, decoded)

    def mean(own: Own, decoded: Any, example: Batch | None = None) -> Any:
        return jax.tree.map(lambda d: jax.nn.softmax(d, axis=-1), decoded)

    def sample(own: Own, key: jax.Array, decoded: Any, example: Batch | None = None) -> Any:
        return noisy(key, lambda key, d: jax.random.categorical(key, d), decoded)

    check = _counts("categorical")
    return Likelihood(nothing, log_prob, mean, sample, check, same_shape=False, fits=_categories)


def _categories(x: Any, decoded: Any) -> None:
    """Refuse the number of a category for which the decoder has no logit."""
    if isinstance(x, np.ndarray) and x.max(initial=0) >= (number := decoded.shape[-1]):
        raise ValueError(
            f"x must be from 0 to {number - 1}, as network.decode returns {number} logits for "
            f"each value, got {x.max()}"
        )
