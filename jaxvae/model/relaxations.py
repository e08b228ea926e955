"""Two more families on the simplex that papers compare with a Dirichlet: the concrete distribution
and stick breaking.
"""

import math

import jax
import jax.numpy as jnp

from jaxvae.model.latents import (
    Latent,
    alike,
    corners,
    exp,
    same_shape,
    softmax,
)
from jaxvae.model.parameters import Kumaraswamy, Logits, one_array, pair_of_arrays
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

# --- the concrete distribution; u is log z


@made_by
def concrete(temperature: float) -> Latent:
    """The concrete (Gumbel-softmax) family on the simplex, relaxed by a temperature.

    z = softmax((logits + Gumbel noise) / temperature). Its log-density is that of u = log z.

    Args:
      temperature: above zero; the lower, the nearer are the draws to the corners.

    Returns:
      The latent; its parameter is `Logits`.

    Raises:
      ValueError, TypeError: if the temperature is not finite and positive.

    Example:
      >>> family = concrete(0.5)
      >>> z = family.value(family.sample(jax.random.key(0), Logits(jnp.zeros(3))))
      >>> z.shape, bool(jnp.allclose(z.sum(), 1))
      ((3,), True)

    Source: Maddison, Mnih and Teh, 2017, The concrete distribution; Jang, Gu and Poole, 2017,
    Categorical reparameterization with Gumbel-softmax.
    """
    temperature = checks.number("temperature", temperature)

    def sample(key: jax.Array, q: Logits) -> jax.Array:
        noise = jax.random.gumbel(key, q.logits.shape, q.logits.dtype)
        noisy = q.logits + noise
        # The largest is 0 before it is divided: a fused multiply and subtract would round it apart.
        noisy = noisy - jax.lax.stop_gradient(jnp.max(noisy, axis=-1, keepdims=True))
        return jax.nn.log_softmax(noisy / temperature, axis=-1)

    def log_prob(q: Logits, u: jax.Array) -> jax.Array:
        logits, u = same_shape(q.logits, u)
        categories = u.shape[-1]
        constant = math.lgamma(categories) + (categories - 1) * jnp.log(temperature)
        return constant + jnp.sum(jax.nn.log_softmax(logits - temperature * u, axis=-1), axis=-1)

    return Latent(
        sample=sample,
        log_prob=log_prob,
        value=exp,
        mean=lambda q: softmax(q.logits),
        wrap=one_array(Logits),
        form="logits [B, K]",
        shapes=alike(Logits),
        support="simplex",
        landmarks=corners,
        batched=True,
    )


# --- stick breaking; u is the log of the fractions that are broken off


def _log1mexp(t: jax.Array) -> jax.Array:
    """log(1 - exp(-t)) for t > 0, exact at both ends."""
    small = t < math.log(2)
    safe = jnp.where(small, 1.0, t)  # neither branch may hold what has no derivative
    return jnp.where(
        small, jnp.log(-jnp.expm1(-jnp.where(small, t, 1.0))), jnp.log1p(-jnp.exp(-safe))
    )


def _sticks_sample(key: jax.Array, q: Kumaraswamy) -> jax.Array:
    a, b = same_shape(q.a, q.b)
    tiny = jnp.finfo(a.dtype).tiny
    wait = jnp.maximum(jax.random.exponential(key, a.shape, a.dtype), tiny)
    # The quantile function at 1 - exp(-wait): v = (1 - exp(-wait / b)) ** (1 / a). By reciprocals:
    # the derivative of a quotient overflows where that of the whole does not.
    return jnp.minimum(_log1mexp(jnp.maximum(wait * (1 / b), tiny)) * (1 / a), -tiny)


def _sticks_log_prob(q: Kumaraswamy, u: jax.Array) -> jax.Array:
    a, b, u = same_shape(q.a, q.b, u)
    # What underflows to zero would have a log-density without bounds.
    rest = _log1mexp(jnp.maximum(-a * u, jnp.finfo(u.dtype).tiny))
    each = jnp.log(a) + jnp.log(b) + (a - 1) * u + (b - 1) * rest
    return jnp.sum(each, axis=-1)


def _shares(log_fraction: jax.Array, log_rest: jax.Array) -> jax.Array:
    """What is broken off at each step, and at the end what is left."""
    left = jnp.cumsum(log_rest, axis=-1)
    none = jnp.zeros_like(left[..., :1])
    before = jnp.concatenate([none, left], axis=-1)
    return jnp.exp(before + jnp.concatenate([log_fraction, none], axis=-1))


def _sticks_value(u: jax.Array) -> jax.Array:
    return _shares(u, _log1mexp(-u))


def _sticks_mean(q: Kumaraswamy) -> jax.Array:
    a, b = same_shape(q.a, q.b)
    # By its logarithm: the fraction itself underflows, and rounds to 1.
    log_fraction = jnp.log(b) + jax.scipy.special.betaln(1 + 1 / a, b)
    log_fraction = jnp.minimum(log_fraction, -jnp.finfo(a.dtype).tiny)
    return _shares(log_fraction, _log1mexp(-log_fraction))


@made_by
def _stick_breaking() -> Latent:
    return Latent(
        sample=_sticks_sample,
        log_prob=_sticks_log_prob,
        value=_sticks_value,
        mean=_sticks_mean,
        wrap=pair_of_arrays(Kumaraswamy),
        form="a pair (a, b) of arrays [B, K - 1]",
        shapes=alike(Kumaraswamy, 2, less=1),
        support="simplex",
        positive=("a", "b"),
        landmarks=corners,
        batched=True,
    )


stick_breaking = _stick_breaking()
