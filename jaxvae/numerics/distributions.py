"""Reparameterised draws and closed-form KL divergences of the Normal and the Dirichlet.

Every draw takes its key first; every divergence is in nats, summed over the last axis.
"""

import functools
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxvae.numerics import checks, dirichlet_density, dirichlet_kl, gamma, random, simplex

TFP_VERSION = "0.26.0.dev20261027"


@functools.cache
def tfp_distributions() -> ModuleType:
    """TFP-on-JAX's distributions, imported at the first use.

    Returns:
      The module.

    Raises:
      ImportError: if the installed TFP does not run on the installed JAX.

    Example:
      >>> tfp_distributions().Dirichlet.__name__
      'Dirichlet'
    """
    try:
        from tensorflow_probability.substrates.jax import distributions as tfd

        tfd.ExpGamma  # noqa: B018  TFP imports itself at the first use of an attribute
        return tfd
    except Exception as error:
        raise ImportError(
            f"jaxvae needs tfp-nightly=={TFP_VERSION} (no stable tensorflow-probability imports on "
            f"JAX {jax.__version__}). Run: pip uninstall -y tensorflow-probability tfp-nightly; "
            f"pip install tfp-nightly=={TFP_VERSION}. TFP's own error: "
            f"{type(error).__name__}: {error}"
        ) from error


def sample_normal(key: jax.Array, loc: jax.Array, scale: jax.Array) -> jax.Array:
    """Draw z = loc + scale * eps with eps ~ Normal(0, 1), differentiable in loc and scale.

    Args:
      key: one typed key.
      loc: means [..., K].
      scale: standard deviations [..., K], normal floats above zero.

    Returns:
      z [..., K]. The same bits as TFP's `Normal(loc, scale).sample(seed=key)`.

    Raises:
      ValueError: if a concrete loc is not finite, or a concrete scale not finite and positive.

    Example:
      >>> z = sample_normal(jax.random.key(0), jnp.zeros((3, 2)), jnp.ones((3, 2)))
      >>> z.shape
      (3, 2)

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes.
    """
    checks.typed_key("key", key)
    loc, scale = checks.floating("loc", loc), checks.floating("scale", scale)
    checks.finite_array("loc", loc)
    checks.finite_array("scale", scale, positive=True)
    shape = checks.common_shape({"loc": loc, "scale": scale})
    eps = random.normal(key, shape, jnp.result_type(loc, scale))
    return jnp.broadcast_to(loc, shape) + jnp.broadcast_to(scale, shape) * eps


def kl_normal(loc: jax.Array, scale: jax.Array, *, prior_variance: float = 1.0) -> jax.Array:
    """KL(Normal(loc, scale^2) || Normal(0, prior_variance)), in nats, summed over K.

    With t = log(scale^2 / prior_variance), each component is
    1/2 (loc^2 / prior_variance + exp(t) - 1 - t).

    Args:
      loc: means [..., K].
      scale: standard deviations [..., K], normal floats above zero.
      prior_variance: the prior's variance, one number above zero.

    Returns:
      The divergence [...], at least zero.

    Raises:
      ValueError: if prior_variance is not finite and positive, or a concrete scale is not.

    Example:
      >>> float(kl_normal(jnp.zeros(2), jnp.ones(2)))
      0.0

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes, appendix B.
    """
    prior_variance = checks.positive_float("prior_variance", prior_variance)
    loc, scale = checks.floating("loc", loc), checks.floating("scale", scale)
    checks.finite_array("loc", loc)
    checks.finite_array("scale", scale, positive=True)
    shape = checks.common_shape({"loc": loc, "scale": scale}, event=True)
    loc, scale = (jnp.broadcast_to(v, shape) for v in (loc, scale))
    return _kl_normal(loc, scale, prior_variance)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _kl_normal(loc: jax.Array, scale: jax.Array, prior_variance: float) -> jax.Array:
    t = 2 * jnp.log(scale) - jnp.log(prior_variance).astype(scale.dtype)
    # expm1 keeps the digits that exp(t) - 1 - t loses near equality.
    spread = jnp.maximum(jnp.expm1(t) - t, 0)
    return 0.5 * jnp.sum(loc**2 / prior_variance + spread, axis=-1)


def log_gamma_grad(concentration: jax.Array, log_x: jax.Array) -> jax.Array:
    """The implicit derivative d log x / d concentration of a draw x ~ Gamma(concentration, 1).

    With F the gamma distribution function and f its density, it is -(dF / d alpha) / (x f(x)), the
    derivative of log x at a fixed quantile. As x -> 0 it tends to
    (digamma(alpha + 1) - log x) / alpha.

    Args:
      concentration: alpha [...], a normal float above zero.
      log_x: log of the draw [...].

    Returns:
      d log x / d alpha [...]: for alpha from 1e-6 to 1e6 within a relative 4e-6 in float32, and
      6e-12 in float64. It has no derivative of its own: asking for one raises.

    Raises:
      ValueError: if a concrete concentration is not finite and positive, or log_x not finite.

    Example:
      >>> round(float(log_gamma_grad(1.0, 0.0)), 4)
      1.1736

    Source: Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients. How it is
    computed: `docs/sampler.md`.
    """
    concentration = checks.floating("concentration", concentration)
    log_x = checks.floating("log_x", log_x)
    checks.finite_array("concentration", concentration, positive=True)
    checks.finite_array("log_x", log_x)
    shape = checks.common_shape({"concentration": concentration, "log_x": log_x})
    dtype = jnp.result_type(concentration, log_x)
    a, y = (jnp.broadcast_to(v, shape).astype(dtype) for v in (concentration, log_x))
    return gamma.log_gamma_grad(a, y)


def sample_log_gamma(
    key: jax.Array, concentration: jax.Array, *, method: str = "fast"
) -> jax.Array:
    """Draw log x with x ~ Gamma(concentration, 1), differentiable in the concentration.

    Args:
      key: one typed key.
      concentration: alpha [...], a normal float above zero. Inside compiled code an element that
        is not (NaN, infinite, 0, below the least normal float) gives NaN for that element alone.
      method: "fast", or "tfp" for TFP's draws, the reference. Both have the derivative
        `log_gamma_grad`.

    Returns:
      log x [...], float32 or float64. Finite even where x itself underflows.

    Raises:
      ValueError: if a concrete concentration is not finite and positive, or for an unknown method.
      NotImplementedError: if a second derivative is asked for.

    Example:
      >>> bool(jnp.isfinite(sample_log_gamma(jax.random.key(0), jnp.array([1e-6, 1.0]))).all())
      True

    Source: Marsaglia and Tsang, 2000, A simple method for generating gamma variables;
    `docs/sampler.md`.
    """
    checks.typed_key("key", key)
    concentration = checks.floating("concentration", concentration)
    checks.finite_array("concentration", concentration, positive=True)
    draw = LOG_GAMMA_METHODS[checks.one_of("method", method, LOG_GAMMA_METHODS)]
    return draw(key, concentration)


@jax.custom_jvp
def _tfp_log_gamma(key: jax.Array, concentration: jax.Array) -> jax.Array:
    # TFP's rejection loop never ends on an infinite or NaN concentration.
    valid = (concentration >= jnp.finfo(concentration.dtype).tiny) & (concentration < jnp.inf)
    safe = jnp.where(valid, concentration, 1)
    # TFP relies on implicit promotion, which a caller may have forbidden.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        rate = jnp.ones((), concentration.dtype)
        draw = tfp_distributions().ExpGamma(safe, rate).sample(seed=key)
    return jnp.where(valid, draw, jnp.nan)


@_tfp_log_gamma.defjvp
def _tfp_log_gamma_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    key, concentration = primals
    log_x = _tfp_log_gamma(key, concentration)
    return log_x, gamma.log_gamma_grad(concentration, log_x) * tangents[1]


# Compiled even where the caller's code is not: no constant of theirs then goes to the device by
# itself, which `jax.transfer_guard` forbids.
LOG_GAMMA_METHODS = {
    "fast": jax.jit(gamma.log_gamma, inline=True),
    "tfp": jax.jit(_tfp_log_gamma, inline=True),
}


DIRICHLET_GRADIENTS = ("beta", "gamma")


def sample_dirichlet(
    key: jax.Array, concentration: jax.Array, *, method: str = "fast", gradient: str = "beta"
) -> jax.Array:
    """Draw z ~ Dirichlet(concentration), differentiable in the concentration.

    z is made of log-gamma draws: independent gammas divided by their sum, without the underflow
    that makes z = 0/0 at small concentrations, and rounded once, near 1 too.

    Args:
      key: one typed key.
      concentration: alpha [..., K], a normal float above zero. Inside compiled code a row with an
        element that is not (NaN, infinite, 0, below the least normal float) becomes NaN, alone.
      method: of `sample_log_gamma`.
      gradient: the estimator of the concentration's gradient. "beta" is the implicit derivative of
        each component's Beta marginal; "gamma" that of the gammas, as TFP and NumPyro have it.
        Both are right in expectation. "beta" is the mean of "gamma" given z and never has more
        variance.

    Returns:
      z [..., K], each row summing to one.

    Raises:
      ValueError: if a concrete concentration is not finite and positive, or has no axis, or for
        an unknown method or gradient.
      NotImplementedError: if a second derivative is asked for.

    Example:
      >>> z = sample_dirichlet(jax.random.key(0), jnp.ones((4, 10)))
      >>> bool(jnp.allclose(z.sum(axis=-1), 1))
      True

    Source: Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients;
    `docs/sampler.md`.
    """
    return _sample_dirichlet(key, concentration, method, gradient)[0]


def sample_log_dirichlet(
    key: jax.Array, concentration: jax.Array, *, method: str = "fast", gradient: str = "beta"
) -> jax.Array:
    """The logarithm of `sample_dirichlet`'s draw, finite where z itself underflows or rounds to 1.

    Args:
      key: one typed key.
      concentration: alpha [..., K], as for `sample_dirichlet`.
      method: of `sample_log_gamma`.
      gradient: of `sample_dirichlet`.

    Returns:
      log z [..., K], what `log_prob_dirichlet` takes.

    Raises:
      ValueError: as `sample_dirichlet`.
      NotImplementedError: if a second derivative is asked for.

    Example:
      >>> log_z = sample_log_dirichlet(jax.random.key(0), jnp.full((4, 10), 1e-6))
      >>> bool(jnp.isfinite(log_z).all()), bool((jnp.exp(log_z) == 0).any())
      (True, True)

    Source: as `sample_dirichlet`.
    """
    return _sample_dirichlet(key, concentration, method, gradient)[1]


def _sample_dirichlet(
    key: jax.Array, concentration: jax.Array, method: str, gradient: str
) -> tuple[jax.Array, jax.Array]:
    """z and log z."""
    checks.one_of("gradient", gradient, DIRICHLET_GRADIENTS)
    concentration = checks.floating("concentration", concentration)
    checks.common_shape({"concentration": concentration}, event=True)
    log_x = sample_log_gamma(key, concentration, method=method)
    if gradient == "beta":
        log_x = simplex.with_beta_gradient(concentration, lax.stop_gradient(log_x))
    return simplex.normalise(log_x)


def log_prob_dirichlet(concentration: jax.Array, log_z: jax.Array) -> jax.Array:
    """The log-density of Dirichlet(concentration) at z, in nats.

    log Gamma(sum alpha) - sum log Gamma(alpha) + sum (alpha - 1) log z. It takes log z, as
    `sample_log_dirichlet` draws it: at small concentrations most of z is zero in floating point,
    and log(z) would be minus infinity.

    On the boundary of the simplex, where log z is minus infinity, a concentration of 1 counts for
    nothing, one above 1 makes the density zero (minus infinity), one below 1 infinite.

    Args:
      concentration: alpha [..., K], a normal float above zero.
      log_z: log of a point on the simplex [..., K], its boundary included.

    Returns:
      The log-density [...], with respect to Lebesgue measure on the first K - 1 components. Inside
      compiled code NaN where a concentration of the row is not allowed, or where a boundary point
      has concentrations on both sides of 1: the density is then zero times infinity.

    Raises:
      ValueError: if a concrete concentration is not finite and positive, or log_z is NaN or plus
        infinity, they have no axis, or the density is zero times infinity.

    Example:
      >>> round(float(log_prob_dirichlet(jnp.full(2, 2.0), jnp.log(jnp.array([0.3, 0.7])))), 4)
      0.2311
      >>> round(float(log_prob_dirichlet(jnp.array([1.0, 8.0]), jnp.log(jnp.array([0.0, 1.0])))), 4)
      2.0794

    Source: the density's definition; that it takes log z, `docs/sampler.md`.
    """
    concentration = checks.floating("concentration", concentration)
    log_z = checks.floating("log_z", log_z)
    checks.finite_array("concentration", concentration, positive=True)
    checks.finite_array("log_z", log_z, minus_infinity=True)
    shape = checks.common_shape({"concentration": concentration, "log_z": log_z}, event=True)
    dtype = jnp.result_type(concentration, log_z)
    a, log_z = (jnp.broadcast_to(v, shape).astype(dtype) for v in (concentration, log_z))
    log_prob = dirichlet_density.log_prob_dirichlet(a, log_z)
    if not checks.is_traced(log_prob):
        a, log_z = jax.device_get((a, log_z))
        edge = np.isneginf(log_z)
        both = (edge & (a < 1)).any(axis=-1) & (edge & (a > 1)).any(axis=-1)
        if both.any():
            row = tuple(np.argwhere(both)[0])
            raise ValueError(
                "log_z must not be minus infinity both where the concentration is below and where "
                f"it is above 1, got {log_z[row]} for the concentration {a[row]}"
            )
    return log_prob


def kl_dirichlet(concentration: jax.Array, prior_concentration: jax.Array) -> jax.Array:
    """KL(Dirichlet(concentration) || Dirichlet(prior_concentration)), in nats.

    With a, b the concentrations and A, B their sums it is
    lgamma(A) - lgamma(B) + sum(lgamma(b) - lgamma(a) + (a - b) (digamma(a) - digamma(A))),
    computed without that formula's cancellation.

    Args:
      concentration: a [..., K], a normal float above zero.
      prior_concentration: b [..., K], likewise; the two broadcast together. Inside compiled code a
        row with an element that is not (NaN, infinite, 0, below that float) becomes NaN.

    Returns:
      The divergence [...], at least zero and exactly zero for equal arguments. In float32, from
      1e-6 to 1e6, within a relative 1e-5 or an absolute 1e-6; its gradient within 1e-4, or 1e-6
      of the largest in its row.

    Raises:
      ValueError: if a concrete concentration is not finite and positive, or has no axis.

    Example:
      >>> round(float(kl_dirichlet(jnp.array([1.0, 2.0]), jnp.ones(2))), 4)
      0.1931

    Source: the closed form is Penny, 2001, KL-divergences of Normal, Gamma, Dirichlet and Wishart
    densities; how it is computed, `docs/sampler.md`.
    """
    a = checks.floating("concentration", concentration)
    b = checks.floating("prior_concentration", prior_concentration)
    checks.finite_array("concentration", a, positive=True)
    checks.finite_array("prior_concentration", b, positive=True)
    shape = checks.common_shape({"concentration": a, "prior_concentration": b}, event=True)
    dtype = jnp.result_type(a, b)
    a, b = (jnp.broadcast_to(v, shape).astype(dtype) for v in (a, b))
    return dirichlet_kl.kl_dirichlet(a, b)
