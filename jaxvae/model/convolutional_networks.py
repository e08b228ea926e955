"""Ready-made convolutional networks, for images of any size.

A condition of the batch is laid beside the image as channels of one value each, and beside z.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae.data.batches import Batch
from jaxvae.model.flax_network import half
from jaxvae.model.modules import (
    Activation,
    ConvolutionalDecoder,
    ConvolutionalTrunk,
    Encoder,
    Module,
    NormalEncoder,
)
from jaxvae.model.networks import Network, concatenated, of_halves
from jaxvae.model.ready_networks import (
    activation_of,
    beside_parts,
    dirichlet_encoder,
    heads_of,
    latent_shape_of,
    parts_of,
    shape_of,
)
from jaxvae.model.values import made_by
from jaxvae.numerics import checks


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
    return _convolutional(NormalEncoder(latent_dim, trunk), decoder, image_shape, (latent_dim,))


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
    encoder = dirichlet_encoder(latent_dim, trunk, head, concentration_floor)
    return _convolutional(encoder, decoder, image_shape, (encoder.latent_dim,))


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
    encoder = Encoder(heads_of(head), trunk)
    return _convolutional(encoder, decoder, image_shape, latent_shape_of(head), parts_of(head))


def _convolutional(
    encoder: Module,
    decoder: Module,
    image_shape: Sequence[int],
    latent_shape: Any,
    parts: tuple[str, ...] = (),
) -> Network:
    grey = len(image_shape) == 2

    def restored(decoded: jax.Array) -> jax.Array:
        return decoded[..., 0] if grey else decoded

    def image(x: Any, batch: Batch) -> jax.Array:
        """The image, the condition's values as channels of one value each."""
        if jnp.shape(x)[1:] != tuple(image_shape):
            raise ValueError(
                f"x must be images [B, {', '.join(map(str, image_shape))}], as image_shape says, "
                f"got the shape {jnp.shape(x)}"
            )
        x = concatenated(x, x.shape[0]).reshape(x.shape)
        x = x[..., None] if grey else x
        if batch.condition is None:
            return x
        values = concatenated(batch.condition, x.shape[0])[:, None, None]
        return jnp.concatenate([x, jnp.broadcast_to(values, (*x.shape[:3], values.shape[-1]))], -1)

    return of_halves(
        half("encoder", encoder, image),
        half("decoder", decoder, beside_parts(parts), restored),
        latent_shape,
    )


def _convolutions(
    image_shape: Sequence[int],
    channels: Sequence[int],
    hidden_units: int,
    activation: str | Activation,
    dtype: Any,
) -> tuple[ConvolutionalTrunk, ConvolutionalDecoder]:
    shape = shape_of("image_shape", image_shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"image_shape must be (H, W) or (H, W, C), got {image_shape}")
    widths = shape_of("channels", channels)
    hidden_units = checks.axis_length("hidden_units", hidden_units)
    function = activation_of(activation)
    dtype = checks.floating_dtype("dtype", dtype)
    height, width = shape[:2]
    last = shape[2] if len(shape) == 3 else 1
    return (
        ConvolutionalTrunk(widths, hidden_units, function, dtype),
        ConvolutionalDecoder((height, width, last), widths, hidden_units, function, dtype),
    )
