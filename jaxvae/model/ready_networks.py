"""Ready-made dense networks.

A condition of the batch is laid beside x for the encoder and beside z for the decoder.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch
from jaxvae.model.flax_network import half
from jaxvae.model.modules import (
    ACTIVATIONS,
    CONCENTRATION_HEADS,
    MLP,
    Activation,
    Decoder,
    DirichletEncoder,
    Encoder,
    Module,
    NormalEncoder,
)
from jaxvae.model.networks import Network, concatenated, of_halves
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


@made_by
def dense_normal_network(
    data_dim: int | Sequence[int],
    latent_dim: int,
    *,
    layers: int = 4,
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    dtype: Any = None,
) -> Network:
    """The dense network of a VAE with a Normal latent.

    Encoder and decoder have `layers` dense layers each (Glorot-uniform kernels, zero biases)
    and linear heads; the posterior's scale is exp of its head.

    Args:
      data_dim: D, at least 1; or the shape of an example of more axes, which is flattened inside.
      latent_dim: K, at least 1.
      layers: hidden layers of the encoder, and of the decoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      dtype: of the hidden layers' products, as jnp.bfloat16; float32 where None. Parameters, heads
        and losses stay float32.

    Returns:
      A network whose `encode` gives `(loc, scale)`.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = dense_normal_network(64, 2, layers=2, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> loc, scale = network.encode(params, jnp.zeros((5, 64)))
      >>> loc.shape, network.decode(params, loc).shape
      ((5, 2), (5, 64))

    Source: Kingma and Welling, 2014, Auto-encoding variational Bayes, appendix C; the depth and the
    width are the 2020 TensorFlow script's.
    """
    trunk = _trunk(layers, hidden_units, activation, dtype)
    latent_dim = checks.axis_length("latent_dim", latent_dim)
    return _dense(NormalEncoder(latent_dim, trunk()), data_dim, trunk(), (latent_dim,))


@made_by
def dense_dirichlet_network(
    data_dim: int | Sequence[int],
    latent_dim: int,
    *,
    layers: int = 4,
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    head: str = "softplus",
    concentration_floor: float = 0.1,
    dtype: Any = None,
) -> Network:
    """The dense network of a VAE with a Dirichlet latent.

    As `dense_normal_network`, with one head: concentration = head(linear) + floor.

    Args:
      data_dim: D, at least 1; or the shape of an example of more axes, which is flattened inside.
      latent_dim: K, the number of categories, at least 2.
      layers: hidden layers of the encoder, and of the decoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      head: "softplus", or "relu" as the original has it (on half of all seeds one of its
        categories starts dead and the run is lost).
      concentration_floor: what is added to the head, above zero.
      dtype: of the hidden layers' products, as for `dense_normal_network`.

    Returns:
      A network whose `encode` gives the concentration itself (not its logits).

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = dense_dirichlet_network(64, 10, layers=2, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> network.encode(params, jnp.zeros((5, 64))).shape
      (5, 10)

    Source: the 2020 TensorFlow script, but for the head: `docs/dead_categories.md`.
    """
    trunk = _trunk(layers, hidden_units, activation, dtype)
    encoder = dirichlet_encoder(latent_dim, trunk(), head, concentration_floor)
    return _dense(encoder, data_dim, trunk(), (encoder.latent_dim,))


@made_by
def dense_network(
    data_dim: int | Sequence[int],
    head: Any,
    *,
    layers: int = 4,
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    dtype: Any = None,
) -> Network:
    """A dense network for any latent, by a head of your choice; for a product, by one a part.

    Args:
      data_dim: D, at least 1; or the shape of an example of more axes, which is flattened inside.
      head: a Flax module from the trunk's output [B, H] to the posterior's parameters, as
        `LogitsHead(10)`; or a mapping of such by the names of a product's parts. The decoder takes
        the parts of z side by side, in the mapping's order.
      layers: hidden layers of the encoder, and of the decoder, at least 1.
      hidden_units: width of a hidden layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      dtype: of the hidden layers' products, as for `dense_normal_network`.

    Returns:
      The network.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae.networks import DirichletHead, NormalHead
      >>> heads = {"category": DirichletHead(10), "style": NormalHead(2)}
      >>> network = dense_network(64, heads, layers=1, hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 64)))
      >>> sorted(network.encode(params, jnp.zeros((5, 64))))
      ['category', 'style']
    """
    trunk = _trunk(layers, hidden_units, activation, dtype)
    encoder = Encoder(heads_of(head), trunk())
    return _dense(encoder, data_dim, trunk(), latent_shape_of(head), parts_of(head))


def _dense(
    encoder: Module,
    data_dim: Any,
    trunk: MLP,
    latent_shape: Any,
    parts: tuple[str, ...] = (),
) -> Network:
    shape = shape_of("data_dim", data_dim)

    def restored(decoded: jax.Array) -> jax.Array:
        return decoded.reshape(-1, *shape) if len(shape) > 1 else decoded

    return of_halves(
        half("encoder", encoder, beside),
        half("decoder", Decoder(math.prod(shape), trunk), beside_parts(parts), restored),
        latent_shape,
    )


def beside(value: Any, batch: Batch) -> jax.Array:
    """x or z, and beside it the condition if there is one, as one array.

    Args:
      value: x or z, arrays [B, ...].
      batch: with the condition.

    Returns:
      [B, D].
    """
    rows = jax.tree.leaves(value)[0].shape[0]
    flat = concatenated(value, rows)
    if batch.condition is None:
        return flat
    return jnp.concatenate([flat, concatenated(batch.condition, rows)], axis=1)


def beside_parts(parts: tuple[str, ...]) -> Callable[[Any, Batch], jax.Array]:
    """`beside`, the parts of z in the order in which they were declared; JAX sorts a dict.

    Args:
      parts: their names, or none.

    Returns:
      `join(z, batch)`.
    """
    return lambda z, batch: beside([z[name] for name in parts] if parts else z, batch)


def latent_shape_of(head: Any) -> Any:
    """The shape of z, of a product by part, where the heads say how wide they make it.

    Args:
      head: a Flax module or a mapping of such.

    Returns:
      As `Network.latent_shape` has it.
    """
    if isinstance(head, Mapping):
        each = tuple((name, latent_shape_of(one)) for name, one in head.items())
        return None if any(shape is None for _, shape in each) else each
    width = getattr(head, "latent_dim", None)
    return None if width is None else (width,)


def parts_of(head: Any) -> tuple[str, ...]:
    """The names of a product's parts, in their order.

    Args:
      head: a Flax module or a mapping of such.

    Returns:
      The names; none for a single latent.
    """
    return tuple(head) if isinstance(head, Mapping) else ()


def dirichlet_encoder(
    latent_dim: int, trunk: Module, head: str, concentration_floor: float
) -> DirichletEncoder:
    """The encoder of a Dirichlet latent, its options checked.

    Args:
      latent_dim: K, the number of categories.
      trunk: the module below the head.
      head: of `CONCENTRATION_HEADS`.
      concentration_floor: what is added to it.

    Returns:
      The module.
    """
    return DirichletEncoder(
        checks.axis_length("latent_dim", latent_dim, minimum=2),
        trunk,
        CONCENTRATION_HEADS[checks.one_of("head", head, CONCENTRATION_HEADS)],
        checks.positive_float("concentration_floor", concentration_floor),
    )


def heads_of(head: Any) -> Any:
    """A head, or a head for each part, checked.

    Args:
      head: a Flax module or a mapping of such.

    Returns:
      The same.
    """
    named = dict(head) if isinstance(head, Mapping) else {"head": head}
    for name, module in named.items():
        checks.instance(name, module, Module, "a Flax module")
    return head


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """The shape that a size or a shape means.

    Args:
      name: of the argument.
      value: an integer or a shape.

    Returns:
      The shape.
    """
    if isinstance(value, tuple | list):
        if not value:
            raise ValueError(f"{name} must be an integer or a shape, got {value!r}")
        return tuple(checks.axis_length(f"{name}[{i}]", size) for i, size in enumerate(value))
    return (checks.axis_length(name, value),)


def activation_of(activation: str | Activation) -> Activation:
    """The function that an activation is or names.

    Args:
      activation: a function, or a name of `ACTIVATIONS`.

    Returns:
      The function.
    """
    if isinstance(activation, str):
        return ACTIVATIONS[checks.one_of("activation", activation, ACTIVATIONS)]
    return checks.function("activation", activation)


def _trunk(
    layers: int, hidden_units: int, activation: str | Activation, dtype: Any
) -> Callable[[], MLP]:
    layers = checks.axis_length("layers", layers)
    hidden_units = checks.axis_length("hidden_units", hidden_units)
    function = activation_of(activation)
    dtype = checks.floating_dtype("dtype", dtype)
    return lambda: MLP(layers, hidden_units, function, dtype)
