"""The Flax modules of the ready-made networks: trunks, heads, encoders, decoders."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae._door import door
from jaxvae.model.parameters import Dirichlet, Kumaraswamy, Logits, Normal
from jaxvae.numerics.elementary import kept
from jaxvae.numerics.softplus import softplus

Activation = Callable[[jax.Array], jax.Array]
Module = nn.Module

ACTIVATIONS: dict[str, Activation] = {
    "elu": nn.elu,
    "gelu": nn.gelu,
    "leaky_relu": nn.leaky_relu,
    "relu": nn.relu,
    "selu": nn.selu,
    "sigmoid": nn.sigmoid,
    "silu": nn.silu,
    "softplus": softplus,
    "tanh": nn.tanh,
}

# What makes a concentration of an unbounded number. A ReLU's slope is exactly zero below zero:
# a category that starts there never comes back. Softplus has a slope everywhere.
CONCENTRATION_HEADS: dict[str, Activation] = {"softplus": softplus, "relu": nn.relu}


def dense(features: int, name: str, dtype: Any = None) -> nn.Dense:
    """A dense layer with a Glorot-uniform kernel and a zero bias, as the original's.

    Args:
      features: its width.
      name: of its parameters.
      dtype: of its product.

    Returns:
      The module.
    """
    return nn.Dense(features, dtype=dtype, kernel_init=nn.initializers.glorot_uniform(), name=name)


def wide(h: jax.Array) -> jax.Array:
    """Half precision ends before the heads: densities and divergences take float32 or wider.

    Args:
      h: of any floating type.

    Returns:
      The same in float32 or wider.
    """
    return h.astype(jnp.float32) if h.dtype.itemsize < 4 else h


@door("networks")
class MLP(nn.Module):
    """Dense layers, each followed by the activation: Glorot-uniform kernels, zero biases.

    Attributes:
      layers: how many.
      hidden_units: width of each.
      activation: a function of an array.
      dtype: of the products, as bfloat16; the parameters' own where None.

    Example:
      >>> trunk = MLP(layers=1, hidden_units=16, activation=nn.relu)
      >>> trunk.init_with_output(jax.random.key(0), jnp.ones((5, 64)))[0].shape
      (5, 16)
    """

    layers: int
    hidden_units: int
    activation: Activation
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i in range(self.layers):
            x = self.activation(dense(self.hidden_units, f"hidden_{i}", self.dtype)(x))
        return x


class NormedDense(nn.Module):
    """z [B, K] -> scale * norm(z @ kernel) [B, D], the norm over the batch.

    The mean and the variance of z @ kernel follow from the mean and the covariance of z, so that
    nothing of the size B x D is normed: where K is far below D, this is a batch norm for the
    price of a linear layer.

    Attributes:
      features: D.
      scale: where the scale starts, an initializer.
      momentum: of the running mean and covariance.
      epsilon: added to the variance.

    Source: Ioffe and Szegedy, 2015, Batch normalization.
    """

    features: int
    scale: Any = nn.initializers.ones
    momentum: float = 0.9
    epsilon: float = 1e-3

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        width = z.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,))
        covariance = self.variable("batch_stats", "covariance", jnp.eye, width)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), (width, self.features))
        variance = jnp.sum(kernel * (covariance.value @ kernel), axis=0)
        scale = self.param("scale", self.scale, (self.features,))
        kernel = kernel * (scale * jax.lax.rsqrt(jnp.maximum(variance, 0) + self.epsilon))[None]
        return (z - mean.value[None]) @ kernel


@door("networks")
class NormalEncoder(nn.Module):
    """x [B, D] -> (loc, scale), each [B, K]; scale = exp of a linear head.

    Attributes:
      latent_dim: K, the width of either.
      trunk: the module below the two heads.

    Example:
      >>> encoder = NormalEncoder(2, MLP(1, 16, nn.relu))
      >>> (loc, scale), _ = encoder.init_with_output(jax.random.key(0), jnp.ones((5, 64)))
      >>> loc.shape, scale.shape
      ((5, 2), (5, 2))
    """

    latent_dim: int
    trunk: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = wide(self.trunk(x))
        return dense(self.latent_dim, "loc")(h), jnp.exp(dense(self.latent_dim, "log_scale")(h))


@door("networks")
class DirichletEncoder(nn.Module):
    """x [B, D] -> concentration [B, K] = head(linear) + floor.

    Attributes:
      latent_dim: K, the number of categories.
      trunk: the module below the head.
      head: from any number to one of at least zero.
      floor: what is added, above zero.

    Example:
      >>> encoder = DirichletEncoder(10, MLP(1, 16, nn.relu), nn.softplus, 0.1)
      >>> alpha, _ = encoder.init_with_output(jax.random.key(0), jnp.ones((5, 64)))
      >>> alpha.shape, bool((alpha > 0.1).all())
      ((5, 10), True)
    """

    latent_dim: int
    trunk: nn.Module
    head: Activation
    floor: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        h = wide(self.trunk(x))
        return kept(self.head(dense(self.latent_dim, "concentration")(h)) + self.floor)


@door("networks")
class Decoder(nn.Module):
    """z [B, K] -> [B, D], the last layer linear.

    Attributes:
      data_dim: D, values an example.
      trunk: the module below the last layer.

    Example:
      >>> decoder = Decoder(64, MLP(1, 16, nn.relu))
      >>> decoder.init_with_output(jax.random.key(0), jnp.ones((5, 10)))[0].shape
      (5, 64)
    """

    data_dim: int
    trunk: nn.Module

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        return dense(self.data_dim, "decoded")(wide(self.trunk(z)))


@door("networks")
class NormalHead(nn.Module):
    """h [B, H] -> `Normal`, each [B, K]; scale = exp of a linear layer, one at the start.

    Attributes:
      latent_dim: K.

    Example:
      >>> NormalHead(2).init_with_output(jax.random.key(0), jnp.ones((5, 8)))[0].scale.shape
      (5, 2)
    """

    latent_dim: int

    @nn.compact
    def __call__(self, h: jax.Array) -> Normal:
        # The first layers of counts are large, and the exp of a large number larger still: a
        # random kernel gives scales of hundreds, and a Poisson's rate no number.
        log_scale = nn.Dense(self.latent_dim, kernel_init=nn.initializers.zeros, name="log_scale")
        return Normal(dense(self.latent_dim, "loc")(h), jnp.exp(log_scale(h)))


@door("networks")
class DirichletHead(nn.Module):
    """h [B, H] -> `Dirichlet` [B, K]: concentration = softplus(linear) + floor.

    Attributes:
      latent_dim: K, the number of categories.
      floor: what is added, above zero.

    Example:
      >>> DirichletHead(3).init_with_output(jax.random.key(0), jnp.ones((5, 8)))[0].shape
      (5, 3)
    """

    latent_dim: int
    floor: float = 0.1

    @nn.compact
    def __call__(self, h: jax.Array) -> Dirichlet:
        return Dirichlet(softplus(dense(self.latent_dim, "concentration")(h)) + self.floor)


@door("networks")
class LogitsHead(nn.Module):
    """h [B, H] -> `Logits` [B, K], for `latents.concrete`.

    Attributes:
      latent_dim: K, the number of categories.

    Example:
      >>> LogitsHead(3).init_with_output(jax.random.key(0), jnp.ones((5, 8)))[0].logits.shape
      (5, 3)
    """

    latent_dim: int

    @nn.compact
    def __call__(self, h: jax.Array) -> Logits:
        return Logits(dense(self.latent_dim, "logits")(h))


@door("networks")
class KumaraswamyHead(nn.Module):
    """h [B, H] -> `Kumaraswamy`, each [B, K - 1], for `latents.stick_breaking`.

    Attributes:
      latent_dim: K, the number of categories.

    Example:
      >>> head = KumaraswamyHead(3)
      >>> head.init_with_output(jax.random.key(0), jnp.ones((5, 8)))[0].a.shape
      (5, 2)
    """

    latent_dim: int

    @nn.compact
    def __call__(self, h: jax.Array) -> Kumaraswamy:
        a, b = (softplus(dense(self.latent_dim - 1, name)(h)) + 0.1 for name in ("a", "b"))
        return Kumaraswamy(a, b)


@door("networks")
class Encoder(nn.Module):
    """x [B, D] -> the parameters of any latent: a trunk and a head, or a head for each part.

    Attributes:
      head: the module from the trunk's output to the parameters; of a product, one for each part by
        name.
      trunk: the module below.

    Example:
      >>> encoder = Encoder(LogitsHead(3), MLP(1, 16, nn.relu))
      >>> encoder.init_with_output(jax.random.key(0), jnp.ones((5, 64)))[0].logits.shape
      (5, 3)
    """

    head: Any
    trunk: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array) -> Any:
        h = wide(self.trunk(x))
        if isinstance(self.head, Mapping):
            return {name: head(h) for name, head in self.head.items()}
        return self.head(h)


@door("networks")
class ConvolutionalTrunk(nn.Module):
    """Images [B, H, W, C] -> [B, hidden_units]: convolutions that halve the image, a dense layer.

    Attributes:
      channels: of each convolution, from the image on.
      hidden_units: width of the dense layer.
      activation: a function of an array.
      dtype: of the products, as bfloat16; the parameters' own where None.

    Example:
      >>> trunk = ConvolutionalTrunk((8, 16), 32, nn.relu)
      >>> trunk.init_with_output(jax.random.key(0), jnp.ones((5, 7, 7, 3)))[0].shape
      (5, 32)
    """

    channels: tuple[int, ...]
    hidden_units: int
    activation: Activation
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, channels in enumerate(self.channels):
            layer = nn.Conv(channels, (3, 3), strides=2, dtype=self.dtype, name=f"conv_{i}")
            x = self.activation(layer(x))
        x = x.reshape(x.shape[0], -1)
        return self.activation(dense(self.hidden_units, "hidden", self.dtype)(x))


@door("networks")
class ConvolutionalDecoder(nn.Module):
    """z [B, K] -> images [B, H, W, C]: the convolutions of the trunk turned round.

    Attributes:
      image_shape: (H, W, C), of any size.
      channels: as the trunk's, from the image on.
      hidden_units: width of the dense layer.
      activation: a function of an array.
      dtype: of the products, as bfloat16; the parameters' own where None.

    Example:
      >>> decoder = ConvolutionalDecoder((7, 5, 3), (8, 16), 32, nn.relu)
      >>> decoder.init_with_output(jax.random.key(0), jnp.ones((5, 2)))[0].shape
      (5, 7, 5, 3)
    """

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    hidden_units: int
    activation: Activation
    dtype: Any = None

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        height, width, last = self.image_shape
        # Sizes from the image down: each convolution halves, rounded up.
        sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(len(self.channels) + 1)]
        h, w = sizes[-1]
        x = self.activation(dense(self.hidden_units, "hidden", self.dtype)(z))
        x = self.activation(dense(h * w * self.channels[-1], "spread", self.dtype)(x))
        x = x.reshape(x.shape[0], h, w, self.channels[-1])
        below = (*self.channels[:-1][::-1], last)
        for i, (channels, (h, w)) in enumerate(zip(below, sizes[-2::-1], strict=True)):
            is_last = i == len(self.channels) - 1
            layer = nn.ConvTranspose(
                channels,
                (3, 3),
                strides=(2, 2),
                dtype=None if is_last else self.dtype,
                name="decoded" if is_last else f"conv_{i}",
            )
            x = layer(wide(x) if is_last else x)[:, :h, :w]
            x = x if is_last else self.activation(x)
        return x
