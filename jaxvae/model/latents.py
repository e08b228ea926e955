"""Latents: families of distributions, each a value of pure functions.

A family draws u, in which its log-density is exact, and shows the decoder `value(u)`: a Dirichlet's
u is log z. Its parameters have names: `Normal(loc, scale)`, `Dirichlet(concentration)`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.model.parameters import Dirichlet, Normal, one_array, pair_of_arrays
from jaxvae.model.values import made_by
from jaxvae.numerics import checks
from jaxvae.numerics.distributions import (
    DIRICHLET_GRADIENTS,
    kl_dirichlet,
    kl_normal,
    log_prob_dirichlet,
    sample_log_dirichlet,
    sample_normal,
)

Landmarks = dict[str, np.ndarray]


def no_landmarks(width: int) -> Landmarks:
    """The landmarks of a family that has none.

    Args:
      width: K.

    Returns:
      Nothing.
    """
    return {}


def itself(u: Any) -> Any:
    """What is given: a function of this module, so that a pickle finds it.

    Args:
      u: anything.

    Returns:
      The same.
    """
    return u


@door("latents")
class Latent(NamedTuple):
    """A family of distributions. `q` and `p` are its named parameters.

    Attributes:
      sample: `sample(key, q) -> u`, for one example, differentiable in q.
      log_prob: `log_prob(q, u [..., K]) -> [...]`, in nats, by a measure of the family's own: a
        posterior and its prior must be of one family. q's leaves may lack leading axes.
      value: `value(u) -> z`, what the decoder sees.
      mean: `mean(q) -> z`, the mean of z, or a point in its middle where that has no formula.
      wrap: `wrap(outputs) -> q`, from what a network returns that names nothing; outputs that do
        not fit come back as they are, and are refused.
      support: "simplex", "real" or "sphere"; reports and pictures choose by it.
      landmarks: `landmarks(K) -> {name: z [K]}`, points worth a picture.
      kl: `kl(q, p) -> [...]` in nats, or None where there is no closed form.
      kl_by_dimension: `kl_by_dimension(q, p) -> [..., K]`, or None where the dimensions are not
        independent.
      shapes: `shapes((..., K)) -> q` as shapes, for z of that shape. None: what a network returns
        is looked at less closely, and z is drawn from the prior for a batch of examples alone.
      form: what a network must return, in words.
      positive: the names of the parameters that must be above zero.
      parts: of a product, its latents by name; else empty.
      normalized: whether log_prob is that of a density.
      batched: whether sample takes leading axes too, and draws each row by itself; where not, a
        prior of this family maps it over the examples.

    Example:
      >>> q = Normal(jnp.zeros(2), jnp.ones(2))
      >>> normal.value(normal.sample(jax.random.key(0), q)).shape, float(normal.kl(q, q))
      ((2,), 0.0)
    """

    sample: Callable[[jax.Array, Any], Any]
    log_prob: Callable[[Any, Any], jax.Array]
    value: Callable[[Any], Any] = itself
    mean: Callable[[Any], Any] = itself
    wrap: Callable[[Any], Any] = itself
    support: str = "real"
    landmarks: Callable[[int], Landmarks] = no_landmarks
    kl: Callable[[Any, Any], jax.Array] | None = None
    kl_by_dimension: Callable[[Any, Any], jax.Array] | None = None
    shapes: Callable[[Any], Any] | None = None
    form: str = "the latent's parameters [B, ...]"
    positive: tuple[str, ...] = ()
    parts: Any = ()
    normalized: bool = True
    batched: bool = False


def alike(kind: Callable[..., Any], count: int = 1, *, less: int = 0) -> Callable[..., Any]:
    """`shapes` of a family whose parameters have the shape of z, or a last axis shorter by `less`.

    Args:
      kind: makes the parameters.
      count: of how many arrays.
      less: what their last axis lacks.

    Returns:
      The function.
    """

    def shapes(shape: tuple[int, ...]) -> Any:
        own = (*shape[:-1], shape[-1] - less)
        return kind(*[jax.ShapeDtypeStruct(own, jnp.float32)] * count)

    return shapes


def same_shape(*arrays: Any) -> tuple[jax.Array, ...]:
    """Arrays broadcast together, by name as it were: nothing is left to implicit promotion.

    Args:
      *arrays: [..., K], some without leading axes.

    Returns:
      The arrays.
    """
    shape = jnp.broadcast_shapes(*(jnp.shape(array) for array in arrays))
    return tuple(jnp.broadcast_to(array, shape) for array in arrays)


# --- the Normal, and the Normal seen through a softmax


def _normal_sample(key: jax.Array, q: Normal) -> jax.Array:
    return sample_normal(key, q.loc, q.scale)


def _normal_log_prob(q: Normal, u: jax.Array) -> jax.Array:
    loc, scale, u = same_shape(q.loc, q.scale, u)
    each = -0.5 * ((u - loc) / scale) ** 2 - jnp.log(scale) - 0.5 * math.log(2 * math.pi)
    return jnp.sum(each, axis=-1)


def _standardized(q: Normal, p: Normal) -> tuple[jax.Array, jax.Array]:
    loc, scale, p_loc, p_scale = same_shape(q.loc, q.scale, p.loc, p.scale)
    return (loc - p_loc) / p_scale, scale / p_scale


def _normal_kl(q: Normal, p: Normal) -> jax.Array:
    return kl_normal(*_standardized(q, p))


def _normal_kl_by_dimension(q: Normal, p: Normal) -> jax.Array:
    return kl_normal(*(part[..., None] for part in _standardized(q, p)))


def _loc(q: Normal) -> jax.Array:
    return q.loc


def softmax(u: jax.Array) -> jax.Array:
    """JAX's, over the last axis: a function of this module, so that a pickle finds it.

    Args:
      u: real numbers [..., K].

    Returns:
      Shares [..., K].
    """
    return jax.nn.softmax(u, axis=-1)


def _softmax_loc(q: Normal) -> jax.Array:
    return softmax(q.loc)


def exp(u: jax.Array) -> jax.Array:
    """JAX's: a function of this module, so that a pickle finds it.

    Args:
      u: any array.

    Returns:
      An array of its shape.
    """
    return jnp.exp(u)


def corners(width: int) -> Landmarks:
    """The corners of the simplex, by their number.

    Args:
      width: K.

    Returns:
      K points [K].
    """
    return {str(k): corner for k, corner in enumerate(np.eye(width, dtype=np.float32))}


@made_by
def _normal() -> Latent:
    return Latent(
        sample=_normal_sample,
        log_prob=_normal_log_prob,
        value=itself,
        mean=_loc,
        wrap=pair_of_arrays(Normal),
        form="a pair (loc, scale) of arrays [B, K]",
        shapes=alike(Normal, 2),
        support="real",
        positive=("scale",),
        kl=_normal_kl,
        kl_by_dimension=_normal_kl_by_dimension,
        batched=True,
    )


@made_by
def _logistic_normal() -> Latent:
    return _normal()._replace(
        value=softmax, mean=_softmax_loc, support="simplex", landmarks=corners
    )


normal = _normal()
logistic_normal = _logistic_normal()


# --- the Dirichlet; u is log z


def _dirichlet_log_prob(q: Dirichlet, log_z: jax.Array) -> jax.Array:
    return log_prob_dirichlet(q.concentration, log_z)


def _dirichlet_mean(q: Dirichlet) -> jax.Array:
    return q.concentration / jnp.sum(q.concentration, axis=-1, keepdims=True)


def _dirichlet_kl(q: Dirichlet, p: Dirichlet) -> jax.Array:
    return kl_dirichlet(q.concentration, p.concentration)


@made_by
def dirichlet_with(gradient: str) -> Latent:
    """The Dirichlet family with one of the estimators of its draw's gradient.

    Args:
      gradient: of `jaxvae.sample_dirichlet`: "beta", which `dirichlet` has, or "gamma".

    Returns:
      The latent.

    Raises:
      ValueError: if the gradient is neither.

    Example:
      >>> dirichlet_with("beta") == dirichlet
      True

    Source: Figurnov, Mohamed and Mnih, 2018, Implicit reparameterization gradients.
    """
    checks.one_of("gradient", gradient, DIRICHLET_GRADIENTS)

    def sample(key: jax.Array, q: Dirichlet) -> jax.Array:
        return sample_log_dirichlet(key, q.concentration, gradient=gradient)

    return Latent(
        sample=sample,
        log_prob=_dirichlet_log_prob,
        value=exp,
        mean=_dirichlet_mean,
        wrap=one_array(Dirichlet),
        form="a concentration [B, K]",
        shapes=alike(Dirichlet),
        support="simplex",
        positive=("concentration",),
        landmarks=corners,
        kl=_dirichlet_kl,
        batched=True,
    )


dirichlet = dirichlet_with("beta")


# --- several latents side by side


@made_by
def product(**latents: Latent) -> Latent:
    """Several latents side by side, independent given x: `product(category=dirichlet, ...)`.

    Parameters, u and z are dicts by part; a network returns a dict of the parts' outputs.

    Args:
      **latents: the parts by name, at least two.

    Returns:
      The latent.

    Raises:
      ValueError, TypeError: if there are fewer than two parts, or one is no simple latent.

    Example:
      >>> both = product(category=dirichlet, style=normal)
      >>> q = {"category": Dirichlet(jnp.ones(3)), "style": Normal(jnp.zeros(2), jnp.ones(2))}
      >>> z = both.value(both.sample(jax.random.key(0), q))
      >>> z["category"].shape, z["style"].shape
      ((3,), (2,))
    """
    if len(latents) < 2:
        raise ValueError(f"latents must be at least two by name, got {list(latents)}")
    for name, latent in latents.items():
        checks.instance(name, latent, Latent, "a jaxvae.latents.Latent")
        if latent.parts:
            raise ValueError(f"{name} must be a single latent, got a product")

    def each(field: str) -> Callable[..., Any]:
        def apply(*values: Any) -> dict[str, Any]:
            functions = {name: getattr(latent, field) for name, latent in latents.items()}
            return {name: f(*(value[name] for value in values)) for name, f in functions.items()}

        return apply

    def sample(key: jax.Array, q: Any) -> dict[str, Any]:
        keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(latents)}
        return {name: latent.sample(keys[name], q[name]) for name, latent in latents.items()}

    def wrap(outputs: Any) -> Any:
        if not isinstance(outputs, Mapping) or set(outputs) != set(latents):
            return outputs
        return {name: latent.wrap(outputs[name]) for name, latent in latents.items()}

    return Latent(
        sample=sample,
        log_prob=each("log_prob"),
        value=each("value"),
        mean=each("mean"),
        wrap=wrap,
        form=f"a dict of {', '.join(f'{n}: {v.form}' for n, v in latents.items())}",
        shapes=each("shapes"),
        support="product",
        parts=tuple(latents.items()),
        batched=all(latent.batched for latent in latents.values()),
    )


def parts_of(latent: Latent) -> dict[str, Latent]:
    """The latents of a model by name.

    Args:
      latent: one of them, or a product.

    Returns:
      Those of a product; else the one under the name "z".

    Example:
      >>> list(parts_of(normal)), list(parts_of(product(a=normal, b=dirichlet)))
      (['z'], ['a', 'b'])
    """
    return dict(latent.parts) or {"z": latent}
