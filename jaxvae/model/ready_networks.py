"""Ready-made networks: dense ones, and convolutional ones for images.

A condition of the batch is laid beside x for the encoder and beside z for the decoder.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch
from jaxvae.model.flax_network import half
from jaxvae.model.modules import (
    ACTIVATIONS,
    CONCENTRATION_HEADS,
    MLP,
    Activation,
    ConvolutionalDecoder,
    ConvolutionalTrunk,
    Decoder,
    DirichletEncoder,
    Encoder,
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
    return _dense(NormalEncoder(latent_dim, trunk()), data_dim, trunk(), latent_dim)


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
    encoder = _dirichlet_encoder(latent_dim, trunk(), head, concentration_floor)
    return _dense(encoder, data_dim, trunk(), encoder.latent_dim)


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
    encoder = Encoder(_heads(head), trunk())
    return _dense(encoder, data_dim, trunk(), None, _parts(head))


@made_by
def convolutional_normal_network(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    channels: Sequence[int] = (32, 64),
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    dtype: Any = None,
) -> Network:
    """A convolutional network of a VAE with a Normal latent, for images of any size.

    Convolutions of 3 x 3 halve the image, a dense layer and the heads follow; the decoder goes the
    same way back.

    Args:
      image_shape: (H, W) or (H, W, C).
      latent_dim: K, at least 1.
      channels: of each convolution, from the image on.
      hidden_units: width of the dense layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      dtype: of the products, as for `dense_normal_network`.

    Returns:
      A network for x [B, H, W] or [B, H, W, C].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = convolutional_normal_network((28, 28, 1), 2, channels=(4, 8), hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
      >>> network.decode(params, jnp.zeros((5, 2))).shape
      (5, 28, 28, 1)

    Source: Radford, Metz and Chintala, 2016, Unsupervised representation learning with deep
    convolutional generative adversarial networks, for the convolutions of stride 2.
    """
    latent_dim = checks.axis_length("latent_dim", latent_dim)
    trunk, decoder = _convolutions(image_shape, channels, hidden_units, activation, dtype)
    return _convolutional(NormalEncoder(latent_dim, trunk), decoder, image_shape, latent_dim)


@made_by
def convolutional_dirichlet_network(
    image_shape: Sequence[int],
    latent_dim: int,
    *,
    channels: Sequence[int] = (32, 64),
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    head: str = "softplus",
    concentration_floor: float = 0.1,
    dtype: Any = None,
) -> Network:
    """A convolutional network of a VAE with a Dirichlet latent, for images of any size.

    Args:
      image_shape: (H, W) or (H, W, C).
      latent_dim: K, the number of categories, at least 2.
      channels: of each convolution, from the image on.
      hidden_units: width of the dense layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      head: as for `dense_dirichlet_network`.
      concentration_floor: what is added to the head, above zero.
      dtype: of the products, as for `dense_normal_network`.

    Returns:
      A network for x [B, H, W] or [B, H, W, C].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> network = convolutional_dirichlet_network((8, 8), 10, channels=(4,), hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8)))
      >>> network.encode(params, jnp.zeros((5, 8, 8))).shape
      (5, 10)

    Source: as `convolutional_normal_network`.
    """
    trunk, decoder = _convolutions(image_shape, channels, hidden_units, activation, dtype)
    encoder = _dirichlet_encoder(latent_dim, trunk, head, concentration_floor)
    return _convolutional(encoder, decoder, image_shape, encoder.latent_dim)


@made_by
def convolutional_network(
    image_shape: Sequence[int],
    head: Any,
    *,
    channels: Sequence[int] = (32, 64),
    hidden_units: int = 128,
    activation: str | Activation = "relu",
    dtype: Any = None,
) -> Network:
    """A convolutional network for any latent, by a head of your choice.

    Args:
      image_shape: (H, W) or (H, W, C).
      head: as for `dense_network`.
      channels: of each convolution, from the image on.
      hidden_units: width of the dense layer, at least 1.
      activation: a name from `ACTIVATIONS`, or a function of an array.
      dtype: of the products, as for `dense_normal_network`.

    Returns:
      A network for x [B, H, W] or [B, H, W, C].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> from jaxvae.networks import LogitsHead
      >>> network = convolutional_network((8, 8), LogitsHead(3), channels=(4,), hidden_units=16)
      >>> params = network.init(jax.random.key(0), jnp.zeros((1, 8, 8)))
      >>> network.encode(params, jnp.zeros((5, 8, 8))).logits.shape
      (5, 3)
    """
    trunk, decoder = _convolutions(image_shape, channels, hidden_units, activation, dtype)
    encoder = Encoder(_heads(head), trunk)
    return _convolutional(encoder, decoder, image_shape, None, _parts(head))


def _dense(
    encoder: nn.Module,
    data_dim: Any,
    trunk: MLP,
    latent_dim: int | None,
    parts: tuple[str, ...] = (),
) -> Network:
    shape = _shape_of("data_dim", data_dim)

    def restored(decoded: jax.Array) -> jax.Array:
        return decoded.reshape(-1, *shape) if len(shape) > 1 else decoded

    return of_halves(
        half("encoder", encoder, _beside),
        half("decoder", Decoder(math.prod(shape), trunk), _beside_parts(parts), restored),
        None if latent_dim is None else (latent_dim,),
    )


def _convolutional(
    encoder: nn.Module,
    decoder: nn.Module,
    image_shape: Sequence[int],
    latent_dim: int | None,
    parts: tuple[str, ...] = (),
) -> Network:
    grey = len(image_shape) == 2

    def restored(decoded: jax.Array) -> jax.Array:
        return decoded[..., 0] if grey else decoded

    def image(x: Any, batch: Batch) -> jax.Array:
        """The image, the condition's values as channels of one value each."""
        x = concatenated(x, x.shape[0]).reshape(x.shape)
        x = x[..., None] if grey else x
        if batch.condition is None:
            return x
        values = concatenated(batch.condition, x.shape[0])[:, None, None]
        return jnp.concatenate([x, jnp.broadcast_to(values, (*x.shape[:3], values.shape[-1]))], -1)

    return of_halves(
        half("encoder", encoder, image),
        half("decoder", decoder, _beside_parts(parts), restored),
        None if latent_dim is None else (latent_dim,),
    )


def _beside(value: Any, batch: Batch) -> jax.Array:
    """x or z, and beside it the condition if there is one, as one array [B, ...]."""
    rows = jax.tree.leaves(value)[0].shape[0]
    flat = concatenated(value, rows)
    if batch.condition is None:
        return flat
    return jnp.concatenate([flat, concatenated(batch.condition, rows)], axis=1)


def _beside_parts(parts: tuple[str, ...]) -> Callable[[Any, Batch], jax.Array]:
    """`_beside`, the parts of z in the order in which they were declared; JAX sorts a dict."""
    return lambda z, batch: _beside([z[name] for name in parts] if parts else z, batch)


def _parts(head: Any) -> tuple[str, ...]:
    return tuple(head) if isinstance(head, Mapping) else ()


def _dirichlet_encoder(
    latent_dim: int, trunk: nn.Module, head: str, concentration_floor: float
) -> DirichletEncoder:
    return DirichletEncoder(
        checks.axis_length("latent_dim", latent_dim, minimum=2),
        trunk,
        CONCENTRATION_HEADS[checks.one_of("head", head, CONCENTRATION_HEADS)],
        checks.positive_float("concentration_floor", concentration_floor),
    )


def _heads(head: Any) -> Any:
    named = dict(head) if isinstance(head, Mapping) else {"head": head}
    for name, module in named.items():
        checks.instance(name, module, nn.Module, "a Flax module")
    return head


def _shape_of(name: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple | list):
        if not value:
            raise ValueError(f"{name} must be an integer or a shape, got {value!r}")
        return tuple(checks.axis_length(f"{name}[{i}]", size) for i, size in enumerate(value))
    return (checks.axis_length(name, value),)


def _activation(activation: str | Activation) -> Activation:
    if isinstance(activation, str):
        return ACTIVATIONS[checks.one_of("activation", activation, ACTIVATIONS)]
    return checks.function("activation", activation)


def _trunk(
    layers: int, hidden_units: int, activation: str | Activation, dtype: Any
) -> Callable[[], MLP]:
    layers = checks.axis_length("layers", layers)
    hidden_units = checks.axis_length("hidden_units", hidden_units)
    function = _activation(activation)
    return lambda: MLP(layers, hidden_units, function, dtype)


def _convolutions(
    image_shape: Sequence[int],
    channels: Sequence[int],
    hidden_units: int,
    activation: str | Activation,
    dtype: Any,
) -> tuple[ConvolutionalTrunk, ConvolutionalDecoder]:
    shape = _shape_of("image_shape", image_shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"image_shape must be (H, W) or (H, W, C), got {image_shape}")
    widths = _shape_of("channels", channels)
    hidden_units = checks.axis_length("hidden_units", hidden_units)
    function = _activation(activation)
    height, width = shape[:2]
    last = shape[2] if len(shape) == 3 else 1
    return (
        ConvolutionalTrunk(widths, hidden_units, function, dtype),
        ConvolutionalDecoder((height, width, last), widths, hidden_units, function, dtype),
    )
