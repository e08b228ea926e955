"""From the user's units to the model's and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._door import door
from jaxvae.data import looks
from jaxvae.data.batches import Batch, floating
from jaxvae.data.dataset import Dataset
from jaxvae.data.fields import finite, x_arrays
from jaxvae.model.values import made_by
from jaxvae.numerics import checks

LARGEST = float(np.finfo(np.float32).max)
LARGEST_ARCSINH = 80.0  # sinh of more is no float32


@door("transforms")
class Transform(NamedTuple):
    """What makes model units of data as they come, and turns them back.

    Attributes:
      forward: `forward(x)`, from the user's units to the model's.
      inverse: `inverse(x)`, back.
      log_jacobian: `log_jacobian(x) -> scalar` for one example, of `forward` at x: what is added to
        a log-density in model units for one in the user's. None where there is no such number.

    Example:
      >>> scaled = divided_by(255)
      >>> scaled.forward(jnp.array([255.0])).tolist(), scaled.inverse(jnp.array([1.0])).tolist()
      ([1.0], [255.0])
    """

    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    log_jacobian: Callable[[Any], jax.Array] | None = None


def _size(x: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(x))


@made_by
def identity() -> Transform:
    """Data that are in model units already.

    Returns:
      The transform.

    Example:
      >>> identity().forward(jnp.ones(2)).tolist()
      [1.0, 1.0]
    """
    return Transform(lambda x: x, lambda x: x, lambda x: jnp.float32(0))


@made_by
def divided_by(number: Any) -> Transform:
    """x / number: bytes by 255 lie in [0, 1].

    Args:
      number: above zero.

    Returns:
      The transform.

    Raises:
      ValueError, TypeError: if the number is not finite and positive.

    Example:
      >>> divided_by(4).forward(jnp.array([2.0])).tolist()
      [0.5]
    """
    number = checks.positive_float("number", number)
    return Transform(
        lambda x: jax.tree.map(lambda leaf: leaf / number, x),
        lambda x: jax.tree.map(lambda leaf: leaf * number, x),
        lambda x: jnp.float32(-_size(x) * np.log(number)),
    )


@made_by
def standardized(mean: Any, scale: Any) -> Transform:
    """(x - mean) / scale, by numbers or by arrays of an example's shape.

    Args:
      mean: what is taken away.
      scale: what is divided by, above zero.

    Returns:
      The transform.

    Raises:
      ValueError, TypeError: if one is not finite, or the scale not above zero.

    Example:
      >>> standardized(1.0, 2.0).forward(jnp.array([5.0])).tolist()
      [2.0]
    """
    mean, scale = _pair("mean", mean, "scale", scale)

    def forward(x: Any) -> Any:
        return (x - jnp.broadcast_to(mean, x.shape)) / jnp.broadcast_to(scale, x.shape)

    def inverse(x: Any) -> Any:
        return x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(mean, x.shape)

    def log_jacobian(x: Any) -> jax.Array:
        return -jnp.sum(jnp.log(jnp.broadcast_to(scale, x.shape)))

    return Transform(forward, inverse, log_jacobian)


@made_by
def arcsinh(centre: Any = 0.0, width: Any = 1.0) -> Transform:
    """arcsinh((x - centre) / width): linear near the centre, logarithmic far from it.

    It tames heavy tails of any sign. The mean of x given z is then one in the model's units, whose
    inverse is nearer to the median of x.

    Args:
      centre: what is taken away, a number or an array that broadcasts to an example.
      width: what is divided by, above zero.

    Returns:
      The transform.

    Raises:
      ValueError, TypeError: if one is not finite, or the width not above zero.

    Example:
      >>> made = arcsinh(0.0, 2.0)
      >>> round(float(made.inverse(made.forward(jnp.array([3000.0])))[0]), 2)
      3000.0
    """
    centre, width = _pair("centre", centre, "width", width)
    linear = standardized(centre, width)

    def widths(x: Any) -> Any:  # a narrow one makes infinity of a large number
        return jnp.clip(linear.forward(x), -LARGEST, LARGEST)

    def forward(x: Any) -> Any:
        return jnp.arcsinh(widths(x))

    def inverse(x: Any) -> Any:
        far = jnp.sinh(jnp.clip(x, -LARGEST_ARCSINH, LARGEST_ARCSINH))
        return jnp.clip(linear.inverse(far), -LARGEST, LARGEST)

    def log_jacobian(x: Any) -> jax.Array:
        # d arcsinh(s) / ds = 1 / sqrt(1 + s^2), without the overflow of s^2.
        slope = -jnp.log(jnp.hypot(1.0, widths(x)))
        return jnp.sum(slope) + linear.log_jacobian(x)  # type: ignore[misc]

    return Transform(forward, inverse, log_jacobian)


def fitted(x: Any, *, images: bool = False) -> Transform:
    """The transform that suits numbers as they look, as `jaxvae train` chooses it.

    Args:
      x: examples [N, ...] to train on, an array or a CSR; or a `jaxvae.Dataset`, of which it is
        known already, missing values left out.
      images: whether an example is an image: then all of its values are scaled alike.

    Returns:
      `identity` for numbers from 0 to 1 and for counts; `divided_by` for bytes, and for numbers of
      one scale from 0 on; else `standardized` by column, or `arcsinh` where tails are heavy.

    Raises:
      ValueError, TypeError: if x is no array of finite numbers.

    Example:
      >>> fitted(np.array([[0, 255], [128, 7]], np.uint8), images=True).forward(255.0)
      1.0
    """
    if isinstance(x, Dataset):
        return of_scale(x.look.scale)
    own = finite("x", x_arrays("x", x))
    return of_scale(looks.look(own, images=images).scale)


def of_scale(scale: looks.Scale) -> Transform:
    """The transform of a scale that was found.

    Args:
      scale: of `data.looks.look`.

    Returns:
      The transform.

    Example:
      >>> of_scale(looks.Scale(width=4.0)).forward(2.0)
      0.5
    """
    if scale.curve == "arcsinh":
        return arcsinh(scale.centre, scale.width)
    if np.ndim(scale.width) or scale.centre != 0:
        return standardized(scale.centre, scale.width)
    return identity() if scale.width == 1 else divided_by(scale.width)


def _pair(name: str, value: Any, positive: str, above_zero: Any) -> tuple[np.ndarray, np.ndarray]:
    pair = [checks.real_array(n, v).astype(np.float32)
            for n, v in ((name, value), (positive, above_zero))]  # fmt: skip
    checks.finite_array(name, pair[0])
    checks.finite_array(positive, pair[1], positive=True)
    return pair[0], pair[1]


def in_units(transform: Transform, batch: Batch) -> Batch:
    """A batch in the model's units.

    Args:
      transform: of the model.
      batch: in the user's; its x may be of integers or bools, or None.

    Returns:
      The batch, x of floats; where a value was not seen it is 0, whatever lay there.

    Raises:
      ValueError: if the transform does not take x.
    """
    if batch.x is None:
        return batch
    x = jax.tree.map(floating, batch.x)
    try:
        x = transform.forward(x)
    except jax.errors.JAXTypeError:  # of a number that is not known yet: `values_as_numbers`
        raise
    except (TypeError, ValueError) as error:
        shapes = str([jnp.shape(leaf) for leaf in jax.tree.leaves(x)])[1:-1]
        raise ValueError(f"transform must take x of the shape {shapes}: {error}") from error
    if batch.mask is not None:
        x = jax.tree.map(lambda leaf, seen: jnp.where(seen, leaf, 0), x, batch.mask)
    return batch._replace(x=x)
